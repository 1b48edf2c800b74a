/**
 * A neuron without an engine: the whole wire of a real one, with programmable models, paces, load times and faults.
 * Run it by hand with `main.ts`, change it while it runs over `/control`, or start it inside a test.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import {
  brokenGroupSchema,
  CortexError,
  type BrokenGroup,
  type Discovery,
  type Health,
  type LoadRequest,
  type UnloadRequest,
} from '@cortex/core';
import { promptTokens } from './answers.ts';
import { generate, sendError, type Route } from './generate.ts';
import { ModelStore } from './model-store.ts';
import { newModel, type FakeModel, type FakeSettings, type Fault, type SeenRequest } from './settings.ts';

type Body = Readonly<Record<string, unknown>>;

const readBody = async (request: IncomingMessage): Promise<string> => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
};

const sendJson = (response: ServerResponse, body: unknown): void => {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
};

export class FakeNeuron {
  readonly name: string;
  readonly store: ModelStore;
  readonly faults: Fault[] = [];
  /** Devices that cannot be used together any more. */
  readonly brokenGroups: BrokenGroup[] = [];
  readonly seen: SeenRequest[] = [];
  /** Inference requests whose client left before the end. */
  nAborted = 0;
  /** When the last of those was noticed, on `performance.now()`. */
  lastAbortMs = 0;
  /** Requests to poll routes. */
  nPolls = 0;
  /** Polls take this long. */
  pollMs = 0;
  /** Requests are taken and not answered, polls included, as by a process that hangs. */
  hangs = false;
  readonly #settings: FakeSettings;
  readonly #sockets = new Set<Socket>();
  #close: (() => Promise<void>) | null = null;
  #port: number;
  #startedMs = 0;

  constructor(settings: FakeSettings = {}) {
    this.#settings = settings;
    this.name = settings.name ?? 'fake';
    this.#port = settings.port ?? 0;
    const devices = (settings.devices ?? [{ vram_total_mb: 16_000 }]).map((device, index) => ({
      index,
      name: `Fake GPU ${index}`,
      backend: device.backend ?? 'cuda',
      vram_total_mb: device.vram_total_mb,
      poisoned: false,
    }));
    this.store = new ModelStore(devices, settings.models ?? []);
  }

  get url(): string {
    return `http://${this.#settings.host ?? '127.0.0.1'}:${this.#port}`;
  }

  get nInFlight(): number {
    return this.store.all().reduce((sum, model) => sum + this.store.inFlight(model.id), 0);
  }

  get nSockets(): number {
    return this.#sockets.size;
  }

  model(id: string): FakeModel {
    return this.store.get(id);
  }

  async start(): Promise<this> {
    const server = createServer((request, response) => void this.#answer(request, response));
    server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#port, this.#settings.host ?? '127.0.0.1', resolve);
    });
    this.#close = () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of this.#sockets) socket.resetAndDestroy();
      });
    this.#port = (server.address() as AddressInfo).port;
    this.#startedMs = performance.now();
    return this;
  }

  /** As when the process is killed: the port refuses and every connection is reset. */
  async stop(): Promise<void> {
    const close = this.#close;
    this.#close = null;
    await close?.();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const body = await readBody(request);
      while (this.hangs) {
        if (response.destroyed) return;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      await this.#route(request, response, body);
    } catch (thrown) {
      if (!response.headersSent && !response.destroyed) sendError(response, CortexError.from(thrown));
      else response.destroy();
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse, text: string): Promise<void> {
    const path = decodeURIComponent(request.url?.split('?')[0] ?? '');
    if (path.startsWith('/control')) return this.#control(path, response, text);
    const { token } = this.#settings;
    if (token !== undefined && request.headers.authorization !== `Bearer ${token}`)
      throw new CortexError('invalid_api_key', 'wrong token');
    if (request.method === 'GET') return this.#look(path, response);
    this.seen.push({ path, headers: { ...request.headers }, body: text });
    const body = (text === '' ? {} : JSON.parse(text)) as Body;
    switch (path) {
      case '/models/load': {
        const load = this.store.load(body as LoadRequest);
        if (body['wait'] === true) await load;
        else load.catch(() => undefined);
        return sendJson(response, { status: this.model(String(body['model_id'])).status });
      }
      case '/models/unload':
        await this.store.unload(body as UnloadRequest);
        return sendJson(response, { status: 'unloaded' });
      case '/v1/chat/completions':
      case '/v1/completions':
        return this.#infer(path, request, response, body);
      case '/v1/embeddings':
        return this.#embed(response, body);
      case '/tokenize': {
        const count = promptTokens(body);
        const { context } = this.model(String(body['model']));
        return sendJson(response, {
          count,
          max_model_len: context,
          tokens: Array.from({ length: count }, (_, i) => i),
        });
      }
      default:
        throw new CortexError('not_found', `there is no ${path} here`);
    }
  }

  async #look(path: string, response: ServerResponse): Promise<void> {
    this.nPolls += 1;
    if (this.pollMs > 0) await new Promise((resolve) => setTimeout(resolve, this.pollMs));
    const { store } = this;
    if (path === '/discovery') return sendJson(response, this.#discovery());
    if (path === '/health') return sendJson(response, this.#health());
    if (path === '/models')
      return sendJson(
        response,
        store.all().map((model) => store.describe(model)),
      );
    if (path === '/v1/models') {
      const data = store.all().map((model) => ({ id: model.id, object: 'model', created: 0, owned_by: this.name }));
      return sendJson(response, { object: 'list', data });
    }
    if (path === '/version')
      return sendJson(response, { name: 'neuron', version: '0.0.0', node: process.version, ggml: null, backends: [] });
    const endpoint = /^\/models\/(.+)\/endpoint$/.exec(path)?.[1];
    if (endpoint === undefined) throw new CortexError('not_found', `there is no ${path} here`);
    store.get(endpoint);
    return sendJson(response, { url: this.url });
  }

  #discovery(): Discovery {
    return {
      hostname: this.name,
      os: 'linux',
      kernel: 'fake',
      devices: this.store.devices.map(({ index, name, backend, vram_total_mb }) => ({
        index,
        name,
        backend,
        vram_total_mb,
      })),
      harnesses: ['ggml'],
      max_prompt_tokens: null,
    };
  }

  #health(): Health {
    const { store } = this;
    return {
      status: 'ok',
      uptime_secs: (performance.now() - this.#startedMs) / 1000,
      devices: store.devices.map((device) => ({
        index: device.index,
        vram_used_mb: store.usedMb(device.index),
        vram_free_mb: device.vram_total_mb - store.usedMb(device.index),
        utilization_pct: this.nInFlight > 0 ? 90 : 0,
        temp_c: 50,
        poisoned: device.poisoned,
      })),
      broken_groups: this.brokenGroups,
      activation: { state: 'idle', loaded: [], failed: [] },
      models: store
        .all()
        .filter((model) => model.status === 'loaded')
        .map((model) => ({
          id: model.id,
          in_flight: Math.min(store.inFlight(model.id), model.max_in_flight),
          queue_depth: Math.max(0, store.inFlight(model.id) - model.max_in_flight),
          max_in_flight: model.max_in_flight,
          rejected: 0,
        })),
    };
  }

  async #infer(route: Route, request: IncomingMessage, response: ServerResponse, body: Body): Promise<void> {
    const model = this.model(String(body['model']));
    const fault = this.faults.shift() ?? null;
    const controller = new AbortController();
    const end = this.store.begin(model.id, () => controller.abort());
    const left = (): void => {
      if (response.writableFinished) return;
      this.nAborted += 1;
      this.lastAbortMs = performance.now();
      controller.abort();
      end();
    };
    response.once('close', left);
    try {
      if (model.status !== 'loaded') await this.store.load({ model_id: model.id });
      await generate({ route, model, body, request, response, fault, signal: controller.signal });
    } finally {
      end();
      // A fault that cut the connection is no client that left.
      if (fault !== null) response.off('close', left);
      if (controller.signal.aborted) response.destroy();
    }
  }

  #embed(response: ServerResponse, body: Body): void {
    const inputs = Array.isArray(body['input']) ? (body['input'] as unknown[]) : [body['input']];
    const prompt = promptTokens(body);
    sendJson(response, {
      object: 'list',
      model: body['model'],
      data: inputs.map((_, index) => ({ object: 'embedding', index, embedding: [index, 0.5, -0.25] })),
      usage: { prompt_tokens: prompt, total_tokens: prompt },
    });
  }

  /** `GET /control` looks; `POST` to `faults`, `broken_groups`, `models`, `devices/N`, `reset`, `down` changes. */
  async #control(path: string, response: ServerResponse, text: string): Promise<void> {
    const body = (text === '' ? {} : JSON.parse(text)) as Body;
    switch (path) {
      case '/control/broken_groups':
        this.brokenGroups.push(brokenGroupSchema.parse(body));
        break;
      case '/control':
        break;
      case '/control/faults':
        this.faults.push(...((Array.isArray(body) ? body : [body]) as Fault[]));
        break;
      case '/control/models': {
        const id = String(body['id']);
        const known = this.store.all().find((model) => model.id === id);
        if (known === undefined) this.store.put(newModel(id, body));
        else Object.assign(known, body);
        break;
      }
      case '/control/devices':
        Object.assign(this.store.devices[Number(body['index'])] ?? {}, { poisoned: body['poisoned'] === true });
        break;
      case '/control/reset':
        this.faults.length = 0;
        this.seen.length = 0;
        this.nAborted = 0;
        break;
      case '/control/down':
        // As dead as a killed process from the moment this is answered, until it comes back.
        response.once('close', () => {
          void this.stop();
          setTimeout(() => void this.start(), Number(body['ms'] ?? 1000));
        });
        break;
      default:
        throw new CortexError('not_found', `there is no ${path} here`);
    }
    return sendJson(response, {
      in_flight: this.nInFlight,
      aborted: this.nAborted,
      last_abort_epoch_ms: performance.timeOrigin + this.lastAbortMs,
      sockets: this.nSockets,
      faults: this.faults,
      requests: this.seen.length,
      loaded: this.store.loaded,
      unloaded: this.store.unloaded,
      models: this.store.all(),
    });
  }
}
