import type { Finding, Target } from './report.ts';
import type { Workspace } from './workspace.ts';

/** `reference` describes what the value is compared with. */
export type Scenario = Readonly<{
  name: string;
  description: string;
  reference: string;
  target: Target;
  run(workspace: Workspace, options: ScenarioOptions): Promise<Finding>;
}>;

/** `seeds`: a simulation runs once with each, and the worst run counts. */
export type ScenarioOptions = Readonly<{ seeds: readonly number[] }>;
