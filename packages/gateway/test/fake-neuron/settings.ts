/** What a fake neuron is made of, and what can be changed while it runs. Snake case where it travels as JSON. */
import type { ChatDelta, Sharing } from '@cortex/core';

export interface FakeModel {
  readonly id: string;
  vram_mb: number;
  capabilities: string[];
  context: number;
  status: 'available' | 'loading' | 'loaded' | 'unloading' | 'failed';
  devices: number[];
  /** Of each of them. */
  devices_mb: number[];
  /** Devices that share it where a load does not say. */
  tensor_parallel: number;
  /** What those take; null: it is divided in any way. */
  sharing: Sharing | null;
  load_ms: number;
  /** Loads fail with this until it is cleared. */
  load_error: string | null;
  /** From the unload's answer until the memory is seen free. */
  free_lag_ms: number;
  /** Requests at once; more wait. */
  max_in_flight: number;
  /** Admission to the first token. */
  first_token_ms: number;
  /** While true, no first token comes, nor a whole answer. */
  hold: boolean;
  /** Between two tokens. */
  token_ms: number;
  /** Words of a plain answer. */
  tokens: number;
  /** A comment line so often while prefilling; 0: never. */
  keepalive_ms: number;
  /** Instead of words: these pieces, in order. */
  deltas: ChatDelta[] | null;
  /** The pieces of a text answer hold this many bytes each. */
  piece_bytes: number;
  tool_call: boolean;
  reasoning: boolean;
}

export interface FakeDevice {
  readonly index: number;
  readonly name: string;
  readonly backend: string;
  readonly vram_total_mb: number;
  poisoned: boolean;
}

export const newModel = (id: string, changes: Partial<FakeModel> = {}): FakeModel => ({
  vram_mb: 1000,
  capabilities: ['text'],
  context: 32_768,
  status: 'available',
  devices: [],
  devices_mb: [],
  tensor_parallel: 1,
  sharing: null,
  load_ms: 50,
  load_error: null,
  free_lag_ms: 0,
  max_in_flight: 16,
  first_token_ms: 0,
  hold: false,
  token_ms: 0,
  tokens: 8,
  keepalive_ms: 0,
  deltas: null,
  piece_bytes: 0,
  tool_call: true,
  reasoning: false,
  ...changes,
  id,
});

export interface FakeSettings {
  readonly host?: string;
  /** 0: any free one, kept over restarts. */
  readonly port?: number;
  readonly name?: string;
  readonly devices?: readonly { readonly vram_total_mb: number; readonly backend?: string }[];
  readonly models?: readonly FakeModel[];
  /** Bearer token it asks for. */
  readonly token?: string;
}

/**
 * What goes wrong with the next requests, one fault for each, in the order they were set. `after_tokens` counts the
 * pieces that are sent well before.
 */
export type Fault =
  | { readonly kind: 'reset_before_headers' }
  | { readonly kind: 'slow_headers'; readonly ms: number }
  | {
      readonly kind: 'status';
      readonly status: number;
      readonly code?: string;
      readonly message?: string;
      readonly retry_after?: number;
    }
  /** Half a JSON body, or half of a stream's fourth event, then the connection ends. */
  | { readonly kind: 'reset_mid_body' }
  | { readonly kind: 'garbage_body' }
  /** What some other service on that port would say. */
  | { readonly kind: 'not_http' }
  /** Status 200, and an error for its body. */
  | { readonly kind: 'error_body'; readonly code: string }
  /** JSON at once, whether a stream was asked for or not. */
  | { readonly kind: 'never_streams' }
  | { readonly kind: 'reset_mid_stream'; readonly after_tokens: number }
  | { readonly kind: 'end_without_done'; readonly after_tokens: number }
  /** `[DONE]`, and no reason why. */
  | { readonly kind: 'done_early'; readonly after_tokens: number }
  /** A whole answer stops before its body, or in the middle of it. */
  | { readonly kind: 'stall'; readonly after_tokens: number }
  | { readonly kind: 'garbage_sse'; readonly after_tokens: number }
  | { readonly kind: 'error_event'; readonly after_tokens: number; readonly code: string };

export interface SeenRequest {
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}
