import type { TokenStream } from '../tokenizer.ts';

/**
 * Decodes tokens one by one. UTF-8 sequences that tokens cut through are held back until whole; bytes that cannot become a
 * character give U+FFFD as in the WHATWG decoder, so the pieces joined are exactly the decoding of all bytes at once.
 *
 * @param bytesOf the token's bytes; empty for one that is left out
 * @param stripLeading spaces dropped at the very start of the text
 */
export function streamTokens(bytesOf: (id: number) => Uint8Array, stripLeading: number): TokenStream {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let toStrip = stripLeading;
  const strip = (text: string): string => {
    let start = 0;
    while (toStrip > 0 && start < text.length) {
      if (text[start] !== ' ') toStrip = 0;
      else {
        toStrip -= 1;
        start += 1;
      }
    }
    return text.slice(start);
  };
  return {
    push: (id) => strip(decoder.decode(bytesOf(id), { stream: true })),
    end: () => strip(decoder.decode()),
  };
}
