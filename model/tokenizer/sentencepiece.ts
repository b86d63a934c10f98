/**
 * SentencePiece keeps no merges: it joins the pair of pieces whose joined piece has the best score (llama.cpp
 * `llm_tokenizer_spm`). As a list of merges that is every split of every piece into two pieces, best score first
 * (transformers `convert_slow_tokenizer.generate_merges`).
 */
export function mergesFromScores(tokens: readonly string[], scores: readonly number[]): [string, string][] {
  const idOf = new Map(tokens.map((token, id) => [token, id]));
  const splits = tokens.flatMap((token, id) => {
    const found: { left: string; right: string; score: number; leftId: number; rightId: number }[] = [];
    for (let at = 1; at < token.length; at++) {
      const left = token.slice(0, at);
      const right = token.slice(at);
      const leftId = idOf.get(left);
      const rightId = idOf.get(right);
      if (leftId !== undefined && rightId !== undefined) found.push({ left, right, score: scores[id]!, leftId, rightId });
    }
    return found.sort((a, b) => a.leftId - b.leftId || a.rightId - b.rightId);
  });
  return splits.sort((a, b) => b.score - a.score).map(({ left, right }) => [left, right]);
}
