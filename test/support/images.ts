import { createBytes } from './values.ts';

/** Bytes that begin as an image of each type does. */

const BEGINNINGS = {
  jpg: Buffer.from('ffd8ffe000104a46494600', 'hex'),
  png: Buffer.from('89504e470d0a1a0a', 'hex'),
  gif: Buffer.from('GIF89a'),
  webp: Buffer.from('RIFF\x10\x00\x00\x00WEBPVP8 ', 'latin1'),
  bmp: Buffer.from('BM'),
};
export type Kind = keyof typeof BEGINNINGS;
export const KINDS: readonly Kind[] = ['jpg', 'png', 'gif', 'webp', 'bmp'];

/** Another image each time. */
export const image = (kind: Kind = 'jpg', size = 3000): Buffer =>
  Buffer.concat([BEGINNINGS[kind], createBytes(size)], size);
