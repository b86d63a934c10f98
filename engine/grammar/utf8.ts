/**
 * Which tokens keep a text UTF-8 (RFC 3629, section 4). xgrammar's `[^…]` takes every sequence of a lead byte and followers, overlong forms and surrogates too; such bytes would
 * come out as U+FFFD, and more of them than the grammar counted. Pure.
 */

/** Where a text stands: between characters (0), or so many followers before the end of one; after E0, ED, F0 and F4 the first of them is from a smaller range. */
type State = 0 | 1 | 2 | 3 | 'e0' | 'ed' | 'f0' | 'f4';

const states: readonly State[] = [0, 1, 2, 3, 'e0', 'ed', 'f0', 'f4'];

/** The next state; null where the byte cannot follow. */
function after(state: State, byte: number): State | null {
  const between = (low: number, high: number, next: State): State | null => (low <= byte && byte <= high ? next : null);
  switch (state) {
    case 0:
      if (byte < 0x80) return 0;
      if (byte === 0xe0) return 'e0';
      if (byte === 0xed) return 'ed';
      if (byte === 0xf0) return 'f0';
      if (byte === 0xf4) return 'f4';
      return between(0xc2, 0xdf, 1) ?? between(0xe1, 0xef, 2) ?? between(0xf1, 0xf3, 3);
    case 1: return between(0x80, 0xbf, 0);
    case 2: return between(0x80, 0xbf, 1);
    case 3: return between(0x80, 0xbf, 2);
    case 'e0': return between(0xa0, 0xbf, 1);
    case 'ed': return between(0x80, 0x9f, 1);
    case 'f0': return between(0x90, 0xbf, 2);
    default: return between(0x80, 0x8f, 2);
  }
}

function afterAll(state: State, bytes: Uint8Array): State | null {
  let at: State | null = state;
  for (const byte of bytes) {
    at = after(at, byte);
    if (at === null) return null;
  }
  return at;
}

/** A text that grows by tokens. */
export interface Utf8Text {
  /** Takes the tokens that would break the text out of a mask (bit `id % 32` of word `id / 32`). */
  restrict(mask: Int32Array): void;
  accept(tokenId: number): void;
}

/** @param bytesOf each token's bytes; none for tokens that are no text, which may always come */
export function utf8Texts(bytesOf: (tokenId: number) => Uint8Array, size: number): () => Utf8Text {
  const masks = new Map(states.map((state) => [state, new Int32Array(Math.ceil(size / 32))]));
  for (let id = 0; id < size; id++) {
    const bytes = bytesOf(id);
    for (const [state, mask] of masks) if (afterAll(state, bytes) !== null) mask[id >> 5] = (mask[id >> 5] ?? 0) | (1 << (id & 31));
  }
  return () => {
    let state: State = 0;
    return {
      restrict(mask) {
        const allowed = masks.get(state);
        if (allowed !== undefined) for (let word = 0; word < mask.length; word++) mask[word] = (mask[word] ?? 0) & (allowed[word] ?? 0);
      },
      accept: (tokenId) => { state = afterAll(state, bytesOf(tokenId)) ?? 0; },
    };
  };
}
