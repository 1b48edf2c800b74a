/**
 * What the gateway's own routes under `/api` answer (JSON, snake_case), for the page and the command line. The gateway
 * writes values of these types; whoever reads them trusts the gateway.
 */
import type { ModelProfile } from './config/models.ts';
import type { BrokenGroup, LayerPart, Limit } from './neuron-api.ts';

export type ModelState = 'loaded' | 'loading' | 'available';

/** One entry of `/v1/models`, beside what each protocol's own list wants. Plain JSON. */
export interface CatalogueModel {
  readonly id: string;
  /** The model an alias stands for; null for a model. */
  readonly alias_of: string | null;
  readonly state: ModelState;
  /** Verbatim as the nodes report them; as in `models.toml` while no node has the model; empty when nobody says. */
  readonly capabilities: readonly string[];
  /** Tokens; null when nobody says. */
  readonly limit: Limit | null;
  /** US dollars for a million tokens; null when not declared. */
  readonly cost: ModelProfile['cost'] | null;
  readonly tool_call: boolean | null;
  readonly reasoning: boolean | null;
  readonly harness: string | null;
  readonly quant: string | null;
  /** Where it is loaded or on its way, then where it could be. */
  readonly nodes: readonly { readonly name: string; readonly state: ModelState; readonly devices: readonly number[] }[];
  /** Other gateways it is reached through, the nearest first; in `/v1/models` the one that answers before them. */
  readonly via: readonly string[];
  readonly progress: {
    readonly fraction: number;
    readonly phase: string;
    readonly eta_secs: number | null;
  } | null;
}

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
  /** What each of `devices` has of it. */
  readonly devices_mb: readonly number[];
  /** What each device (null: the host's memory) has of it where its layers are on several; empty otherwise. */
  readonly layers: readonly Pick<LayerPart, 'device' | 'name' | 'layers' | 'mb'>[];
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
  /** It is neither evicted nor unloaded when idle: `pinned_on` of models.toml, or an operator. */
  readonly pinned: boolean;
  readonly progress: CatalogueModel['progress'];
  /** Why it can't serve, or why its last load here failed. */
  readonly reason: string | null;
}

export interface NodeSnapshot {
  readonly name: string;
  readonly endpoint: string;
  readonly kind: 'neuron' | 'upstream';
  readonly reach: 'unknown' | 'up' | 'silent' | 'down';
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
  /** Devices that cannot be used together until the node is restarted; each goes on by itself. */
  readonly broken_groups: readonly Pick<BrokenGroup, 'devices' | 'by_layers' | 'reason'>[];
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

export interface Candidate {
  readonly node: string;
  readonly verdict: 'chosen' | 'eligible' | 'rejected';
  /** Short and human: `model loaded, 0 in flight`, `no vision`, `context 4096 < 9000`. */
  readonly reason: string;
}

export interface RouteExplanation {
  readonly model: string;
  readonly resolvedModel: string | null;
  readonly action: 'forward' | 'load' | 'evict_and_load' | 'wait' | 'refuse';
  readonly chosen: string | null;
  readonly evictions: readonly { readonly node: string; readonly model: string; readonly reason: string }[];
  readonly candidates: readonly Candidate[];
  readonly error: { readonly code: string; readonly message: string } | null;
}

/** How a waiting request is doing. */
export type WaitProgress =
  | { readonly kind: 'queued'; readonly position: number }
  | { readonly kind: 'loading'; readonly node: string; readonly fraction: number; readonly etaSecs: number | null };

export type RequestOutcome = 'done' | 'error' | 'cancelled';

/** `running`: at a node, whose answer comes in one piece, so that nothing more is known of it. */
export type RequestPhase = 'queued' | 'loading' | 'prefill' | 'decoding' | 'running';

export interface LiveRequest {
  readonly id: string;
  /** `chat`, `messages`, `responses`, … */
  readonly dialect: string;
  /** Name of the key or address. */
  readonly client: string;
  readonly asked: string | null;
  /** Null until a node is found. */
  readonly model: string | null;
  readonly node: string | null;
  readonly stream: boolean;
  readonly phase: RequestPhase;
  /** What a queued or loading one waits for. */
  readonly wait: WaitProgress | null;
  /** Milliseconds since 1970. */
  readonly started_at: number;
  readonly elapsed_ms: number;
  readonly attempts: number;
  readonly cold_start: boolean;
  /** Null while it still waits. */
  readonly queue_ms: number | null;
  readonly load_ms: number | null;
  readonly ttft_ms: number | null;
  /** So far: as the node reports them, or else pieces of the stream. */
  readonly completion_tokens: number;
  readonly tok_s: number | null;
}

export interface FinishedRequest {
  readonly id: string;
  readonly dialect: string;
  readonly client: string;
  /** Null: it was refused before its body was read. */
  readonly asked: string | null;
  readonly model: string | null;
  readonly node: string | null;
  readonly stream: boolean;
  readonly outcome: RequestOutcome;
  readonly status: number;
  readonly error: { readonly code: string; readonly message: string } | null;
  /** Milliseconds since 1970. */
  readonly ended_at: number;
  readonly duration_ms: number;
  readonly attempts: number;
  readonly cold_start: boolean;
  readonly queue_ms: number;
  readonly load_ms: number;
  readonly prefill_ms: number | null;
  readonly ttft_ms: number | null;
  readonly prompt_tokens: number | null;
  readonly cached_tokens: number | null;
  readonly completion_tokens: number | null;
  readonly tok_s: number | null;
}

export interface RoutingDecision {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly request_id: string;
  /** Name of the key or address. */
  readonly client: string;
  /** As the client wrote it, and what that means here; null: there is no such model. */
  readonly asked: string;
  readonly model: string | null;
  /** 1 for a request's first node, more after a failover. */
  readonly attempt: number;
  readonly outcome: 'granted' | 'refused' | 'cancelled';
  /** Granted to. */
  readonly node: string | null;
  readonly cold_start: boolean;
  readonly queue_ms: number;
  readonly load_ms: number;
  /** Why it was not granted. */
  readonly error: { readonly code: string; readonly message: string } | null;
  /** What was decided at once, and each node's verdict; null: too many decisions at that moment to word this one. */
  readonly explanation: RouteExplanation | null;
}

/** `GET /api/events`: the names of the server-sent events, and their data. Lists come oldest first. */
export interface PageEvents {
  /** First of all. `admin`: the caller may load, unload, pin and drain, and sees the log and who asked. `keys`: there are some. */
  readonly hello: { readonly version: string; readonly admin: boolean; readonly keys: boolean };
  /** When it has changed. */
  readonly fleet: FleetSnapshot;
  /** Those that run, oldest first, while there are any; of very many the newest. */
  readonly live: { readonly total: number; readonly requests: readonly LiveRequest[] };
  /** Those since the last such event; the first holds those of before. */
  readonly finished: readonly FinishedRequest[];
  readonly decisions: readonly RoutingDecision[];
  /** Lines as they were logged: JSON objects with `level`, `time`, `msg` and fields. Only for admins. */
  readonly log: readonly string[];
}
