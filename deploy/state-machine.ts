import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

const FILE = new URL('../handlers/upload.asl.yaml', import.meta.url);

/**
 * The state machine definition as JSON. The functions' ARNs are placeholders such as `${InitFunctionArn}`,
 * which CloudFormation replaces (`DefinitionSubstitutions`).
 */
export const stateMachineJson = (): string => JSON.stringify(parse(readFileSync(FILE, 'utf8')), null, 2);

/** The state machine definition as JSON, with local ARNs in place of the placeholders. */
export const localStateMachineJson = (): string =>
  stateMachineJson().replace(/\$\{(\w+)FunctionArn\}/g, 'arn:aws:lambda:us-east-1:000000000000:function:$1');
