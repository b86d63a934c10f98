/**
 * What a policy-gradient loss is, as data: orthogonal parts that an algorithm puts together. Each part is explained, with its paper, in the file
 * that computes it. `policyLoss(spec)` (policy-loss.ts) is the loss, `lossInputs(spec)` names its per-token inputs, and `weighTokens(spec, sequences)`
 * (weigh-tokens.ts) computes those that have no gradient.
 *
 *     loss =   Σ_t weight_t      · ( offPolicyMask_t · importanceWeight_t · policy_t )
 *            + Σ_t klWeight_t    · coefficient · kl_t
 *            − Σ_t entropyWeight_t · coefficient · H_t
 *            + Σ_t valueWeight_t · coefficient · value_t
 *
 * A *sequence* here is one step (call): what sequence-level ratios, importance weights and sequence means speak of.
 */
import type { Aggregation } from './aggregation.ts';
import type { ImportanceCorrection } from './importance.ts';
import type { KlTerm } from './kl.ts';
import type { PolicyTerm } from './policy-term.ts';
import type { Rejection } from './rejection.ts';
import type { ValueTerm } from './value.ts';

export interface PolicyLossSpec {
  /** Null: there is only what the other parts say. */
  readonly policy: PolicyTerm | null;
  /** How the losses of tokens become one number. */
  readonly aggregation: Aggregation;
  /** The KL to a reference policy, in the loss. */
  readonly kl?: KlTerm;
  /** Corrects for a sampler (behaviour) that is not the policy at the start of the update (old). */
  readonly importance?: ImportanceCorrection;
  /** Leaves tokens or sequences out where the sampler was too far away: they are not counted by the aggregation either. */
  readonly rejection?: Rejection;
  /**
   * δ: tokens with a negative advantage count nothing when their sequence's mean of log π_behaviour − log π is above this, nats
   * (off-policy sequence masking of DeepSeek-V3.2, arXiv 2512.02556, section 3.1). They stay in the aggregation's denominators.
   */
  readonly offPolicyMask?: number;
  /** Sequences cut off at the length limit are left out: not counted by the aggregation, except where it counts all sequences (DAPO's overlong filtering, arXiv 2503.14476, section 3.4). */
  readonly dropTruncated?: boolean;
  readonly entropy?: EntropyBonus;
  /** The loss of a value head (PPO). */
  readonly value?: ValueTerm;
}

/** −coefficient · aggregated entropy of the distribution that the token was predicted from (arXiv 1707.06347, equation 9: c₂·S). */
export interface EntropyBonus {
  readonly coefficient: number;
  /** Default: as the loss is. */
  readonly aggregation?: Aggregation;
}
