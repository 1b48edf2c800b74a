/**
 * What a model takes of a device's memory and how long its sequences may be there: decided before anything is
 * allocated. Pure; sizes are bytes. What does not fit is a shortage with every part named, never a smaller promise.
 */
import { CortexError } from '@cortex/core';
import { roundUp } from './step-inputs.ts';

/** Cells are looked at in multiples of this: best for GPU kernels, and a decode graph lives for as many tokens. */
export const cellAlignment = 256;

export interface MemoryNeeds {
  readonly weightBytes: number;
  readonly kvBytesPerToken: number;
  /** Recurrent states of all slots. */
  readonly stateBytes: number;
  /** Intermediate results of the largest image; 0 without a tower. */
  readonly towerBytes: number;
  /** Intermediate results of the largest steps for sequences of this many tokens; grows with them. */
  computeBytes(contextMax: number): number;
}

/** The same as plain data, for those who cannot measure. */
export interface MeasuredNeeds extends Omit<MemoryNeeds, 'computeBytes'> {
  /** Weights that are used where the system has mapped the file: memory that it can take back. */
  readonly mappedBytes: number;
  /** Tokens of one sequence that the model allows. */
  readonly contextMax: number;
  readonly compute: MeasuredCompute;
  /** Of devices that share it; null where that is not asked for, or cannot be. */
  readonly sharing: SharedNeeds | null;
}

/** Intermediate results for some contexts, the shortest first and the model's own last. */
export type MeasuredCompute = readonly { readonly tokens: number; readonly bytes: number }[];

/** What several devices need that have parts of every layer. */
export interface SharedNeeds {
  /** Weights that each has whole. */
  readonly mirroredBytes: number;
  /** The vision tower's weights and intermediate results: of the first alone. */
  readonly towerWeightBytes: number;
  readonly towerBytes: number;
  /** Rows of the largest image, handed on to the others. */
  readonly imageRowBytes: number;
  readonly compute: MeasuredCompute;
  /** The rest is dealt out in whole pieces, of every kind one at least to each device. */
  readonly parts: readonly SharedPart[];
}

/** Pieces of one kind, and what each of them takes. */
export interface SharedPart {
  readonly name: string;
  readonly count: number;
  readonly weightBytes: number;
  readonly kvBytesPerToken: number;
  readonly stateBytes: number;
}

/** Between what was measured in a straight line: graphs do not grow faster than their context. */
export const computeBytesFrom = (compute: MeasuredCompute, contextMax: number): number => {
  const above = compute.find(({ tokens }) => tokens >= contextMax) ?? compute.at(-1);
  const below = compute.findLast(({ tokens }) => tokens < contextMax);
  if (above === undefined || below === undefined || above === below) return above?.bytes ?? 0;
  const share = (contextMax - below.tokens) / (above.tokens - below.tokens);
  return Math.ceil(below.bytes + share * (above.bytes - below.bytes));
};

export const needsFrom = (measured: MeasuredNeeds): MemoryNeeds => ({
  ...measured,
  computeBytes: (contextMax) => computeBytesFrom(measured.compute, contextMax),
});

/** Share of what the rest leaves free that a KV cache may take when the operator names no size. */
export const kvShareOf = (deviceKind: 'host' | 'device'): number => (deviceKind === 'host' ? 0.25 : 0.8);

export interface MemoryLimits {
  readonly freeBytes: number;
  /** Tokens of one sequence that the model and the operator allow. */
  readonly contextMax: number;
  /** Tokens of all sequences together; null: what fits. */
  readonly kvTokens: number | null;
  readonly nSlots: number;
  /** Share of what the rest leaves free that the KV cache may take by itself. */
  readonly kvShare: number;
}

/** Bytes by part. */
export interface MemoryParts {
  readonly weights: number;
  readonly kv: number;
  readonly state: number;
  readonly compute: number;
  readonly tower: number;
}

export interface MemoryPlan {
  /** Tokens that one sequence may hold. */
  readonly contextMax: number;
  /** Tokens that the KV cache holds for all sequences together. */
  readonly kvTokens: number;
  readonly parts: MemoryParts;
}

export type MemoryDecision =
  | { readonly kind: 'fits'; readonly plan: MemoryPlan }
  | { readonly kind: 'short'; readonly plan: MemoryPlan; readonly freeBytes: number };

export const totalBytes = ({ weights, kv, state, compute, tower }: MemoryParts): number =>
  weights + kv + state + compute + tower;

export const addedParts = (a: MemoryParts, b: MemoryParts): MemoryParts => ({
  weights: a.weights + b.weights,
  kv: a.kv + b.kv,
  state: a.state + b.state,
  compute: a.compute + b.compute,
  tower: a.tower + b.tower,
});

const partsOf = (needs: MemoryNeeds, contextMax: number, kvTokens: number): MemoryParts => ({
  weights: needs.weightBytes,
  kv: kvTokens * needs.kvBytesPerToken,
  state: needs.stateBytes,
  compute: needs.computeBytes(contextMax),
  tower: needs.towerBytes,
});

const roundDown = (n: number): number => Math.floor(n / cellAlignment) * cellAlignment;

/** Tokens of KV cache that fit beside everything else when one sequence may have `contextMax`. */
const affordableTokens = (needs: MemoryNeeds, limits: MemoryLimits, contextMax: number): number => {
  const left = limits.freeBytes - totalBytes(partsOf(needs, contextMax, 0));
  if (left < 0) return 0;
  return needs.kvBytesPerToken === 0 ? Infinity : roundDown((left * limits.kvShare) / needs.kvBytesPerToken);
};

/** The longest context that has room for itself. A shorter one takes smaller graphs, which leave more room. */
const affordableContext = (needs: MemoryNeeds, limits: MemoryLimits): number => {
  let context = roundUp(limits.contextMax, cellAlignment);
  while (context > cellAlignment) {
    const tokens = affordableTokens(needs, limits, context);
    if (tokens >= context) break;
    context = Math.max(cellAlignment, tokens, roundDown(context / 2));
  }
  return context;
};

/**
 * To three binary digits: what is free changes with every look, and a context that was told of before a load shall be the
 * one that it is given.
 */
const steady = (tokens: number): number => {
  const step = 2 ** Math.max(0, Math.floor(Math.log2(tokens)) - 3);
  return Math.floor(tokens / step) * step;
};

/** The whole one where there is room for it. */
const steadyContext = (needs: MemoryNeeds, limits: MemoryLimits): number => {
  const context = affordableContext(needs, limits);
  return context >= limits.contextMax ? context : steady(context);
};

export const planMemory = (needs: MemoryNeeds, limits: MemoryLimits): MemoryDecision => {
  const context =
    limits.kvTokens === null
      ? steadyContext(needs, limits)
      : roundUp(Math.max(1, Math.min(limits.contextMax, limits.kvTokens)), cellAlignment);
  const wanted =
    limits.kvTokens ?? Math.min(limits.contextMax * limits.nSlots, affordableTokens(needs, limits, context));
  const kvTokens = roundUp(Math.max(wanted, 1), cellAlignment);
  const parts = partsOf(needs, context, kvTokens);
  const plan: MemoryPlan = { contextMax: Math.min(limits.contextMax, context, kvTokens), kvTokens, parts };
  const { freeBytes } = limits;
  return totalBytes(parts) <= freeBytes ? { kind: 'fits', plan } : { kind: 'short', plan, freeBytes };
};

/** For devices that share a model: every one has all tokens of its part, so the one with the least room decides. */
export const planShared = (
  needs: readonly MemoryNeeds[],
  limits: Omit<MemoryLimits, 'freeBytes'>,
  freeBytes: readonly number[],
): readonly MemoryDecision[] => {
  const planned = (own: Omit<MemoryLimits, 'freeBytes'>): readonly MemoryDecision[] =>
    needs.map((need, i) => planMemory(need, { ...own, freeBytes: freeBytes[i] ?? 0 }));
  const alone = planned(limits).map(({ plan }) => plan);
  const contextMax = Math.min(...alone.map((plan) => plan.contextMax));
  const kvTokens = Math.min(...alone.map((plan) => plan.kvTokens));
  return planned({ ...limits, contextMax, kvTokens });
};

const mb = (nBytes: number): number => Math.ceil(nBytes / 2 ** 20);

/** Megabytes by part, such as `weights 1000, KV cache 16 for 256 tokens, computing 21`. */
export const partsText = ({ weights, kv, state, compute, tower }: MemoryParts, kvTokens?: number): string =>
  [
    `weights ${mb(weights)}`,
    `KV cache ${mb(kv)}${kvTokens === undefined ? '' : ` for ${kvTokens} tokens`}`,
    ...(state === 0 ? [] : [`recurrent states ${mb(state)}`]),
    `computing ${mb(compute)}`,
    ...(tower === 0 ? [] : [`images ${mb(tower)}`]),
  ].join(', ');

/** What is needed, by what, and what is free. */
export const shortage = (
  { plan, freeBytes }: Extract<MemoryDecision, { kind: 'short' }>,
  where: string,
): CortexError => {
  const { weights, kv, state, compute, tower } = plan.parts;
  const [needed, free] = [mb(totalBytes(plan.parts)), Math.floor(freeBytes / 2 ** 20)];
  const named = partsText(plan.parts, plan.kvTokens);
  return new CortexError('insufficient_vram', `${where}: ${needed} MB are needed (${named}), ${free} MB are free`, {
    facts: {
      needed_mb: needed,
      free_mb: free,
      weights_mb: mb(weights),
      kv_mb: mb(kv),
      kv_tokens: plan.kvTokens,
      state_mb: mb(state),
      compute_mb: mb(compute),
      tower_mb: mb(tower),
    },
  });
};
