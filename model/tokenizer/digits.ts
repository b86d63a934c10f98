/**
 * `@huggingface/tokenizers` splits `Digits` at ASCII digits only; the Rust library at everything numeric (`char::is_numeric`: ½, Ⅷ, ①
 * too). A `Split` step says the same without the difference.
 */
export function withUnicodeDigits(preTokenizer: unknown): unknown {
  if (typeof preTokenizer !== 'object' || preTokenizer === null || !('type' in preTokenizer)) return preTokenizer;
  if (preTokenizer.type === 'Sequence' && 'pretokenizers' in preTokenizer && Array.isArray(preTokenizer.pretokenizers)) {
    return { ...preTokenizer, pretokenizers: preTokenizer.pretokenizers.map(withUnicodeDigits) };
  }
  if (preTokenizer.type !== 'Digits') return preTokenizer;
  const isEachAlone = 'individual_digits' in preTokenizer && preTokenizer.individual_digits === true;
  return { type: 'Split', pattern: { Regex: isEachAlone ? '\\p{N}' : '\\p{N}+' }, behavior: 'Isolated', invert: false };
}
