/** PEFT's `adapter_config.json`. What would change the numbers and isn't computed here is refused by name, not ignored. */
import { z } from 'zod';
import type { TargetRules } from './lora-targets.ts';

/** Settings that say nothing about the numbers of a saved adapter: where it came from, how it was made, how it was trained. */
const WITHOUT_EFFECT = new Set([
  'auto_mapping', 'base_model_name_or_path', 'revision', 'inference_mode', 'task_type', 'peft_version', 'lora_dropout', 'megatron_core', 'runtime_config',
  'loftq_config', 'eva_config', 'lora_ga_config', 'qalora_group_size',
]);

/** Starts that leave the base weights as they are. The others (PiSSA, OLoRA, CorDA, LoftQ…) take their share out of them. */
const KEEPS_BASE = [true, false, 'gaussian', 'eva', 'orthogonal'];

/** `layers.0`: the only numbered list of modules in the models here. */
const LAYERS = ['layers', 'model.layers'];

const names = z.union([z.array(z.string()), z.string()]);

const peftSchema = z.looseObject({
  peft_type: z.literal('LORA'),
  r: z.int().positive(),
  lora_alpha: z.number().positive(),
  target_modules: z.union([z.array(z.string()).min(1), z.string().min(1)]),
  exclude_modules: names.nullish(),
  layers_to_transform: z.union([z.int(), z.array(z.int())]).nullish(),
  layers_pattern: z.union([z.literal([...LAYERS, '']), z.array(z.literal(LAYERS))]).nullish(),
  use_rslora: z.boolean().default(false),
  bias: z.literal('none').optional(),
  init_lora_weights: z.unknown().refine((value) => KEEPS_BASE.some((known) => known === value), 'this start changes the base weights: save the adapter as a plain LoRA').optional(),
}).superRefine((config, context) => {
  for (const [key, value] of Object.entries(config)) {
    if (Object.hasOwn(peftSchema.shape, key) || WITHOUT_EFFECT.has(key) || isOff(value)) continue;
    context.addIssue({ code: 'custom', path: [key], message: 'not computed here' });
  }
});

const isOff = (value: unknown): boolean => value === undefined || value === null || value === false || (typeof value === 'object' && Object.keys(value).length === 0);

export interface PeftConfig {
  readonly rank: number;
  readonly alpha: number;
  readonly rsLora: boolean;
  readonly rules: TargetRules;
}

/** @returns the settings, or what is wrong in a sentence or two */
export function parsePeftConfig(json: unknown): PeftConfig | string {
  const parsed = peftSchema.safeParse(json);
  if (!parsed.success) return z.prettifyError(parsed.error).replaceAll('\n', ' ');
  const { r, lora_alpha: alpha, use_rslora: rsLora, target_modules: targets, exclude_modules: except, layers_to_transform: layers } = parsed.data;
  const rules: TargetRules = { targets, ...(except ? { except } : {}), ...(layers === undefined || layers === null ? {} : { layers: [layers].flat() }) };
  return { rank: r, alpha, rsLora, rules };
}

/** @param targets as `targetNames` gives them */
export function peftConfig({ rank, alpha, rsLora, targets }: { rank: number; alpha: number; rsLora: boolean; targets: readonly string[] }, baseModel: string): Record<string, unknown> {
  return {
    base_model_name_or_path: baseModel, bias: 'none', fan_in_fan_out: false, inference_mode: true, init_lora_weights: true, lora_alpha: alpha, lora_dropout: 0,
    modules_to_save: null, peft_type: 'LORA', r: rank, target_modules: targets, task_type: 'CAUSAL_LM', use_dora: false, use_rslora: rsLora,
  };
}
