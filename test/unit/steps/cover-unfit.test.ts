import { describe, expect, test } from 'vitest';
import { useCovers } from '../../support/covers.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { BUCKET } from '../../support/fake-store.ts';
import { image, KINDS } from '../../support/images.ts';

/** Images that VOD takes as a cover, and what is none. */

const { store, show, film, arrives, finishes, coverOf } = useCovers();

describe('an image that cannot be a cover', () => {
  test.each([
    [0, /empty \(0 bytes\)/],
    [1_048_576, /too large.*1048576 bytes, at most 1048575/],
    [2_000_000, /too large.*2000000 bytes/],
  ])('with %i bytes is unsupported if a video needs it, and skipped otherwise', async (size, message) => {
    await store.put(BUCKET, `${show()}.jpg`, size === 0 ? Buffer.alloc(0) : image('jpg', size));
    const reason = expect.stringMatching(message);
    expect(await arrives(`${show()}.jpg`)).toMatchObject({ outcome: 'skipped', reason });
    const id = await film();
    await expectFailure(arrives(`${show()}.jpg`), 'UnsupportedObject', message);
    await expectFailure(finishes(`${show()}.mp4`, id), 'UnsupportedObject', message);
    expect(coverOf(id)).toBeUndefined();
  });

  test.each([12, 1_048_575])('can be a cover with %i bytes', async (size) => {
    const id = await film();
    await store.put(BUCKET, `${show()}.jpg`, image('jpg', size));
    expect(await arrives(`${show()}.jpg`)).toMatchObject({ outcome: 'uploaded', size });
    expect(coverOf(id)).toBeDefined();
  });

  test.each([...KINDS, 'jpeg'])('does not have the bytes of a %s', async (suffix) => {
    await film();
    const others = KINDS.filter((kind) => kind !== (suffix === 'jpeg' ? 'jpg' : suffix));
    for (const bytes of [
      ...others.map((kind) => image(kind)),
      Buffer.from('<html>not found</html>'),
      Buffer.from('R'),
    ]) {
      await store.put(BUCKET, `${show()}.${suffix}`, bytes);
      const message = `expected the bytes of a ${suffix}, got `;
      await expectFailure(arrives(`${show()}.${suffix}`), 'UnsupportedObject', message);
    }
  });

  test.each([...KINDS])('is accepted with the bytes of a %s', async (kind) => {
    const id = await film();
    await store.put(BUCKET, `${show()}.${kind}`, image(kind));
    expect(await arrives(`${show()}.${kind}`)).toMatchObject({ outcome: 'uploaded', coverOf: [id] });
  });
});
