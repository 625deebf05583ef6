import { type CommandDefinition, text } from '../cli/args.ts';

/** osls parses these options and accepts more. */
const OPTIONS = {
  stage: text('NAME', 'Stage; an account can have several', { default: 'dev' }),
  region: text('NAME', 'Region', { defaultText: 'AWS_REGION' }),
  param: text('"name=value"', 'Parameter of the stack; serverless.yml lists them'),
  'aws-profile': text('NAME', 'Profile of the credentials', {
    defaultText: 'credentials of the environment',
  }),
} as const;

const define = (name: string, summary: string): CommandDefinition => ({
  ...{ name: `npm run ${name}`, summary, arguments: [], options: OPTIONS },
});

export const PACKAGE = define(
  'package',
  'Builds the functions and the template, and checks them. Needs no account.',
);
export const DEPLOY = define(
  'deploy',
  'Builds the functions and the template, checks them, and deploys the stack.',
);
export const REMOVE = define('remove', 'Removes the stack. The bucket and its objects stay.');
