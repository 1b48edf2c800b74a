/** The models of a fake neuron: their lifecycle, and memory that is really limited. */
import { CortexError, type LoadRequest, type NodeModel, type UnloadRequest } from '@cortex/core';
import { dealSharing } from '../../src/routing/device-sharing.ts';
import type { FakeDevice, FakeModel } from './settings.ts';

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export class ModelStore {
  readonly devices: readonly FakeDevice[];
  readonly #models = new Map<string, FakeModel>();
  readonly #inFlight = new Map<string, Set<() => void>>();
  readonly #loads = new Map<string, Promise<void>>();
  readonly #loadStartedMs = new Map<string, number>();
  readonly #usedMb: number[];
  /** Loads that ended well, in order. */
  readonly loaded: string[] = [];
  readonly unloaded: string[] = [];

  constructor(devices: readonly FakeDevice[], models: readonly FakeModel[]) {
    this.devices = devices;
    this.#usedMb = devices.map(() => 0);
    for (const model of models) {
      this.#models.set(model.id, model);
      if (model.status === 'loaded') this.#take(model, null, model.tensor_parallel);
    }
  }

  usedMb(device: number): number {
    return this.#usedMb[device] ?? 0;
  }

  all(): readonly FakeModel[] {
    return [...this.#models.values()];
  }

  put(model: FakeModel): void {
    this.#models.set(model.id, model);
  }

  /** Its files are deleted. */
  remove(id: string): void {
    const model = this.get(id);
    this.#give(model.devices, model.devices_mb);
    this.#models.delete(id);
  }

  /** @throws CortexError `model_not_found` */
  get(id: string): FakeModel {
    const model = this.#models.get(id);
    if (model === undefined) throw new CortexError('model_not_found', `there is no model ${id} here`);
    return model;
  }

  inFlight(id: string): number {
    return this.#inFlight.get(id)?.size ?? 0;
  }

  /** Counts a request until the returned function is called; `abort` ends it from this side. */
  begin(id: string, abort: () => void): () => void {
    const running = this.#inFlight.get(id) ?? new Set();
    this.#inFlight.set(id, running);
    running.add(abort);
    return () => running.delete(abort);
  }

  describe(model: FakeModel): NodeModel {
    const startedMs = this.#loadStartedMs.get(model.id);
    const fraction = startedMs === undefined ? 0 : Math.min(0.99, (performance.now() - startedMs) / model.load_ms);
    return {
      id: model.id,
      harness: 'ggml',
      status: model.status,
      devices: [...model.devices],
      vram_used_mb: model.devices_mb.reduce((sum, mb) => sum + mb, 0),
      devices_mb: [...model.devices_mb],
      vram_needed_mb: model.vram_mb,
      capabilities: [...model.capabilities],
      limit: { context: model.context },
      tool_call: model.tool_call,
      reasoning: model.reasoning,
      servable: { ok: true },
      sharing: model.sharing,
      ...(model.tensor_parallel > 1 && { placement: { tensor_parallel: model.tensor_parallel } }),
      progress:
        model.status === 'loading'
          ? { fraction, phase: 'weights', eta_secs: ((1 - fraction) * model.load_ms) / 1000 }
          : null,
      ...(model.status === 'failed' && model.load_error !== null ? { error: model.load_error } : {}),
    };
  }

  /** Single flight. @throws CortexError `insufficient_vram`, `model_load_failed`, `model_not_found` */
  load(request: LoadRequest): Promise<void> {
    const model = this.get(request.model_id);
    if (model.status === 'loaded') return Promise.resolve();
    const running = this.#loads.get(model.id);
    if (running !== undefined) return running;
    this.#take(model, request.devices ?? null, request.tensor_parallel ?? model.tensor_parallel);
    const load = this.#load(model).finally(() => {
      this.#loads.delete(model.id);
      this.#loadStartedMs.delete(model.id);
    });
    this.#loads.set(model.id, load);
    return load;
  }

  /** @throws CortexError `model_busy` */
  async unload(request: UnloadRequest): Promise<void> {
    const model = this.get(request.model_id);
    if (model.status !== 'loaded') return;
    if (this.inFlight(model.id) > 0) {
      if ((request.mode ?? 'refuse') === 'refuse')
        throw new CortexError('model_busy', `${model.id} is answering ${this.inFlight(model.id)} requests`);
      if (request.mode === 'force') for (const abort of this.#inFlight.get(model.id) ?? []) abort();
      while (this.inFlight(model.id) > 0) await sleep(5);
    }
    model.status = 'unloading';
    this.unloaded.push(model.id);
    const { devices, devices_mb: mb } = model;
    model.devices = [];
    model.devices_mb = [];
    model.status = 'available';
    await sleep(model.free_lag_ms);
    this.#give(devices, mb);
  }

  async #load(model: FakeModel): Promise<void> {
    model.status = 'loading';
    this.#loadStartedMs.set(model.id, performance.now());
    await sleep(model.load_ms);
    if (model.load_error !== null) {
      this.#give(model.devices, model.devices_mb);
      model.devices = [];
      model.devices_mb = [];
      model.status = 'failed';
      throw new CortexError('model_load_failed', model.load_error);
    }
    model.status = 'loaded';
    this.loaded.push(model.id);
  }

  #take(model: FakeModel, wanted: readonly number[] | null, nDevices: number): void {
    const free = (device: FakeDevice): number => device.vram_total_mb - this.usedMb(device.index);
    const chosen = this.devices
      .filter((device) => (wanted?.includes(device.index) ?? true) && !device.poisoned)
      .toSorted((a, b) => free(b) - free(a))
      .slice(0, nDevices)
      .toSorted((a, b) => a.index - b.index);
    const rooms = chosen.map(free);
    const mb = nDevices > 1 ? dealSharing(rooms, model.vram_mb, model.sharing) : [model.vram_mb];
    if (mb === null || chosen.length < nDevices || mb.some((own, i) => own > (rooms[i] ?? 0)))
      throw new CortexError('insufficient_vram', `${model.id} needs ${model.vram_mb} MB on ${nDevices} devices`);
    model.devices = chosen.map(({ index }) => index);
    model.devices_mb = [...mb];
    for (const [i, device] of model.devices.entries()) this.#usedMb[device] = this.usedMb(device) + (mb[i] ?? 0);
  }

  #give(devices: readonly number[], mb: readonly number[]): void {
    for (const [i, device] of devices.entries()) this.#usedMb[device] = this.usedMb(device) - (mb[i] ?? 0);
  }
}
