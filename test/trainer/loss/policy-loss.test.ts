import { test } from 'node:test';
import { readSafetensors } from '../../../model/weights/safetensors.ts';
import { assertClose, goldenPath, goldenText } from '../golden.ts';
import { runStored } from './golden-loss.ts';
import { specOf, type StoredSpec } from './golden-spec.ts';

interface Stored {
  readonly cases: Readonly<Record<string, {
    readonly batch: string;
    readonly spec: StoredSpec;
    readonly loss: number;
    readonly tol: { readonly loss_abs: number; readonly grad_rel: number };
  }>>;
}
const stored: Stored = JSON.parse(goldenText('losses/losses.json'));

for (const [name, { batch, spec, loss, tol }] of Object.entries(stored.cases)) {
  await test(`value, token losses and gradient: ${name}`, async () => {
    const data = readSafetensors(goldenPath(`losses/inputs.${batch}.safetensors`));
    const expected = readSafetensors(goldenPath('losses/expected.safetensors'));
    const result = await runStored(specOf(spec), data);
    assertClose([result.loss], [loss], { absolute: tol.loss_abs }, 'loss');
    assertClose(result.gradient, expected.read(`${name}/grad`).data, { relative: tol.grad_rel }, 'gradient');
    const mask = data.read('mask').data;
    assertClose(result.perToken, expected.read(`${name}/per_token_loss`).data.map((x, i) => (mask[i] === 1 ? x : 0)), { relative: 2e-5 }, 'token losses');
    data.close();
    expected.close();
  });
}
