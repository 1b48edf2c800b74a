/** What happens in the fleet, for the log and the metrics: facts, never words. */
import type { CortexError } from '@cortex/core';

export type FleetNotice =
  | { readonly kind: 'node_up'; readonly node: string; readonly restarted: boolean }
  | { readonly kind: 'node_down'; readonly node: string; readonly reason: string }
  | { readonly kind: 'circuit_opened'; readonly node: string; readonly error: CortexError }
  | { readonly kind: 'circuit_closed'; readonly node: string }
  | { readonly kind: 'device_poisoned'; readonly node: string; readonly device: number; readonly reason: string }
  | {
      readonly kind: 'group_broken';
      readonly node: string;
      readonly devices: readonly number[];
      readonly reason: string;
    }
  | { readonly kind: 'draining'; readonly node: string; readonly inFlight: number }
  | { readonly kind: 'drained'; readonly node: string }
  | { readonly kind: 'undrained'; readonly node: string }
  | { readonly kind: 'pinned'; readonly node: string; readonly model: string }
  | { readonly kind: 'unpinned'; readonly node: string; readonly model: string }
  | {
      readonly kind: 'load_started';
      readonly node: string;
      readonly model: string;
      readonly devices: readonly number[];
    }
  /** Every few seconds of a load's life, from the first draining of others on. */
  | {
      readonly kind: 'load_progress';
      readonly node: string;
      readonly model: string;
      readonly phase: 'draining' | 'unloading' | 'confirming' | 'loading';
      /** 0..1, of the load itself. */
      readonly fraction: number;
      readonly etaSecs: number | null;
      /** Requests that wait for it. */
      readonly waiting: number;
    }
  | { readonly kind: 'load_finished'; readonly node: string; readonly model: string; readonly loadMs: number }
  | { readonly kind: 'load_failed'; readonly node: string; readonly model: string; readonly error: CortexError }
  | { readonly kind: 'evicted'; readonly node: string; readonly model: string; readonly for: string }
  | { readonly kind: 'idle_unloaded'; readonly node: string; readonly model: string; readonly idleMs: number }
  | { readonly kind: 'unloaded'; readonly node: string; readonly model: string }
  | { readonly kind: 'unload_failed'; readonly node: string; readonly model: string; readonly error: CortexError }
  /** Unloads of this many models since the node's start: its memory may be fragmented, a restart would help. */
  | { readonly kind: 'defrag_due'; readonly node: string; readonly cycles: number };
