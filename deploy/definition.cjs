// osls reads a .yaml or .json file as an object, and CloudFormation turns an object's numbers into strings.
module.exports = require('./state-machine.ts').stateMachineJson();
