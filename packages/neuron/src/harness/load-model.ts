/** One load from the folder to the device: prompt side first, for a tokenizer that fails costs a second, weights minutes. */
import { totalmem } from 'node:os';
import { CortexError, type GgmlConfig } from '@cortex/core';
import type { Device } from '../device/contract.ts';
import type { LoadProgress } from '../model/device-model.ts';
import type { TrieArrays, VocabularyTable } from '../sampling/grammar/vocabulary-trie.ts';
import { Admission } from './admission.ts';
import type { DeviceGroups } from './device-groups.ts';
import { partsText, totalBytes, type MemoryParts } from '../model/memory-plan.ts';
import type { WeightType } from '../model/weight-types.ts';
import { freeWithin, heldBytes, limitBytes } from './held-memory.ts';
import { fitsInLayers, isAccelerator } from './offload-estimate.ts';
import { weightBytes, type LoadOptions } from './load-options.ts';
import type { LoadedModel } from './loaded-model.ts';
import { refusedModel, type KnownModel } from './model-catalogue.ts';
import type { ModelSettings, SettledOptions } from './model-settings.ts';
import { leastParts, type ModelSizes } from './model-sizes.ts';
import { placeLayers, placeModel, placeShared, type DeviceRoom } from './place-model.ts';
import { patchesMaxOf } from './read-vision-meta.ts';
import { prefillChunk } from './prefill-chunk.ts';
import type { PromptSide, PromptSideLoader } from './prompt-side.ts';

export interface ModelLoaderParts {
  readonly devices: readonly Device[];
  readonly groups: DeviceGroups;
  readonly config: GgmlConfig;
  readonly loadPromptSide: PromptSideLoader;
  /** Off this thread and the device's. */
  readonly buildTrie: (table: VocabularyTable) => Promise<TrieArrays>;
  /** Null: a model's need is guessed from the size of its files. */
  readonly sizes: ModelSizes | null;
  readonly settings: ModelSettings;
  /** Those that hold memory now. */
  readonly loaded: () => readonly LoadedModel[];
  /** Bytes of the host's memory that are free. */
  readonly hostFreeBytes: () => number;
}

/** One load, as it is tried on one device and another. */
interface Load {
  readonly known: KnownModel;
  readonly options: SettledOptions;
  readonly onProgress: (progress: LoadProgress) => void;
}

/** What it takes at least, for messages; `parts` are null where only its files are known. */
interface LeastNeed {
  readonly bytes: number;
  readonly text: string;
  readonly parts: MemoryParts | null;
}

const isShort = (error: unknown): error is CortexError =>
  error instanceof CortexError && error.code === 'insufficient_vram';

const toMb = (nBytes: number): number => Math.floor(nBytes / 2 ** 20);

/** Share of the machine's memory for the prefixes of one model, where the operator names no size. */
const prefixShare = 0.1;

const prefixHostBytes = ({ prefix_cache: isOn, prefix_cache_mb: mb }: GgmlConfig): number | null => {
  if (!isOn) return null;
  return mb === undefined ? Math.floor(totalmem() * prefixShare) : mb * 2 ** 20;
};

/** Loads one model after the other is the caller's duty: the room is measured here. */
export class ModelLoader {
  readonly #devices: readonly Device[];
  readonly #groups: DeviceGroups;
  readonly #config: GgmlConfig;
  readonly #loadPromptSide: PromptSideLoader;
  readonly #buildTrie: ModelLoaderParts['buildTrie'];
  readonly #sizes: ModelSizes | null;
  readonly #settings: ModelSettings;
  readonly #loaded: ModelLoaderParts['loaded'];
  readonly #hostFreeBytes: ModelLoaderParts['hostFreeBytes'];

  constructor(parts: ModelLoaderParts) {
    const { devices, groups, config, loadPromptSide, buildTrie, sizes, settings, loaded, hostFreeBytes } = parts;
    this.#groups = groups;
    this.#sizes = sizes;
    this.#settings = settings;
    this.#loaded = loaded;
    this.#hostFreeBytes = hostFreeBytes;
    this.#buildTrie = buildTrie;
    this.#devices = devices;
    this.#config = config;
    this.#loadPromptSide = loadPromptSide;
  }

  /** @throws CortexError `model_load_failed`, `insufficient_vram`, `device_poisoned`. */
  async load(
    known: KnownModel,
    asked: LoadOptions,
    onProgress: (progress: LoadProgress) => void,
  ): Promise<LoadedModel> {
    const { id, facts } = known;
    if (facts.refusal !== null) throw refusedModel(id, facts.refusal);
    const options = this.#settings.settle(known, asked);
    const load = { known, options, onProgress };
    const { deviceIndices, nDevices } = options;
    if (nDevices !== null && nDevices > 1) {
      const shared = placeShared({ modelId: id, deviceIndices, nDevices }, await this.#rooms());
      return this.#loadOn(await this.#groups.of(shared, 'tensors'), load);
    }
    const need = await this.#need(known, options.weightType);
    try {
      return await this.#loadOn(await this.#place(id, need, deviceIndices), load);
    } catch (error) {
      if (!isShort(error)) throw error;
      return this.#offload(need, load, error);
    }
  }

  async #need(known: KnownModel, weightType: WeightType): Promise<LeastNeed> {
    const measured = (await this.#sizes?.of(known, weightType)) ?? null;
    if (measured === null) {
      const bytes = weightBytes(known.bytes, known.facts.weightType, weightType);
      return { bytes, text: 'its weights', parts: null };
    }
    const parts = leastParts(measured, this.#config);
    return { bytes: totalBytes(parts), text: partsText(parts), parts };
  }

  /** With layers on each device and the host, where that is allowed; otherwise `error` says whether it would help. */
  async #offload({ bytes, parts }: LeastNeed, load: Load, error: CortexError): Promise<LoadedModel> {
    const { known, options } = load;
    const { deviceIndices } = options;
    const rooms = placeLayers({ modelId: known.id, deviceIndices }, await this.#rooms());
    if (!this.#devices.some(isAccelerator)) throw error;
    if (options.mayOffload) {
      return this.#loadOn(
        await this.#groups.of(
          rooms.map(({ index }) => index),
          'layers',
        ),
        load,
      );
    }
    const hostBytes = this.#hostFreeBytes();
    const least = parts ?? { weights: bytes, kv: 0, state: 0, compute: 0, tower: 0 };
    if (!fitsInLayers(least, [...rooms.map(({ freeBytes }) => freeBytes), hostBytes])) throw error;
    throw new CortexError(
      error.code,
      `${error.message}; with layer_offload = true its layers would be on ${rooms.length === 1 ? 'the device' : 'the devices'} ` +
        `and in the host's memory, of which ${toMb(hostBytes)} MB are free: slower, but it runs`,
      { facts: { ...error.facts, host_free_mb: toMb(hostBytes), remedy: 'layer_offload' } },
    );
  }

  #rooms(): Promise<readonly DeviceRoom[]> {
    return Promise.all(this.#devices.map((device) => this.#roomOf(device)));
  }

  async #roomOf(device: Device): Promise<DeviceRoom> {
    const { index } = device.info;
    try {
      const { freeBytes: unused } = await device.run({ kind: 'memory' });
      const freeBytes = freeWithin(this.#config, unused, heldBytes(this.#loaded(), index));
      return { index, freeBytes, poisonedReason: device.poisonedReason };
    } catch (error) {
      const reason = device.poisonedReason ?? (error instanceof Error ? error.message : String(error));
      return { index, freeBytes: 0, poisonedReason: reason };
    }
  }

  async #place(modelId: string, need: LeastNeed, deviceIndices: readonly number[] | null): Promise<Device> {
    const index = placeModel({ modelId, bytes: need.bytes, parts: need.text, deviceIndices }, await this.#rooms());
    const device = this.#devices.find(({ info }) => info.index === index);
    if (device === undefined) throw new Error(`device ${index} is not among the devices`);
    return device;
  }

  /** What the operator leaves it of each of the device's members. */
  #roomBytes({ members }: Device): { readonly roomBytes?: readonly number[] } {
    const limit = limitBytes(this.#config);
    if (limit === Infinity) return {};
    return { roomBytes: members.map((index) => Math.max(0, limit - heldBytes(this.#loaded(), index))) };
  }

  async #loadOn(device: Device, load: Load): Promise<LoadedModel> {
    load.onProgress({ fraction: 0, phase: 'tokenizer' });
    const side = await this.#loadPromptSide(load.known.dir, load.known.id);
    try {
      return await this.#loadWith(side, device, load);
    } catch (error) {
      await side.close();
      throw error;
    }
  }

  async #loadWith(
    side: PromptSide,
    device: Device,
    { known, options: { weightType }, onProgress }: Load,
  ): Promise<LoadedModel> {
    const config = this.#config;
    const loaded = await device.load(
      {
        modelId: known.id,
        dir: known.dir,
        weightType,
        kvCacheType: config.kv_cache_type,
        contextMax: config.context_max ?? null,
        kvTokens: config.kv_tokens ?? null,
        nSlots: config.parallel,
        chunkMax: prefillChunk(config, device.info),
        draftMax: config.draft_max,
        patchesMax: patchesMaxOf(side.vision),
        prefillStepMs: config.prefill_step_ms,
        vocabulary: side.thread.vocabulary.data,
        trie: await this.#buildTrie(side.thread.vocabulary.data),
        bannedIds: side.bannedIds,
        prefixHostBytesMax: prefixHostBytes(config),
        ...this.#roomBytes(device),
      },
      onProgress,
    );
    const admission = new Admission({
      modelId: known.id,
      nSlots: loaded.nSlots,
      queueMax: config.queue_max,
      waitMsMax: config.queue_timeout_secs * 1000,
    });
    return { known, device, weightType, loaded, admission, side: loaded.hasVision ? side : { ...side, vision: null } };
  }
}
