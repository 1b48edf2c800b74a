/**
 * The `Harness` on ggml devices: from ids to models by the catalogue and the registry, from requests to answers by the
 * jobs. Every request holds a lease on its model until it has ended, in whatever way.
 */
import { availableParallelism, freemem } from 'node:os';
import { CortexError } from '@cortex/core';
import type {
  BrokenGroup,
  ChatRequest,
  CompletionEvent,
  CompletionRequest,
  DefaultModel,
  DeviceHealth,
  DeviceInfo,
  EmbeddingsRequest,
  GgmlConfig,
  Harness,
  LayerPart,
  LoadRequest,
  ModelActivity,
  NodeModel,
  RequestContext,
  TokenizeRequest,
  TokenizeResponse,
  UnloadRequest,
} from '@cortex/core';
import type { Caller } from '../device/fair-order.ts';
import type { Device } from '../device/contract.ts';
import type { ModelStore } from '../model-store/model-store.ts';
import { ImagePreparer } from '../vision/image-preparer.ts';
import { defaultVisionLimits } from '../vision/vision-limits.ts';
import { runChat } from './chat-job.ts';
import { runCompletion } from './completion-job.ts';
import { deviceHealthOf } from './device-health.ts';
import { runEmbed } from './embed-job.ts';
import { ModelLoader } from './load-model.ts';
import { GrammarThread } from './grammar-thread.ts';
import { loadOptionsOf } from './load-options.ts';
import { heldBytes, limitBytes } from './held-memory.ts';
import { contextMaxOf, type LoadedModel } from './loaded-model.ts';
import { DeviceGroups, type OpenGroup } from './device-groups.ts';
import { DeviceRooms } from './device-rooms.ts';
import { ModelSettings } from './model-settings.ts';
import { ModelSizes, type ModelMeasurer } from './model-sizes.ts';
import { ModelCatalogue, refusedModel, type KnownModel } from './model-catalogue.ts';
import { ModelRegistry, type Lease } from './model-registry.ts';
import { downloadingModel, layersOf, nodeModelOf } from './node-model.ts';
import { loadPromptSide as loadFromDisk, type PromptSideLoader } from './prompt-side.ts';
import { requireVision } from './require-vision.ts';
import { runTokenize } from './tokenize-job.ts';
import { refuseUnsupportedInChat, refuseUnsupportedInCompletion } from './unsupported-fields.ts';
import { untilAborted } from './until-aborted.ts';
import { whileLoading } from './while-loading.ts';

export interface GgmlHarnessParts {
  readonly devices: readonly Device[];
  readonly openGroup: OpenGroup;
  readonly config: GgmlConfig;
  readonly store: ModelStore;
  /** The `model_type`s that the engine has an architecture for. */
  readonly supportedModelTypes: readonly string[];
  /** Their settings count for every load that does not say otherwise. */
  readonly defaultModels?: readonly DefaultModel[];
  /** By default from the model's folder, each on a thread of its own. */
  readonly loadPromptSide?: PromptSideLoader;
  /** What a model would need of these devices; null: it is guessed from the size of its files. */
  readonly measurer?: ModelMeasurer | null;
  /** Bytes of the host's memory that are free; by default as the system says. */
  readonly hostFreeBytes?: () => number;
  /** A model has been loaded with its layers over several devices. */
  readonly onSpread?: (modelId: string, layers: readonly LayerPart[]) => void;
  /** Some weights of a model could not have the number type asked for. */
  readonly onFiner?: (modelId: string, quant: string, weights: LoadedModel['loaded']['finer']) => void;
  /** A model has been loaded or unloaded, or that has failed. */
  readonly onMoved?: () => void;
}

/** Images that may wait for a thread, over all requests. */
const imageQueueMax = 1024;
const imageThreadsMax = 4;
/** A list of models waits for what is being found out about new ones, but not longer. */
const sizeMsMax = 250;

const newPreparer = (config: GgmlConfig): ImagePreparer => {
  const { decodedPixelsTotalMax } = defaultVisionLimits;
  return new ImagePreparer({
    limits: {
      ...defaultVisionLimits,
      imagesMax: config.images_max,
      decodedPixelsMax: config.image_pixels_max,
      decodedPixelsTotalMax: Math.max(decodedPixelsTotalMax, config.image_pixels_max),
    },
    threadsMax: Math.max(1, Math.min(imageThreadsMax, availableParallelism() - 1)),
    queueMax: imageQueueMax,
  });
};

/** Without what cannot cross to a device's thread. */
const callerOf = ({ client, priority }: RequestContext): Caller => ({ client, priority });

export class GgmlHarness implements Harness {
  readonly name = 'ggml';
  readonly devices: readonly DeviceInfo[];
  readonly #devices: readonly Device[];
  readonly #groups: DeviceGroups;
  readonly #config: GgmlConfig;
  readonly #catalogue: ModelCatalogue;
  readonly #registry: ModelRegistry;
  readonly #preparer: ImagePreparer;
  readonly #grammars = new GrammarThread();
  readonly #loadPromptSide: PromptSideLoader;
  readonly #sizes: ModelSizes | null;
  readonly #settings: ModelSettings;
  readonly #rooms: DeviceRooms;
  readonly #hostFreeBytes: () => number;

  constructor(parts: GgmlHarnessParts) {
    const { devices, config, store, supportedModelTypes, loadPromptSide = loadFromDisk, measurer = null } = parts;
    this.devices = devices.map(({ info }) => info);
    this.#settings = new ModelSettings(config, this.devices, parts.defaultModels ?? []);
    this.#sizes = measurer === null ? null : new ModelSizes(measurer, this.#settings);
    this.#rooms = new DeviceRooms(devices);
    const imageLimits = { resizedPixelsMax: config.image_resized_pixels_max };
    this.#loadPromptSide = (dir, modelId) => loadPromptSide(dir, modelId, imageLimits);
    this.#groups = new DeviceGroups(parts.openGroup);
    this.#hostFreeBytes = parts.hostFreeBytes ?? freemem;
    const loader = new ModelLoader({
      devices,
      groups: this.#groups,
      config,
      loadPromptSide: this.#loadPromptSide,
      buildTrie: (table) => this.#grammars.trie(table),
      sizes: this.#sizes,
      settings: this.#settings,
      loaded: () => this.#loadedModels(),
      hostFreeBytes: this.#hostFreeBytes,
    });
    this.#devices = devices;
    this.#config = config;
    this.#catalogue = new ModelCatalogue(store, supportedModelTypes);
    this.#registry = new ModelRegistry({
      load: async (...load) => {
        const model = await loader.load(...load);
        const { finer } = model.loaded;
        if (finer.length > 0) parts.onFiner?.(model.known.id, model.weightType, finer);
        if (model.loaded.parts.length > 0) parts.onSpread?.(model.known.id, layersOf(model));
        return model;
      },
      ...(parts.onMoved === undefined ? {} : { onMoved: parts.onMoved }),
    });
    this.#preparer = newPreparer(config);
  }

  async models(): Promise<readonly NodeModel[]> {
    const known = await this.#catalogue.list();
    const ids = new Set(known.map(({ id }) => id));
    const loaded = this.#registry.loaded().flatMap(({ model }) => (ids.has(model.known.id) ? [] : [model.known]));
    const models = [...known, ...loaded];
    const usable = models.filter(({ facts }) => facts.refusal === null);
    const [sizes, roomBytes] = await Promise.all([this.#sizes?.known(usable, sizeMsMax), this.#roomBytes()]);
    const onDisk = models.map((model) =>
      nodeModelOf(model, this.#registry.stateOf(model.id), {
        harness: this.name,
        devices: this.#devices,
        roomBytes,
        hostBytes: this.#hostFreeBytes() + heldBytes(this.#loadedModels(), null),
        config: this.#config,
        settings: this.#settings,
        size: sizes?.get(model.dir) ?? null,
        etaSecs: this.#registry.etaSecs(model),
      }),
    );
    return [...onDisk, ...this.#catalogue.downloads().map((download) => downloadingModel(download, this.name))];
  }

  activity(): readonly ModelActivity[] {
    return this.#registry.loaded().map(({ model, nHolders, idleMs }) => {
      const { known, loaded, device, admission } = model;
      const { tok_s_prefill, tok_s_decode } = device.activity(known.id);
      return {
        id: known.id,
        // Requests whose prompt is still being made count too: they hold the model.
        in_flight: nHolders - admission.nWaiting,
        queue_depth: admission.nWaiting,
        max_in_flight: loaded.nSlots,
        tok_s_prefill,
        tok_s_decode,
        rejected: admission.nRejected,
        idle_ms: idleMs,
      };
    });
  }

  deviceHealth(): Promise<readonly DeviceHealth[]> {
    const loaded = this.#loadedModels();
    return Promise.all(
      this.#devices.map((device) => deviceHealthOf(device, this.#config, heldBytes(loaded, device.info.index))),
    );
  }

  brokenGroups(): readonly BrokenGroup[] {
    return this.#groups.broken();
  }

  async load(request: LoadRequest): Promise<void> {
    const options = loadOptionsOf(request, this.devices);
    await this.#registry.load(await this.#locate(request.model_id), options);
  }

  async unload({ model_id: id, mode }: UnloadRequest): Promise<void> {
    if (this.#registry.stateOf(id).kind === 'available') await this.#onDisk(id);
    await this.#registry.unload(id, mode ?? 'refuse');
  }

  async *chat(request: ChatRequest, context: RequestContext): AsyncGenerator<CompletionEvent, void> {
    const { signal } = context;
    refuseUnsupportedInChat(request);
    const known = await untilAborted(this.#locate(request.model), signal);
    await this.#requireVision(request, known);
    const lease = yield* this.#leased(known, signal);
    try {
      yield* runChat(request, lease, { preparer: this.#preparer, grammars: this.#grammars }, callerOf(context));
    } finally {
      lease.release();
    }
  }

  async *complete(request: CompletionRequest, context: RequestContext): AsyncGenerator<CompletionEvent, void> {
    const { signal } = context;
    refuseUnsupportedInCompletion(request);
    const known = await untilAborted(this.#locate(request.model), signal);
    const lease = yield* this.#leased(known, signal);
    try {
      yield* runCompletion(request, lease, callerOf(context));
    } finally {
      lease.release();
    }
  }

  async embed(
    request: EmbeddingsRequest,
    context: RequestContext,
  ): Promise<{ readonly vectors: readonly Float32Array[]; readonly promptTokens: number }> {
    const { signal } = context;
    const known = await untilAborted(this.#locate(request.model), signal);
    const lease = await this.#registry.lease(known, signal);
    try {
      return await runEmbed(request, lease, callerOf(context));
    } finally {
      lease.release();
    }
  }

  /** Never loads weights: for a model that is not loaded its tokenizer alone is read, and let go again. */
  async tokenize(request: TokenizeRequest): Promise<TokenizeResponse> {
    const known = await this.#onDisk(request.model);
    await this.#requireVision(request, known);
    const state = this.#registry.stateOf(known.id);
    if (state.kind === 'loaded') {
      const { side } = state.model;
      return runTokenize(request, side, this.#preparer, contextMaxOf(state.model));
    }
    const limits = [known.facts.contextMax, this.#config.context_max ?? null].filter((limit) => limit !== null);
    const side = await this.#loadPromptSide(known.dir, known.id);
    try {
      return await runTokenize(request, side, this.#preparer, Math.min(...limits));
    } finally {
      await side.close();
    }
  }

  async close(graceMs: number): Promise<void> {
    const endMs = performance.now() + graceMs;
    await this.#registry.close(graceMs);
    const leftMs = Math.max(0, endMs - performance.now());
    const sides = this.#registry.loaded().map(({ model }) => model.side);
    await Promise.all([
      ...this.#devices.map((device) => device.shutdown(leftMs)),
      this.#groups.close(leftMs),
      ...sides.map((side) => side.close()),
      this.#preparer.close(),
      this.#grammars.close(),
      this.#sizes?.close(),
    ]);
  }

  /** What a model could have of each device if the others went. */
  async #roomBytes(): Promise<ReadonlyMap<Device, number>> {
    const freeBytes = await this.#rooms.freeBytes();
    const loaded = this.#loadedModels();
    const limit = limitBytes(this.#config);
    return new Map(
      [...freeBytes].map(([device, nBytes]) => [
        device,
        Math.min(limit, nBytes + heldBytes(loaded, device.info.index)),
      ]),
    );
  }

  #loadedModels(): readonly LoadedModel[] {
    return this.#registry.loaded().map(({ model }) => model);
  }

  #leased(known: KnownModel, signal: AbortSignal): AsyncGenerator<CompletionEvent, Lease> {
    return whileLoading(this.#registry.lease(known, signal), () => this.#registry.stateOf(known.id));
  }

  /** As the catalogue's, and refuses what cannot be served. */
  async #locate(id: string): Promise<KnownModel> {
    const known = await this.#catalogue.locate(id);
    if (known.facts.refusal !== null) throw refusedModel(id, known.facts.refusal);
    return known;
  }

  async #onDisk(id: string): Promise<KnownModel> {
    const known = await this.#catalogue.find(id);
    if (known !== null) return known;
    throw new CortexError('model_not_found', `there is no model ${id} here`, { facts: { model_id: id } });
  }

  #requireVision(request: ChatRequest | TokenizeRequest, known: KnownModel): Promise<void> {
    const others = (): Promise<readonly KnownModel[]> => this.#catalogue.list();
    return requireVision(request, known, others, (id) => this.#registry.stateOf(id).kind === 'loaded');
  }
}
