import fc from 'fast-check';
import { accelerateTimers } from './accelerate-timers.ts';
import { type Plan, plans } from './plan.ts';
import { startWorld, type World } from './world.ts';

/** Runs many plans one after the other, and shrinks a plan that violates an invariant. */

/** Plans per stack: the files of its services grow, and starting a stack takes longer than a plan. */
const PLANS_PER_STACK = 40;

export type Simulation = Readonly<{
  runs: number;
  seed: number;
  /** Plans that run before the random ones and count as runs. */
  first?: readonly Plan[];
  onRun?: (done: number) => void;
}>;

export async function simulate({ runs, seed, first = [], onRun = () => {} }: Simulation) {
  const restore = accelerateTimers();
  let world: World | undefined;
  let plansInWorld = 0;
  const total = { runs: 0, incidents: 0, failed: 0 };
  let isIgnorant = false;
  const replaceWorld = async (ignorant: boolean): Promise<World> => {
    await world?.close();
    world = undefined;
    plansInWorld = 0;
    isIgnorant = ignorant;
    return startWorld(ignorant);
  };
  const run = async (plan: Plan): Promise<void> => {
    const isUsable = plansInWorld < PLANS_PER_STACK && isIgnorant === plan.ignorant;
    world = world && isUsable ? world : await replaceWorld(plan.ignorant);
    plansInWorld++;
    try {
      const { incidents, failed } = await world.run(plan);
      total.incidents += incidents;
      total.failed += failed;
      onRun(++total.runs);
    } catch (error) {
      // The next plan gets a new world: this one may be damaged.
      const damaged = world;
      world = undefined;
      await damaged.close().catch(() => {});
      throw error;
    }
  };
  try {
    const details = await fc.check(fc.asyncProperty(plans, run), {
      numRuns: runs,
      seed,
      examples: first.map((plan): [Plan] => [plan]),
      includeErrorInReport: true,
    });
    await world?.close();
    return { ...total, failure: details.failed ? fc.defaultReportMessage(details) : undefined };
  } finally {
    restore();
  }
}
