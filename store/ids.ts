/** Row ids: a prefix and 24 characters, the first ten of which are the time, so that ids sort by creation. */
import { randomBytes } from 'node:crypto';

export type IdPrefix = 'ro' | 'at' | 'st' | 'ca' | 'fk';

/** Crockford's base 32: no I, L, O, U. */
const alphabet = '0123456789abcdefghjkmnpqrstvwxyz';
const timeChars = 10;
const randomChars = 14;

/** `ro_06f2k…`: 50 bits of unix milliseconds, then 70 bits from the system's random source. */
export function newId(prefix: IdPrefix, atMs: number = Date.now()): string {
  let time = '';
  for (let left = atMs, i = 0; i < timeChars; i++, left = Math.floor(left / 32)) time = alphabet.charAt(left % 32) + time;
  let random = '';
  for (const byte of randomBytes(randomChars)) random += alphabet.charAt(byte & 31);
  return `${prefix}_${time}${random}`;
}
