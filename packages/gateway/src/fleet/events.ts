/** What goes into the fleet's run loop and what comes out of it. Plain data; nothing here waits. */
import type { CortexError, Discovery, Health, LoadRequest, NodeModel, UnloadRequest } from '@cortex/core';
import type { LeaseOutcome, RouteRequest, Target, WaitProgress } from './contract.ts';
import type { FleetNotice } from './notices.ts';

export type UnloadMode = NonNullable<UnloadRequest['mode']>;

/** Other engines say less of a model than a neuron does. */
export interface PolledModel extends Pick<
  NodeModel,
  | 'id'
  | 'harness'
  | 'status'
  | 'devices'
  | 'vram_used_mb'
  | 'devices_mb'
  | 'vram_needed_mb'
  | 'sharing'
  | 'placement'
  | 'layers'
  | 'layer_offload'
  | 'limit'
  | 'tool_call'
  | 'reasoning'
  | 'servable'
  | 'progress'
  | 'error'
> {
  readonly capabilities: readonly string[] | null;
  /** Of another gateway's model: what that one has yet to load. */
  readonly cold?: 'loading' | 'available' | null;
  /** Gateways it is reached through, the node itself first. */
  readonly via?: readonly string[];
}

/** One look at a node. Memory is read after the models, so it holds whatever is reported loaded. */
export interface PollResult {
  readonly startedMs: number;
  /** Null when it was not asked again. */
  readonly discovery: Discovery | null;
  readonly models: readonly PolledModel[];
  /** Null for other engines. */
  readonly health: Health | null;
}

export type FleetEvent =
  | { readonly kind: 'acquire'; readonly ticket: number; readonly request: RouteRequest }
  /** The client left while it waited. */
  | { readonly kind: 'cancel'; readonly ticket: number }
  | { readonly kind: 'release'; readonly ticket: number; readonly outcome: LeaseOutcome }
  /** An operator's wish. */
  | { readonly kind: 'load'; readonly ticket: number; readonly name: string; readonly node: string | null }
  | {
      readonly kind: 'unload';
      readonly ticket: number;
      readonly name: string;
      readonly node: string | null;
      readonly mode: UnloadMode;
    }
  | { readonly kind: 'drain'; readonly node: string }
  | { readonly kind: 'undrain'; readonly node: string }
  | { readonly kind: 'pin'; readonly node: string; readonly model: string; readonly pinned: boolean }
  | { readonly kind: 'polled'; readonly node: string; readonly result: PollResult }
  /** A look has taken longer than its node's looks usually do, and is still under way. */
  | { readonly kind: 'poll_late'; readonly node: string }
  | {
      readonly kind: 'poll_failed';
      readonly node: string;
      readonly reason: string;
      readonly startedMs: number;
      /** Rather than refused, or answered with something else. */
      readonly unanswered: boolean;
    }
  /** The node took the load; polls tell how it goes. */
  | { readonly kind: 'load_accepted'; readonly plan: number }
  | { readonly kind: 'load_failed'; readonly plan: number; readonly error: CortexError }
  | { readonly kind: 'unloaded'; readonly operation: number }
  | { readonly kind: 'unload_failed'; readonly operation: number; readonly error: CortexError }
  | { readonly kind: 'tick' }
  | { readonly kind: 'close' };

export interface Grant {
  readonly target: Target;
  readonly coldStart: boolean;
  readonly queueMs: number;
  readonly loadMs: number;
}

/** Every ticket ends in exactly one of `grant`, `loaded`, `unloaded`, `reject`, unless it was cancelled. */
export type FleetEffect =
  | { readonly kind: 'grant'; readonly ticket: number; readonly grant: Grant }
  | { readonly kind: 'loaded'; readonly ticket: number; readonly node: string }
  | { readonly kind: 'unloaded'; readonly ticket: number; readonly nodes: readonly string[] }
  | { readonly kind: 'reject'; readonly ticket: number; readonly error: CortexError }
  | { readonly kind: 'progress'; readonly ticket: number; readonly progress: WaitProgress }
  | { readonly kind: 'start_load'; readonly plan: number; readonly node: string; readonly request: LoadRequest }
  | {
      readonly kind: 'start_unload';
      readonly operation: number;
      readonly node: string;
      readonly modelId: string;
      readonly mode: UnloadMode;
    }
  /** The node of this lease has answered no look since then. */
  | { readonly kind: 'hangs'; readonly ticket: number; readonly sinceMs: number }
  /** Look at it now, rather than at the next interval. */
  | { readonly kind: 'poll'; readonly node: string }
  | { readonly kind: 'notice'; readonly notice: FleetNotice };
