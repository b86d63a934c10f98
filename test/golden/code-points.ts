/** Python counts characters in code points, JavaScript in UTF-16 units. Returns how many code points lie before a position. */
export function codePointsBefore(text: string): (position: number) => number {
  const before = new Int32Array(text.length + 1);
  let count = 0, at = 0;
  for (const character of text) {
    before.fill(count, at, at + character.length);
    at += character.length;
    count++;
  }
  before[text.length] = count;
  return (position) => before[position] ?? NaN;
}
