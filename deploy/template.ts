import { readFile } from 'node:fs/promises';
import * as v from 'valibot';

/** https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-anatomy.html */
const Resource = v.looseObject({
  Type: v.string(),
  Properties: v.optional(v.record(v.string(), v.unknown()), {}),
});
const Template = v.looseObject({ Resources: v.record(v.string(), Resource) });
export type Resource = v.InferOutput<typeof Resource>;
export type Template = v.InferOutput<typeof Template>;

/** @throws {Error} when the file is not a CloudFormation template */
export async function readTemplate(path: string): Promise<Template> {
  return v.parse(Template, JSON.parse(await readFile(path, 'utf8')));
}

/** The template's resources of one type, with their logical IDs. */
export const resourcesOf = ({ Resources }: Template, type: string): [string, Resource][] =>
  Object.entries(Resources).filter(([, { Type }]) => Type === type);
