/**
 * A `Harness` without an engine, programmable per request: what it says, how fast, where it fails. Keeps the
 * interface's promises, so what works with it may rely on those alone.
 */
import { EventEmitter, once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { CortexError } from '@cortex/core';
import type {
  ChatRequest,
  CompletionEvent,
  CompletionRequest,
  BrokenGroup,
  DeviceHealth,
  DeviceInfo,
  EmbeddingsRequest,
  Harness,
  LoadRequest,
  ModelActivity,
  NodeModel,
  RequestContext,
  TokenizeRequest,
  TokenizeResponse,
  UnloadRequest,
  Usage,
} from '@cortex/core';

export type Script = (request: { readonly model: string }, context: RequestContext) => AsyncIterable<CompletionEvent>;

export const usageOf = (promptTokens: number, completionTokens: number): Usage => ({
  prompt_tokens: promptTokens,
  completion_tokens: completionTokens,
  total_tokens: promptTokens + completionTokens,
  prompt_tokens_details: { cached_tokens: 1 },
  completion_tokens_details: { accepted_prediction_tokens: 3, rejected_prediction_tokens: 2 },
});

/** Says the pieces one after the other, `pauseMs` before each, and ends as it should. */
export const says = (pieces: readonly string[], pauseMs = 0): Script =>
  async function* say(_request, { signal }) {
    yield { kind: 'accepted', promptTokens: 7 };
    for (const text of pieces) {
      if (pauseMs > 0) await delay(pauseMs, undefined, { signal });
      signal.throwIfAborted();
      yield { kind: 'text', choice: 0, text };
    }
    yield { kind: 'finish', choice: 0, reason: 'stop' };
    yield { kind: 'usage', usage: usageOf(7, pieces.length) };
  };

/** Yields the events as they are, then throws `error` if there is one. */
export const replays = (events: readonly CompletionEvent[], error?: Error): Script =>
  async function* replay() {
    yield* events;
    if (error !== undefined) throw error;
  };

/** Accepts, then never says anything until its request is aborted. */
export const hangs = (events: readonly CompletionEvent[] = [{ kind: 'accepted', promptTokens: 7 }]): Script =>
  async function* hang(_request, { signal }) {
    yield* events;
    await delay(3_600_000, undefined, { signal });
  };

export const fakeModel = (id: string, rest: Partial<NodeModel> = {}): NodeModel => ({
  id,
  harness: 'fake',
  status: 'available',
  devices: [],
  vram_used_mb: 0,
  capabilities: ['text'],
  limit: { context: 4096 },
  servable: { ok: true },
  ...rest,
});

export class FakeHarness implements Harness {
  readonly name = 'fake';
  readonly devices: readonly DeviceInfo[] = [{ index: 0, name: 'Fake GPU', backend: 'cuda', vram_total_mb: 1000 }];
  script: Script = says(['Hello', ' there']);
  loadError: Error | null = null;
  poisoned = false;
  catalogue: NodeModel[] = [fakeModel('org/tiny'), fakeModel('plain')];
  readonly seen: { readonly request: unknown; readonly context: RequestContext }[] = [];
  /** Requests whose generator has not yet ended. */
  running = 0;
  loads: string[] = [];
  closedWith: number | null = null;

  #held: Promise<unknown> = Promise.resolve();

  /** Loads that begin from now on end once what this returns was called. */
  holdLoads(): () => void {
    const gate = new EventEmitter();
    this.#held = once(gate, 'open');
    return () => void gate.emit('open');
  }

  async models(): Promise<readonly NodeModel[]> {
    return this.catalogue;
  }

  activity(): readonly ModelActivity[] {
    return this.catalogue
      .filter(({ status }) => status === 'loaded')
      .map(({ id }) => ({ id, in_flight: this.running, queue_depth: 0, max_in_flight: 4, rejected: 0 }));
  }

  brokenGroups(): readonly BrokenGroup[] {
    return [];
  }

  async deviceHealth(): Promise<readonly DeviceHealth[]> {
    return [{ index: 0, vram_used_mb: 250, vram_free_mb: 750, poisoned: this.poisoned }];
  }

  async load(request: LoadRequest): Promise<void> {
    this.loads.push(request.model_id);
    this.#model(request.model_id);
    this.#set(request.model_id, 'loading');
    await this.#held;
    if (this.loadError !== null) {
      this.#set(request.model_id, 'failed');
      throw this.loadError;
    }
    this.#set(request.model_id, 'loaded');
  }

  async unload(request: UnloadRequest): Promise<void> {
    this.#model(request.model_id);
    if (this.running > 0 && request.mode !== 'force') throw new CortexError('model_busy', 'requests are running');
    this.#set(request.model_id, 'available');
  }

  chat(request: ChatRequest, context: RequestContext): AsyncIterable<CompletionEvent> {
    return this.#run(request, context);
  }

  complete(request: CompletionRequest, context: RequestContext): AsyncIterable<CompletionEvent> {
    return this.#run(request, context);
  }

  async embed(
    request: EmbeddingsRequest,
    context: RequestContext,
  ): Promise<{ readonly vectors: readonly Float32Array[]; readonly promptTokens: number }> {
    this.#model(request.model);
    this.seen.push({ request, context });
    const inputs = Array.isArray(request.input) ? request.input : [request.input];
    return { vectors: inputs.map((_, i) => Float32Array.from([i, 0.5, -1])), promptTokens: inputs.length };
  }

  async tokenize(request: TokenizeRequest): Promise<TokenizeResponse> {
    this.#model(request.model);
    const text = request.prompt ?? JSON.stringify(request.messages);
    return { count: text.length, max_model_len: 4096, tokens: Array.from(text, (char) => char.codePointAt(0) ?? 0) };
  }

  async close(graceMs: number): Promise<void> {
    this.closedWith = graceMs;
  }

  async *#run(request: { readonly model: string }, context: RequestContext): AsyncGenerator<CompletionEvent> {
    this.seen.push({ request, context });
    this.#model(request.model);
    this.running += 1;
    try {
      yield* this.script(request, context);
    } finally {
      this.running -= 1;
    }
  }

  #model(id: string): NodeModel {
    const model = this.catalogue.find((one) => one.id === id);
    if (model !== undefined) return model;
    throw new CortexError('model_not_found', `there is no model ${id} here`, { facts: { model_id: id } });
  }

  #set(id: string, status: NodeModel['status']): void {
    this.catalogue = this.catalogue.map((model) => (model.id === id ? { ...model, status } : model));
  }
}
