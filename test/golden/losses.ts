/** `losses/`: the policy losses on given log-probs, the entropy bonus down to the logits, the value loss; each with its gradient. */
import { close, unknown, type Check } from './check.ts';
import { numberOf, openTensors, readText } from './files.ts';
import { runEntropyBonus, runPolicyLoss, runValueLoss } from './losses/run.ts';
import { specOf, valueAggregation, type StoredSpec } from './losses/spec.ts';

interface StoredCase {
  readonly batch: string;
  readonly spec: StoredSpec;
  readonly loss: number | string;
  readonly tol: { readonly loss_abs: number; readonly grad_rel: number };
}

interface Stored {
  readonly cases: Readonly<Record<string, StoredCase>>;
  readonly entropy: Readonly<Record<string, { readonly coef: number; readonly loss: number }>>;
  readonly value: Readonly<Record<string, { readonly clip: number | null; readonly agg: string; readonly loss: number }>>;
}

const relative = 2e-5;

export function* losses(set: string): Generator<Check> {
  const stored: Stored = JSON.parse(readText(set, 'losses/losses.json'));
  for (const [name, stored_case] of Object.entries(stored.cases)) yield { name, run: () => comparePolicyLoss(set, name, stored_case) };
  for (const [name, { coef, loss }] of Object.entries(stored.entropy)) {
    yield {
      name,
      run: async () => {
        using data = openTensors(set, 'losses/entropy.safetensors');
        const result = await runEntropyBonus(coef, data);
        const shares = [close([result.loss], [loss], { relative }, 'loss'), close(result.gradient, data.read(`${name}/grad_logits`).data, { relative }, 'gradient')];
        return Math.max(...shares);
      },
    };
  }
  for (const [name, { clip, agg, loss }] of Object.entries(stored.value)) {
    const aggregation = valueAggregation(agg);
    if (!aggregation) yield unknown(name, `this project has no aggregation "${agg}"`);
    else {
      yield {
        name,
        run: async () => {
          using data = openTensors(set, 'losses/value.safetensors');
          const result = await runValueLoss({ policy: null, aggregation, value: { coefficient: 1, ...(clip === null ? {} : { clip }) } }, data);
          return Math.max(close([result.loss], [loss], { relative }, 'loss'), close(result.gradient, data.read(`${name}/grad_vpreds`).data, { relative }, 'gradient'));
        },
      };
    }
  }
}

async function comparePolicyLoss(set: string, name: string, { batch, spec, loss, tol }: StoredCase): Promise<number> {
  const own = specOf(spec);
  using data = openTensors(set, `losses/inputs.${batch}.safetensors`);
  using expected = openTensors(set, 'losses/expected.safetensors');
  const result = await runPolicyLoss(own, data);
  const mask = data.read('mask').data;
  const perToken = expected.read(`${name}/per_token_loss`).data.map((x, i) => (mask[i] === 1 ? x : 0));
  return Math.max(
    close([result.loss], [numberOf(loss)], { absolute: tol.loss_abs }, 'loss'),
    close(result.gradient, expected.read(`${name}/grad`).data, { relative: tol.grad_rel }, 'gradient'),
    close(result.perToken, perToken, { relative: tol.grad_rel }, 'token losses'),
  );
}
