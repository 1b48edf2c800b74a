/** The fleet as plain JSON, for `GET /api/fleet`, the page and the gauges. Snake case, as on the wire. */
import type { CatalogueModel } from '../routing/catalogue.ts';

export interface DeviceSnapshot {
  readonly index: number;
  readonly name: string;
  readonly backend: string;
  readonly vram_total_mb: number;
  readonly vram_used_mb: number;
  /** As polled. */
  readonly vram_free_mb: number;
  /** Of the free memory, what loads in progress were promised. */
  readonly vram_reserved_mb: number;
  readonly utilization_pct: number | null;
  readonly temp_c: number | null;
  readonly poisoned: boolean;
  readonly poisoned_reason: string | null;
}

export interface NodeModelSnapshot {
  readonly id: string;
  readonly status: 'loaded' | 'loading' | 'unloading' | 'available' | 'failed';
  readonly devices: readonly number[];
  readonly vram_used_mb: number;
  /** Leases of this gateway. */
  readonly in_flight: number;
  /** Requests on the node that came from elsewhere, as of the last poll. */
  readonly foreign_in_flight: number;
  readonly max_in_flight: number;
  readonly tok_s_decode: number | null;
  /** Seconds since it was last in use; null when it is not loaded. */
  readonly idle_secs: number | null;
  /** It takes no new requests, so that this model gets its place; its own id while an unload was asked for. */
  readonly closing_for: string | null;
  readonly progress: CatalogueModel['progress'];
  /** Why it can't serve, or why its last load here failed. */
  readonly reason: string | null;
}

export interface NodeSnapshot {
  readonly name: string;
  readonly endpoint: string;
  readonly kind: 'neuron' | 'upstream';
  readonly reach: 'unknown' | 'up' | 'down';
  readonly down_reason: string | null;
  readonly draining: boolean;
  readonly circuit: 'closed' | 'open' | 'half_open';
  readonly hostname: string | null;
  readonly uptime_secs: number | null;
  readonly in_flight: number;
  /** Models unloaded there since the node's start. */
  readonly cycles: number;
  readonly defrag_due: boolean;
  readonly devices: readonly DeviceSnapshot[];
  readonly models: readonly NodeModelSnapshot[];
}

export interface PlanSnapshot {
  readonly model: string;
  readonly node: string;
  readonly phase: 'draining' | 'unloading' | 'confirming' | 'loading';
  readonly evicting: readonly string[];
  readonly fraction: number;
  readonly eta_secs: number | null;
  readonly elapsed_secs: number;
}

export interface QueueSnapshot {
  readonly waiting: number;
  readonly max: number;
  readonly oldest_secs: number;
  readonly by_model: readonly { readonly model: string; readonly waiting: number }[];
}

export interface FleetSnapshot {
  readonly nodes: readonly NodeSnapshot[];
  readonly queue: QueueSnapshot;
  /** Loads in progress, with what they displace. */
  readonly plans: readonly PlanSnapshot[];
  readonly models: readonly CatalogueModel[];
}
