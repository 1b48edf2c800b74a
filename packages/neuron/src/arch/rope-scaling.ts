/** Rotary scaling for contexts longer than the training's, as ggml's rope takes it (YaRN: Peng et al. 2023). */
import type { z } from 'zod';
import { badConfig, type ropeFields } from './config-fields.ts';

export interface RopeScaling {
  readonly nCtxOrig: number;
  readonly freqScale: number;
  readonly extFactor: number;
  readonly attnFactor: number;
  readonly betaFast: number;
  readonly betaSlow: number;
}

interface RopeConfig {
  readonly rope_scaling?: z.infer<typeof ropeFields.rope_scaling>;
  readonly rope_parameters?: z.infer<typeof ropeFields.rope_parameters>;
  readonly max_position_embeddings: number;
}

const positive = (value: unknown, name: string): number => {
  if (typeof value === 'number' && Number.isFinite(value) && value > 0) return value;
  throw badConfig(`rope scaling: ${name} is not a positive number`);
};

/** Null without scaling. @throws CortexError for kinds that ggml does not compute. */
export const ropeScalingOf = (config: RopeConfig): RopeScaling | null => {
  const raw = config.rope_scaling ?? config.rope_parameters;
  const kind =
    raw?.rope_type ?? (raw !== undefined && raw !== null && 'type' in raw ? raw['type'] : undefined) ?? 'default';
  if (raw === undefined || raw === null || kind === 'default') return null;
  const factor = positive(raw['factor'], 'factor');
  if (kind === 'linear') {
    return { nCtxOrig: 0, freqScale: 1 / factor, extFactor: 0, attnFactor: 1, betaFast: 32, betaSlow: 1 };
  }
  if (kind !== 'yarn') throw badConfig(`rope scaling of type ${JSON.stringify(kind)} is not built here`);
  const own = 1 + 0.1 * Math.log(factor);
  const wanted = raw['attention_factor'];
  return {
    nCtxOrig: positive(raw['original_max_position_embeddings'] ?? config.max_position_embeddings, 'original context'),
    freqScale: 1 / factor,
    extFactor: 1,
    // ggml multiplies by 1 + 0.1·ln(factor) itself.
    attnFactor: wanted === undefined || wanted === null ? 1 : positive(wanted, 'attention_factor') / own,
    betaFast: positive(raw['beta_fast'] ?? 32, 'beta_fast'),
    betaSlow: positive(raw['beta_slow'] ?? 1, 'beta_slow'),
  };
};
