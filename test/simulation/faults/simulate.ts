import fc from 'fast-check';
import { hurryAll } from './hurry.ts';
import { type Plan, plans } from './plan.ts';
import { openWorld, type World } from './world.ts';

/** Many plans, one after the other; a broken promise is shrunk to the least that breaks it. */

/** Plans that one stack serves: the files of its services grow, and starting one takes longer than a plan. */
const PLANS_PER_STACK = 40;

export type Simulation = Readonly<{
  runs: number;
  seed: number;
  /** Plans that come before the random ones, and are counted as runs. */
  first?: readonly Plan[];
  onRun?: (done: number) => void;
}>;

export async function simulate({ runs, seed, first = [], onRun = () => {} }: Simulation) {
  const restore = hurryAll();
  let world: World | undefined;
  let lived = 0;
  const total = { runs: 0, struck: 0, failed: 0 };
  const renew = async (): Promise<World> => {
    await world?.close();
    world = undefined;
    lived = 0;
    return openWorld();
  };
  const live = async (plan: Plan): Promise<void> => {
    world = lived < PLANS_PER_STACK && world ? world : await renew();
    lived++;
    try {
      const { struck, failed } = await world.live(plan);
      total.struck += struck;
      total.failed += failed;
      onRun(++total.runs);
    } catch (error) {
      // What a broken promise left behind shall not break the next.
      const broken = world;
      world = undefined;
      await broken.close().catch(() => {});
      throw error;
    }
  };
  try {
    const details = await fc.check(fc.asyncProperty(plans, live), {
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
