/** Row ids: a prefix and 24 characters, the first ten of which are the time, so that ids sort by creation. */
import { randomFillSync } from 'node:crypto';

export type IdPrefix = 'ro' | 'at' | 'st' | 'ca' | 'fk';

/** Crockford's base 32: no I, L, O, U. */
const alphabet = '0123456789abcdefghjkmnpqrstvwxyz';
const timeChars = 10;
const randomChars = 14;
/** Asking the system for every id alone costs ten times what making it costs. */
const randomness = new Uint8Array(256 * randomChars);
let unused = randomness.subarray(randomness.length);

/** `ro_06f2k…`: 50 bits of unix milliseconds, then 70 bits from the system's random source. */
export function newId(prefix: IdPrefix, atMs: number = Date.now()): string {
  let time = '';
  for (let left = atMs, i = 0; i < timeChars; i++, left = Math.floor(left / 32)) time = alphabet.charAt(left % 32) + time;
  if (unused.length < randomChars) unused = randomFillSync(randomness);
  let random = '';
  for (const byte of unused.subarray(0, randomChars)) random += alphabet.charAt(byte & 31);
  unused = unused.subarray(randomChars);
  return `${prefix}_${time}${random}`;
}
