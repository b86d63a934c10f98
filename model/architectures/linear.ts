/** Linear layers with a low-rank adapter (LoRA, arXiv 2106.09685): y = x Wᵀ + scale · (x Aᵀ) Bᵀ. */
import { gemm } from '../graph/ops/matmul.ts';
import { mul, add } from '../graph/ops/elementwise.ts';
import type { Value } from '../graph/value.ts';

/** One module's adapter. PEFT's layout. */
export interface LoraValues {
  /** `[rank, in]`. The rank may be symbolic: adapters of any rank then fit one graph. */
  readonly a: Value;
  /** `[out, rank]`. */
  readonly b: Value;
  /** alpha/rank, or alpha/√rank (rsLoRA); 1 where it is already multiplied into b. */
  readonly scale: number;
  /**
   * `[N, rank]` of 0 and 1, for several adapters in one batch: with their ranks stacked in a and b, each row keeps the ranks of
   * its own.
   */
  readonly rowMask?: Value;
}

/** x `[N, in]`, weight `[out, in]` → `[N, out]`. */
export function linear(x: Value, weight: Value, lora?: LoraValues): Value {
  const y = gemm(x, weight, { transB: true });
  if (!lora) return y;
  const down = gemm(x, lora.a, { transB: true });
  return add(y, gemm(lora.rowMask ? mul(down, lora.rowMask) : down, lora.b, { transB: true, alpha: lora.scale }));
}
