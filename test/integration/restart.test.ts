import { expect, test } from 'vitest';
import { type Kill, killAndRestart } from '../simulation/restart/campaign.ts';

/** The short form of `npm run test:restart`, with a fixed seed. */

const KILLS = 3;
const SEED = 1;

test('delivers all files after random kills and sends no part that VOD has', async () => {
  const kills: Kill[] = [];
  await killAndRestart(KILLS, SEED, (kill) => kills.push(kill));
  expect(kills).toHaveLength(KILLS);
}, 180_000);
