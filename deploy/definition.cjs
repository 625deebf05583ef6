const { readFileSync } = require('node:fs');
const { resolve } = require('node:path');

// osls reads a .json file as an object; CloudFormation's own `Definition` would take one, and may turn its numbers into strings.
module.exports = readFileSync(resolve(__dirname, '../handlers/upload.asl.json'), 'utf8');
