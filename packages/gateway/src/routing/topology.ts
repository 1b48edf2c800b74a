/**
 * What the deciders see of the fleet: read-only views of nodes, their devices and the models on them. Fleet-state owns
 * the objects behind these views and changes them only between two decisions. Times are milliseconds of one monotonic
 * clock.
 */
import type { BrokenGroup, CortexError, LayerPart, Limit, ModelProfile, NodeModel, Sharing } from '@cortex/core';
import type { Circuit } from './circuit.ts';

export interface DeviceView {
  readonly index: number;
  readonly name: string;
  /** `cpu`, `cuda`, `vulkan`, `metal`. */
  readonly backend: string;
  readonly totalMb: number;
  readonly usedMb: number;
  /** As the last poll saw it; `freeMb()` of memory.ts also counts what loads in progress will take. */
  readonly freeMb: number;
  readonly utilizationPct: number | null;
  readonly tempC: number | null;
  readonly poisoned: boolean;
  readonly poisonedReason: string | null;
}

/** Memory promised to a load that no poll has seen finished. */
export interface Reservation {
  readonly modelId: string;
  readonly devices: readonly number[];
  /** Of each of them, at most. */
  readonly mostMb: readonly number[];
}

/** A model as one node has it: loaded, on its way, or on disk. */
export interface ModelOnNode {
  readonly id: string;
  readonly node: NodeView;
  readonly status: NodeModel['status'];
  /** Behind another gateway, which has yet to load it: a request may go there, but a warm copy is better. */
  readonly cold: 'loading' | 'available' | null;
  /** The gateways it is reached through, its node first; none on a neuron. */
  readonly via: readonly string[];
  /** What this gateway is having done to it; the poll's `status` may lag behind. */
  readonly operation: 'load' | 'unload' | null;
  readonly harness: string | null;
  readonly devices: readonly number[];
  readonly vramUsedMb: number;
  /** Of that, what each of its devices has where they share it; empty otherwise. */
  readonly devicesMb: readonly number[];
  /** What each device and the host have of it where its layers are on several; empty otherwise. */
  readonly layers: readonly LayerPart[];
  readonly vramNeededMb: number | null;
  /** Where its node's operator has it loaded; null: on any one device. */
  readonly placement: { readonly nDevices: number; readonly devices: readonly number[] | null } | null;
  /** What devices there take that share it; null where they cannot, or nothing is known of it. */
  readonly sharing: Sharing | null;
  /** No device there has room for it: its layers could be on all, and in so much of the host's memory. Null: not so. */
  readonly offload: { readonly hostMb: number; readonly isDefault: boolean } | null;
  /** Verbatim from the node; null when it does not say (other engines). */
  readonly capabilities: readonly string[] | null;
  /** False only where the node says what it can and vision is not among it. */
  readonly maySee: boolean;
  readonly limit: Limit | null;
  /** Prompt and answer together, in tokens; `Infinity` when unknown. */
  readonly contextMax: number;
  readonly toolCall: boolean | null;
  readonly reasoning: boolean | null;
  readonly servable: boolean;
  readonly servableReason: string | null;
  readonly progress: { readonly fraction: number; readonly phase: string; readonly etaSecs: number | null } | null;
  /** It sits on a poisoned device. */
  readonly poisoned: boolean;
  /** Leases of this gateway. */
  readonly leases: number;
  /** Requests on the node that are not ours, as of the last poll. */
  readonly foreign: number;
  readonly maxInFlight: number;
  /** Null before any work. */
  readonly decodeTokS: number | null;
  readonly lastUsedMs: number;
  readonly loadedAtMs: number;
  /** It gets no new lease, so that its memory can go to this model (or because an unload was asked for). */
  readonly closingFor: string | null;
  /** The node said it is busy with it: no new lease, and no unload, before this. */
  readonly backOffUntilMs: number;
  readonly evictAgainMs: number;
  /** It turned out not to be as the last poll had it: no new lease before one that began later. */
  readonly doubtedMs: number;
  /** Order of grants, for spreading equal choices. */
  readonly lastGrant: number;
  /** An operator's word, over `pinned_on`; null when there is none. */
  readonly pin: boolean | null;
}

export interface NodeView {
  readonly name: string;
  readonly endpoint: string;
  readonly kind: 'neuron' | 'upstream';
  /** `unknown` until the first poll has ended. */
  readonly reach: 'unknown' | 'up' | 'down';
  /** A poll takes longer than usual: nothing new goes there before it has ended well, and nothing is given up yet. */
  readonly silent: boolean;
  readonly downSinceMs: number;
  readonly downReason: string | null;
  /** Requests that came later than this do not go here; null when it is not draining. */
  readonly drainedFrom: number | null;
  readonly circuit: Circuit;
  readonly harnesses: readonly string[];
  /** When the last answered poll began (`-Infinity` until there is one), and the moment since which only later ones know how much memory is free. */
  readonly polledMs: number;
  readonly freedMs: number;
  readonly devices: readonly DeviceView[];
  /** Devices that cannot be used together until the node is restarted. */
  readonly brokenGroups: readonly BrokenGroup[];
  /** Of the host's memory; null where the node does not say. */
  readonly hostFreeMb: number | null;
  readonly models: ReadonlyMap<string, ModelOnNode>;
  readonly reservations: readonly Reservation[];
}

/** A load that failed is not tried again on that node before `untilMs`. */
export interface CoolDown {
  readonly untilMs: number;
  readonly error: CortexError;
}

export interface Topology {
  readonly nodes: ReadonlyMap<string, NodeView>;
  /** The same `ModelOnNode`s as in the nodes, by model id: routing must not look at every node. */
  readonly byModel: ReadonlyMap<string, readonly ModelOnNode[]>;
  readonly profiles: ReadonlyMap<string, ModelProfile>;
  readonly aliases: Readonly<Record<string, string>>;
}
