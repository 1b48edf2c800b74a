/**
 * What earlier loads taught: how long a model takes on a node, how much memory it turned out to need, and which loads
 * failed so recently that trying again is not worth it. Bounded; the oldest lessons are forgotten.
 */
import type { CortexError, ModelProfile } from '@cortex/core';
import type { CoolDown, ModelOnNode } from '../routing/topology.ts';

const lessonsMax = 4096;

/** Refusals in a row of which a look at the node may still tell another reason. */
const doubtsMax = 3;

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

/** A load was refused for memory with `mb` free on its devices, as far as was known. */
interface Refusal {
  readonly mb: number;
  readonly devices: readonly number[];
  readonly atMs: number;
  readonly untilMs: number;
}

/** What was free on the devices of a load, as far as was known. */
export interface FreeMemory {
  readonly mb: number;
  readonly devices: readonly number[];
  /** Other models could still make more. */
  readonly evictable: boolean;
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
  readonly #refused = new Map<string, Refusal>();
  /** Refusals since which their node has not been looked at. */
  readonly #unseen = new Set<string>();
  readonly #failures = new Map<string, Failure>();
  /** Loads refused for memory that should have been free: whether it is, a look at the node will tell. */
  readonly #doubts = new Map<string, Refusal>();

  constructor(policy: CoolDownPolicy) {
    this.#policy = policy;
  }

  /** @param loadMs null when nobody saw it begin */
  loaded(modelId: string, node: string, loadMs: number | null, vramMb: number): void {
    const key = at(modelId, node);
    this.#failures.delete(key);
    const refusedMb = this.#refused.get(key)?.mb ?? 0;
    // It takes no more than it was refused with: others held that.
    if (vramMb > 0 && vramMb <= refusedMb) this.#refused.delete(key);
    if (vramMb > 0) remember(this.#measuredMb, modelId, vramMb);
    if (loadMs === null) return;
    remember(this.#loadMs, key, blend(this.#loadMs.get(key), loadMs));
    remember(this.#modelLoadMs, modelId, blend(this.#modelLoadMs.get(modelId), loadMs));
    if (vramMb > 0) remember(this.#nodeMsPerMb, node, blend(this.#nodeMsPerMb.get(node), loadMs / vramMb));
  }

  /**
   * A load refused for memory corrects the estimate where other models could make more room, and is tried again at once
   * while that brings it more. Where they could not, it is tried again once a look at the node has told why.
   */
  failed(modelId: string, node: string, error: CortexError, free: FreeMemory, nowMs: number): void {
    const key = at(modelId, node);
    const inARow = (this.#failures.get(key)?.inARow ?? 0) + 1;
    const { coolDownMaxMs } = this.#policy;
    const refusedMb = this.#refusedMb(key, nowMs);
    const isForMemory = error.code === 'insufficient_vram';
    const learns = isForMemory && free.evictable && (refusedMb === null || free.mb > refusedMb);
    const refusal = { mb: free.mb, devices: free.devices, atMs: nowMs, untilMs: nowMs + coolDownMaxMs };
    if (learns) {
      remember(this.#refused, key, refusal);
      // Who is refused again and again learns, whatever the looks say.
      if (inARow < doubtsMax) this.#unseen.add(key);
    }
    const doubts = isForMemory && !free.evictable && inARow < doubtsMax;
    if (doubts) remember(this.#doubts, key, refusal);
    const pauseMs = learns || doubts ? 0 : this.#pauseMs(inARow);
    remember(this.#failures, key, { untilMs: nowMs + pauseMs, error, inARow });
  }

  /** It was refused for memory that should have been free, and its node has not been looked at since. */
  isDoubted(modelId: string, node: string): boolean {
    return this.#doubts.has(at(modelId, node));
  }

  /**
   * The node was looked at, from `startedMs` on: where there is less free than was thought, that is why loads were
   * refused, as when another gateway was quicker, and nothing is learnt about the models.
   */
  looked(node: string, startedMs: number, freeMb: (devices: readonly number[]) => number, nowMs: number): void {
    this.#settleDoubts(node, startedMs, freeMb, nowMs);
    for (const key of this.#unseen) {
      const refusal = this.#refused.get(key);
      if (refusal !== undefined && (!key.startsWith(at('', node)) || startedMs < refusal.atMs)) continue;
      this.#unseen.delete(key);
      if (refusal !== undefined && freeMb(refusal.devices) < refusal.mb) this.#refused.delete(key);
    }
  }

  #settleDoubts(node: string, startedMs: number, freeMb: (devices: readonly number[]) => number, nowMs: number): void {
    for (const [key, { mb, devices, atMs }] of this.#doubts) {
      if (!key.startsWith(at('', node)) || startedMs < atMs) continue;
      this.#doubts.delete(key);
      const failure = this.#failures.get(key);
      if (failure === undefined) continue;
      // As free as before, and yet refused: the node knows better, and shall be asked again only after a pause.
      if (freeMb(devices) < mb) this.#failures.delete(key);
      else remember(this.#failures, key, { ...failure, untilMs: nowMs + this.#pauseMs(failure.inARow) });
    }
  }

  #pauseMs(inARow: number): number {
    const { coolDownMs, coolDownMaxMs } = this.#policy;
    return Math.min(coolDownMaxMs, coolDownMs * 2 ** Math.min(inARow - 1, 30));
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
