/**
 * What earlier loads taught: how long a model takes on a node, how much memory it turned out to need, and which loads
 * failed so recently that trying again is not worth it. Bounded; the oldest lessons are forgotten.
 */
import type { CortexError, ModelProfile } from '@cortex/core';
import type { CoolDown, ModelOnNode } from '../routing/topology.ts';

const lessonsMax = 4096;

/** Weight of the newest measurement. */
const newest = 0.5;

const remember = <T>(map: Map<string, T>, key: string, value: T): void => {
  map.delete(key);
  map.set(key, value);
  if (map.size <= lessonsMax) return;
  for (const oldest of map.keys()) {
    map.delete(oldest);
    return;
  }
};

const blend = (old: number | undefined, value: number): number =>
  old === undefined ? value : old + (value - old) * newest;

const at = (modelId: string, node: string): string => `${node}\n${modelId}`;

interface Failure extends CoolDown {
  readonly inARow: number;
}

export interface CoolDownPolicy {
  readonly coolDownMs: number;
  readonly coolDownMaxMs: number;
}

export class LoadBook {
  readonly #policy: CoolDownPolicy;
  readonly #loadMs = new Map<string, number>();
  readonly #modelLoadMs = new Map<string, number>();
  readonly #nodeMsPerMb = new Map<string, number>();
  readonly #measuredMb = new Map<string, number>();
  readonly #refused = new Map<string, { readonly mb: number; readonly untilMs: number }>();
  readonly #failures = new Map<string, Failure>();

  constructor(policy: CoolDownPolicy) {
    this.#policy = policy;
  }

  /** @param loadMs null when nobody saw it begin */
  loaded(modelId: string, node: string, loadMs: number | null, vramMb: number): void {
    const key = at(modelId, node);
    this.#failures.delete(key);
    if (vramMb > 0) remember(this.#measuredMb, modelId, vramMb);
    if (loadMs === null) return;
    remember(this.#loadMs, key, blend(this.#loadMs.get(key), loadMs));
    remember(this.#modelLoadMs, modelId, blend(this.#modelLoadMs.get(modelId), loadMs));
    if (vramMb > 0) remember(this.#nodeMsPerMb, node, blend(this.#nodeMsPerMb.get(node), loadMs / vramMb));
  }

  /**
   * @param evictableMb free memory on its devices where other models could still make more; null where nothing could.
   * A load refused for memory then corrects the estimate, and is tried again at once while that brings it more.
   */
  failed(modelId: string, node: string, error: CortexError, evictableMb: number | null, nowMs: number): void {
    const key = at(modelId, node);
    const inARow = (this.#failures.get(key)?.inARow ?? 0) + 1;
    const { coolDownMs, coolDownMaxMs } = this.#policy;
    const refusedMb = this.#refusedMb(key, nowMs);
    const learns =
      error.code === 'insufficient_vram' && evictableMb !== null && (refusedMb === null || evictableMb > refusedMb);
    if (learns) remember(this.#refused, key, { mb: evictableMb, untilMs: nowMs + coolDownMaxMs });
    const pauseMs = learns ? 0 : Math.min(coolDownMaxMs, coolDownMs * 2 ** Math.min(inARow - 1, 30));
    remember(this.#failures, key, { untilMs: nowMs + pauseMs, error, inARow });
  }

  coolDown(modelId: string, node: string, nowMs: number): CoolDown | null {
    const failure = this.#failures.get(at(modelId, node));
    return failure !== undefined && failure.untilMs > nowMs ? failure : null;
  }

  /** An operator asks for it by name: try at once. */
  forgive(modelId: string): void {
    for (const key of this.#failures.keys()) if (key.endsWith(`\n${modelId}`)) this.#failures.delete(key);
  }

  /** Expected milliseconds, from this model here, then this node's speed, then this model elsewhere; null unknown. */
  estimateMs(modelId: string, node: string, needMb: number | null): number | null {
    const here = this.#loadMs.get(at(modelId, node));
    if (here !== undefined) return here;
    const msPerMb = this.#nodeMsPerMb.get(node);
    if (msPerMb !== undefined && needMb !== null && needMb > 0) return msPerMb * needMb;
    return this.#modelLoadMs.get(modelId) ?? null;
  }

  /** Of its loads anywhere. */
  loadMs(modelId: string): number | null {
    return this.#modelLoadMs.get(modelId) ?? null;
  }

  /** Megabytes to keep for it: the node's word, the operator's, what it took before; more after a refusal. */
  needMb(
    modelId: string,
    node: string,
    entry: ModelOnNode | undefined,
    profile: ModelProfile | undefined,
    nowMs: number,
  ): number | null {
    const expected = entry?.vramNeededMb ?? profile?.vram_mb ?? this.#measuredMb.get(modelId) ?? null;
    const refusedMb = this.#refusedMb(at(modelId, node), nowMs);
    return refusedMb === null ? expected : Math.max(expected ?? 0, refusedMb + 1);
  }

  /** Free memory that was too little, as long as that is worth believing. */
  #refusedMb(key: string, nowMs: number): number | null {
    const refused = this.#refused.get(key);
    return refused === undefined || refused.untilMs <= nowMs ? null : refused.mb;
  }
}
