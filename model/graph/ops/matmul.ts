/** Matrix products. Transposes are attributes, never copies. */
import { apply, node1, type Op } from '../op.ts';
import { dimOf, formatShape, GraphError, sameShape, type Value } from '../value.ts';

interface ProductAttributes {
  readonly transA: boolean;
  readonly transB: boolean;
  readonly alpha: number;
}

type Product = Op<readonly [Value, Value], readonly [Value], ProductAttributes>;

/** With A' = Aᵀ if transA else A (B' alike): Y = α A' B', so dA' = α dY B'ᵀ and dB' = α A'ᵀ dY; the record multiplies by itself. */
const product = (name: string, domain: '' | 'com.microsoft'): Product => {
  const op: Product = {
    name,
    emit: ([a, b], { transA, transB, alpha }) => {
      const inner = [dimOf(a, transA ? -2 : -1), dimOf(b, transB ? -1 : -2)];
      const batch = a.shape.slice(0, -2);
      if (inner[0] !== inner[1] || !sameShape(batch, b.shape.slice(0, -2))) throw new GraphError(`${name} of ${formatShape(a.shape)}${transA ? 'ᵀ' : ''} and ${formatShape(b.shape)}${transB ? 'ᵀ' : ''}`);
      const shape = [...batch, dimOf(a, transA ? -1 : -2), dimOf(b, transB ? -2 : -1)];
      return [node1(name, [a, b], { dtype: 'float32', shape }, { transA: Number(transA), transB: Number(transB), alpha: { float: alpha } }, domain)];
    },
    gradient: ({ inputs: [a, b], attributes: { transA, transB, alpha }, upstream: [g] }) => {
      const [da] = transA ? apply(op, [b, g], { transA: transB, transB: true, alpha }) : apply(op, [g, b], { transA: false, transB: !transB, alpha });
      const [db] = transB ? apply(op, [g, a], { transA: true, transB: transA, alpha }) : apply(op, [a, g], { transA: !transA, transB: false, alpha });
      return [da, db];
    },
  };
  return op;
};

const gemmOp = product('Gemm', '');
const fusedMatMulOp = product('FusedMatMul', 'com.microsoft');

type ProductOptions = { readonly [K in keyof ProductAttributes]?: ProductAttributes[K] };

/** α A' B' of matrices, primes being the optional transposes. */
export const gemm = (a: Value, b: Value, { transA = false, transB = false, alpha = 1 }: ProductOptions = {}): Value => apply(gemmOp, [a, b], { transA, transB, alpha })[0];

/** α A' B' over the last two axes; the leading ones must be equal. */
export const matmul = (a: Value, b: Value, { transA = false, transB = false, alpha = 1 }: ProductOptions = {}): Value => apply(fusedMatMulOp, [a, b], { transA, transB, alpha })[0];
