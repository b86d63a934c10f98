/** Settings of the policy-gradient algorithms, of credit, and of corrections: one object a choice, so that what a choice does not have is refused by name. */
import { z } from 'zod';

const coefficient = z.number().nonnegative().default(0);
const positive = z.number().int().positive();
const discount = z.number().min(0).max(1);

const aggregations = ['token-mean', 'seq-mean-token-mean', 'seq-mean-token-sum', 'per-rollout-mean'] as const;

/** What every loss has. */
const lossKeys = (aggregation: (typeof aggregations)[number], klEstimator: 'k2' | 'k3') => ({
  aggregation: z.enum(aggregations).default(aggregation).describe('How token losses become one number: mean over tokens, over calls of the mean or the sum over a call\'s tokens, or over rollouts.'),
  normalizer: z.number().positive().optional().describe('Sums over tokens are divided by this constant (Dr. GRPO: the longest completion); with seq-mean-token-sum, or instead of the number of tokens with token-mean.'),
  denominator: z.enum(['counted', 'all']).default('counted').describe('Means are over the calls (or rollouts) with tokens that count, or over all calls (TRL; Agent Lightning for per-rollout-mean).'),
  klCoefficient: coefficient.describe('Weight of the KL to the base model in the loss.'),
  klEstimator: z.enum(['k1', 'abs', 'k2', 'k3', 'k1+', 'k3+']).default(klEstimator).describe('How that KL is estimated (joschu.net/blog/kl-approx.html); + takes the gradient of k2.'),
  klValueClamp: z.number().positive().optional().describe('The k3 estimate of a token is held within ± this (verl: 10).'),
  klImportanceCorrected: z.boolean().default(false).describe('Multiply the KL by the ratio (arXiv 2512.02556, section 3.1).'),
  entropyCoefficient: coefficient.describe('Weight of the entropy bonus.'),
  logRatioClamp: z.number().positive().default(20).describe('Log-ratios are held within ± this, so that no token overflows float32.'),
  dropTruncated: z.boolean().default(false).describe('Leave calls out that were cut off at their length limit (DAPO\'s overlong filtering, arXiv 2503.14476).'),
});

/** A clipped ratio. */
const clipKeys = (low: number, high: number) => ({
  clipLow: z.number().min(0).max(1).default(low).describe('The ratio counts down to 1 − this.'),
  clipHigh: z.number().min(0).default(high).describe('The ratio counts up to 1 + this.'),
  dualClip: z.number().min(1).optional().describe('For negative advantages the loss is at most this times the advantage (arXiv 1912.09729).'),
  ratioMax: z.number().positive().optional().describe('The ratio is at most this where it is not clipped (TRL\'s delta).'),
});

const groupOfOne = z.enum(['zero', 'credit']).default('zero').describe('The advantage of a rollout that is alone with its task: 0, or its credit (verl).');

/** Statistics over the rollouts of a task. */
const unitKeys = {
  group: z.enum(['calls', 'rollouts']).default('calls').describe('Group statistics over all calls of all rollouts of a task, or over its rollouts.'),
  groupOfOne,
};
const groupKeys = {
  ...unitKeys,
  normalizeByStd: z.boolean().default(true).describe('Divide advantages by a standard deviation; without it they are those of Dr. GRPO (arXiv 2503.20783).'),
  deviation: z.enum(['group', 'population', 'batch']).optional().describe('Which one: the group\'s (over n − 1; the default), the group\'s as a population (over n), or the whole batch\'s (TRL\'s scale_rewards: batch).'),
  epsilon: z.number().nonnegative().default(1e-6).describe('Added to the standard deviation.'),
};
const klCost = coefficient.describe('Weight of log π_old − log π_base, as a cost in the reward.');

/** Settings that go together or not at all. */
function consistent(own: Settings, context: z.RefinementCtx): void {
  const refuse = (key: keyof Settings, message: string): void => { context.addIssue({ code: 'custom', path: [key], message }); };
  if (own.normalizer !== undefined && !['token-mean', 'seq-mean-token-sum'].includes(own.aggregation)) refuse('normalizer', 'goes with aggregation token-mean or seq-mean-token-sum');
  if (own.denominator === 'all' && own.aggregation === 'token-mean') refuse('denominator', 'all goes with means over calls or rollouts, not with token-mean');
  if (own.klValueClamp !== undefined && !own.klEstimator.startsWith('k3')) refuse('klValueClamp', 'goes with klEstimator k3 or k3+');
  if (own.deviation !== undefined && own.normalizeByStd === false) refuse('deviation', 'goes with normalizeByStd: true');
}

interface Settings {
  readonly aggregation: string;
  readonly normalizer?: number | undefined;
  readonly denominator: string;
  readonly klEstimator: string;
  readonly klValueClamp?: number | undefined;
  readonly normalizeByStd?: boolean;
  readonly deviation?: string | undefined;
}

const grpo = z.strictObject({
  name: z.literal('grpo').optional().default('grpo').describe('Group-relative policy optimization (arXiv 2402.03300). The default.'),
  ...groupKeys, ...clipKeys(0.2, 0.2), ...lossKeys('per-rollout-mean', 'k3'),
}).superRefine(consistent).describe('A rollout is compared with the others of its task.');

const drGrpo = z.strictObject({
  name: z.literal('dr-grpo').describe('GRPO done right (arXiv 2503.20783): neither deviations nor lengths divide.'),
  ...unitKeys, ...clipKeys(0.2, 0.2), ...lossKeys('seq-mean-token-sum', 'k3'),
}).superRefine(consistent).describe('GRPO without its two biases.');

const dapo = z.strictObject({
  name: z.literal('dapo').describe('Decoupled clip and dynamic sampling (arXiv 2503.14476).'),
  ...groupKeys, ...clipKeys(0.2, 0.28), ...lossKeys('token-mean', 'k3'),
  dynamicSampling: z.boolean().default(true).describe('Leave groups out whose rollouts all got the same: they do not count in the means either.'),
  overlong: z.strictObject({
    maxTokens: positive.describe('The longest completion.'),
    cacheTokens: positive.describe('The punishment begins so many tokens before it.'),
    beyond: z.enum(['floor', 'slope']).default('floor').describe('Past the maximum −1 (the paper, TRL), or further down the slope (verl).'),
  }).optional().describe('Soft overlong punishment: a call that comes near its length limit loses up to 1 (equation 13). Off when absent.'),
}).superRefine(consistent).describe('GRPO with a higher upper clip, a mean over tokens, and only groups that teach.');

const gspo = z.strictObject({
  name: z.literal('gspo').describe('Group sequence policy optimization (arXiv 2507.18071).'),
  ...groupKeys, ...clipKeys(3e-4, 4e-4), ...lossKeys('seq-mean-token-mean', 'k3'),
}).superRefine(consistent).describe('One ratio for a whole call: the geometric mean of its tokens\'.');

const cispo = z.strictObject({
  name: z.literal('cispo').describe('Clipped importance-sampling policy optimization (MiniMax-M1, arXiv 2506.13585).'),
  ...groupKeys, ...lossKeys('token-mean', 'k3'),
  ratioMin: z.number().nonnegative().optional().describe('The ratio\'s weight is at least this; the paper has no lower bound.'),
  ratioMax: z.number().positive().default(5).describe('The ratio\'s weight is at most this.'),
}).superRefine(consistent).describe('The ratio is a bounded weight, so every token keeps its gradient.');

const rloo = z.strictObject({
  name: z.literal('rloo').describe('REINFORCE leave-one-out (arXiv 2402.14740).'),
  groupOfOne,
  normalize: z.boolean().default(false).describe('Then whiten advantages over the batch (TRL\'s normalize_advantages).'),
  ratio: z.enum(['none', 'token', 'sequence']).default('none').describe('The paper\'s has none; a clipped one of each token (verl), or of the whole call (TRL).'),
  clipLow: z.number().min(0).max(1).optional().describe('With a ratio: it counts down to 1 − this; default 0.2.'),
  clipHigh: z.number().min(0).optional().describe('With a ratio: it counts up to 1 + this; default 0.2.'),
  klCost,
  ...lossKeys('seq-mean-token-sum', 'k3'),
}).superRefine((own, context) => {
  consistent(own, context);
  if (own.ratio !== 'none') return;
  for (const key of ['clipLow', 'clipHigh'] as const) if (own[key] !== undefined) context.addIssue({ code: 'custom', path: [key], message: 'goes with ratio: token or sequence' });
  if (own.klImportanceCorrected) context.addIssue({ code: 'custom', path: ['klImportanceCorrected'], message: 'goes with ratio: token or sequence' });
}).describe('The baseline of a rollout is what the others of its task got.');

const reinforcePp = z.strictObject({
  name: z.literal('reinforce-pp').describe('REINFORCE++ (arXiv 2501.03262). Needs no groups: live rollouts train it.'),
  gamma: discount.default(1).describe('Discount per token.'),
  klCost,
  ...clipKeys(0.2, 0.2), ...lossKeys('token-mean', 'k3'),
}).superRefine(consistent).describe('Returns, whitened over all tokens of the batch.');

const reinforcePpBaseline = z.strictObject({
  name: z.literal('reinforce-pp-baseline').describe('REINFORCE++ with the group\'s mean as its baseline (arXiv 2501.03262).'),
  ...unitKeys, ...clipKeys(0.2, 0.2), ...lossKeys('token-mean', 'k2'),
}).superRefine(consistent).describe('Credit minus the group\'s mean, whitened over all tokens of the batch.');

const ppo = z.strictObject({
  name: z.literal('ppo').describe('Proximal policy optimization (arXiv 1707.06347) with a value head. Needs no groups: live rollouts train it.'),
  gamma: discount.default(1).describe('Discount per token.'),
  lambda: discount.default(0.95).describe('λ of generalized advantage estimation (arXiv 1506.02438).'),
  whiten: z.boolean().default(true).describe('Whiten advantages over all tokens of the batch.'),
  klCost,
  valueCoefficient: z.number().positive().default(1).describe('Weight of the value loss, ½ of the squared error.'),
  valueClip: z.number().positive().optional().describe('A value may move by this from what it was at the start of the round; default: any distance.'),
  ...clipKeys(0.2, 0.2), ...lossKeys('token-mean', 'k3'),
}).superRefine(consistent).describe('A value head says what was to be expected at each token.');

export const algorithmSchema = z.discriminatedUnion('name', [grpo, drGrpo, dapo, gspo, cispo, ppo, rloo, reinforcePp, reinforcePpBaseline])
  .prefault({}).describe('The policy-gradient algorithm; docs/algorithms.md compares them.');

export const creditSchema = z.discriminatedUnion('name', [
  z.strictObject({ name: z.literal('identical').optional().default('identical').describe('Every call gets the whole return. The default.') }).describe('Identical credit (LightningRL, arXiv 2508.03680).'),
  z.strictObject({
    name: z.literal('discounted').describe('Every call gets the return, discounted by the calls that came after.'),
    gamma: discount.default(0.99).describe('Discount per call.'),
  }).describe('Discounted by call.'),
  z.strictObject({
    name: z.literal('intermediate').describe('Every call gets what it earned itself and, discounted, what the calls after it earned; intermediate rewards count.'),
    gamma: discount.default(1).describe('Discount per call.'),
  }).describe('Rewards to go.'),
  z.strictObject({
    name: z.literal('turn-values').describe('Every call gets the λ-return over the calls of its rollout, by the value head at its start; intermediate rewards count. With ppo.'),
    gamma: discount.default(1).describe('Discount per call.'),
    lambda: discount.default(0.95).describe('λ over calls.'),
  }).describe('Generalized advantages over calls.'),
]).prefault({}).describe('How a rollout\'s return is shared among its calls.');

export const correctionSchema = z.strictObject({
  importance: z.strictObject({
    level: z.enum(['token', 'sequence']).default('token').describe('A weight for each token, or one for the whole call.'),
    mode: z.enum(['truncate', 'mask']).default('truncate').describe('Past a bound a weight becomes the bound (TIS), or 0 (MIS).'),
    min: z.number().positive().optional().describe('Lower bound.'),
    max: z.number().positive().default(2).describe('Upper bound.'),
    normalize: z.boolean().default(false).describe('Divide weights by their mean over the minibatch.'),
  }).optional().describe('Importance weights π_old / π_behaviour: truncated (TIS) or masked (MIS). Off when absent.'),
  rejection: z.strictObject({
    level: z.enum(['token', 'sequence-sum', 'sequence-mean', 'sequence-max']).default('token').describe('The statistic of each token decides on it; or its sum, mean or maximum on the whole call.'),
    statistic: z.enum(['k1', 'k2', 'k3']).default('k1').describe('k1: the quotient π_behaviour / π_old between two bounds; k2, k3: half the squared log-ratio, or the k3 estimate, up to one.'),
    min: z.number().positive().optional().describe('Lower bound of the quotient (k1).'),
    max: z.number().positive().describe('Upper bound.'),
  }).superRefine(({ statistic, min }, context) => {
    if ((min !== undefined) !== (statistic === 'k1')) context.addIssue({ code: 'custom', path: ['min'], message: statistic === 'k1' ? 'is needed with statistic k1' : 'goes with statistic k1' });
  }).optional().describe('Take tokens or calls out of the loss and its means where sampler and trainer differ too much. Off when absent.'),
  offPolicyMask: z.number().positive().optional().describe('Tokens with a negative advantage do not count in calls whose mean log π_behaviour − log π is above this, nats (arXiv 2512.02556). Off when absent.'),
}).prefault({}).describe('What is done about tokens that the policy at the start of the round would not have sampled like that.');

export type AlgorithmConfig = z.infer<typeof algorithmSchema>;
export type AlgorithmName = AlgorithmConfig['name'];
export type AlgorithmOf<Name extends AlgorithmName> = Extract<AlgorithmConfig, { readonly name: Name }>;
export type CreditConfig = z.infer<typeof creditSchema>;
export type CorrectionConfig = z.infer<typeof correctionSchema>;
