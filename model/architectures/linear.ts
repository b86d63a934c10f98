/** Linear layers with a low-rank adapter (LoRA, arXiv 2106.09685): y = x Wᵀ + scale · (x Aᵀ) Bᵀ. */
import { gemm } from '../graph/ops/matmul.ts';
import { add } from '../graph/ops/elementwise.ts';
import type { Value } from '../graph/value.ts';

/** One module's adapter. PEFT's layout. */
export interface LoraValues {
  /** `[rank, in]`. The rank may be symbolic: adapters of any rank then fit one graph. */
  readonly a: Value;
  /** `[out, rank]`. */
  readonly b: Value;
  /** alpha/rank, or alpha/√rank (rsLoRA); 1 where it is already multiplied into b. */
  readonly scale: number;
}

/** x `[N, in]`, weight `[out, in]` → `[N, out]`. */
export function linear(x: Value, weight: Value, lora?: LoraValues): Value {
  const y = gemm(x, weight, { transB: true });
  if (!lora) return y;
  return add(y, gemm(gemm(x, lora.a, { transB: true }), lora.b, { transB: true, alpha: lora.scale }));
}
