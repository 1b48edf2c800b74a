/** The fleet's settings, in milliseconds, as `cortex.toml` and `models.toml` give them. */
import type { CortexConfig, ModelProfile, ModelsConfig } from '@cortex/core';
import type { EvictionPolicy } from '../routing/choose-evictions.ts';
import type { CircuitPolicy } from '../routing/circuit.ts';

export interface NodeConfig {
  readonly name: string;
  /** Base URL without a trailing slash. */
  readonly endpoint: string;
  readonly kind: 'neuron' | 'upstream';
  /** Bearer token it wants. */
  readonly token?: string;
  /** Requests at once for each of its models, where it does not say so itself. */
  readonly slots: number;
}

export interface FleetConfig {
  readonly nodes: readonly NodeConfig[];
  readonly profiles: readonly ModelProfile[];
  readonly aliases: Readonly<Record<string, string>>;
  readonly eviction: EvictionPolicy & {
    /** 0: never said. */
    readonly defragAfterCycles: number;
    /** For models without their own; 0: never. */
    readonly idleUnloadMs: number;
  };
  readonly queue: {
    readonly requestsMax: number;
    readonly timeoutMs: number;
    /** A request rises by one priority for each such time its client has waited. */
    readonly agingMs: number;
  };
  readonly poll: {
    readonly intervalMs: number;
    readonly timeoutMs: number;
    /** Longest pause between polls of a dead node. */
    readonly backOffMaxMs: number;
  };
  readonly circuit: CircuitPolicy;
  readonly load: {
    /** First pause after a failed load on a node, doubled on each further one. */
    readonly coolDownMs: number;
    readonly coolDownMaxMs: number;
    /** Longest wait, after an unload, for a poll that sees the memory free. */
    readonly confirmMs: number;
    /** A load without progress for so long has failed. */
    readonly stallMs: number;
  };
  /** Granularity of deadlines, ageing and progress. */
  readonly tickMs: number;
}

/** Settings that no file has, because nobody has needed to change them. */
const fixed = {
  lingerMs: 500,
  swapAfterMs: 15_000,
  agingMs: 10_000,
  backOffMaxMs: 15_000,
  openMaxMs: 60_000,
  probeGapMs: 2_000,
  tickMs: 250,
  load: { coolDownMs: 15_000, coolDownMaxMs: 300_000, confirmMs: 10_000, stallMs: 900_000 },
} as const;

/** Neurons tell how many requests they take; this holds for one that does not. */
const neuronSlots = 256;

const secs = (value: number): number => value * 1000;

/** @param models the parsed `models.toml` */
export const fleetConfig = (cortex: CortexConfig, models: ModelsConfig): FleetConfig => {
  const token = cortex.gateway.neuron_token;
  const neurons = cortex.neurons.map(({ name, endpoint }): NodeConfig => ({
    name,
    endpoint,
    kind: 'neuron',
    slots: neuronSlots,
    ...(token === undefined ? {} : { token }),
  }));
  const upstreams = cortex.upstreams.map(({ name, endpoint, api_key, max_in_flight }): NodeConfig => ({
    name,
    endpoint,
    kind: 'upstream',
    slots: max_in_flight,
    ...(api_key === undefined ? {} : { token: api_key }),
  }));
  return {
    nodes: [...neurons, ...upstreams],
    profiles: models.models,
    aliases: models.aliases,
    eviction: {
      strategy: cortex.eviction.strategy,
      lingerMs: fixed.lingerMs,
      swapAfterMs: fixed.swapAfterMs,
      defragAfterCycles: cortex.eviction.defrag_after_cycles,
      idleUnloadMs: secs(cortex.eviction.idle_unload_secs),
    },
    queue: {
      requestsMax: cortex.queue.requests_max,
      timeoutMs: secs(cortex.queue.timeout_secs),
      agingMs: fixed.agingMs,
    },
    poll: {
      intervalMs: secs(cortex.poller.interval_secs),
      timeoutMs: secs(cortex.poller.timeout_secs),
      backOffMaxMs: Math.max(fixed.backOffMaxMs, secs(cortex.poller.interval_secs)),
    },
    circuit: {
      failuresMax: cortex.circuit.failures,
      openMs: secs(cortex.circuit.open_secs),
      openMaxMs: fixed.openMaxMs,
      probeGapMs: fixed.probeGapMs,
    },
    load: fixed.load,
    tickMs: fixed.tickMs,
  };
};
