import { randomInt } from 'node:crypto';
import { expect, test } from 'vitest';
import { type Kill, killAndRestart } from '../simulation/restart/campaign.ts';

/** The short form of `npm run test:restart`. */

const KILLS = 3;

test('killed at random moments and started again: all arrives, and nothing is sent that VOD held', async () => {
  const kills: Kill[] = [];
  await killAndRestart(KILLS, randomInt(2 ** 31), (kill) => kills.push(kill)); // what it throws names the seed
  expect(kills).toHaveLength(KILLS);
}, 180_000);
