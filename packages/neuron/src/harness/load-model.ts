/** One load from the folder to the device: prompt side first, for a tokenizer that fails costs a second, weights minutes. */
import { totalmem } from 'node:os';
import type { GgmlConfig } from '@cortex/core';
import type { Device } from '../device/contract.ts';
import type { LoadProgress } from '../model/device-model.ts';
import type { TrieArrays, VocabularyTable } from '../sampling/grammar/vocabulary-trie.ts';
import { Admission } from './admission.ts';
import type { DeviceGroups } from './device-groups.ts';
import { partsText, totalBytes } from '../model/memory-plan.ts';
import type { WeightType } from '../model/weight-types.ts';
import { weightBytes, type LoadOptions } from './load-options.ts';
import type { LoadedModel } from './loaded-model.ts';
import { refusedModel, type KnownModel } from './model-catalogue.ts';
import type { ModelSettings, SettledOptions } from './model-settings.ts';
import { leastParts, type ModelSizes } from './model-sizes.ts';
import { placeModel, placeShared, type DeviceRoom, type Need } from './place-model.ts';
import { patchesMaxOf } from './read-vision-meta.ts';
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
}

const roomOf = async (device: Device): Promise<DeviceRoom> => {
  const { index } = device.info;
  try {
    const { freeBytes } = await device.run({ kind: 'memory' });
    return { index, freeBytes, poisonedReason: device.poisonedReason };
  } catch (error) {
    const reason = device.poisonedReason ?? (error instanceof Error ? error.message : String(error));
    return { index, freeBytes: 0, poisonedReason: reason };
  }
};

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

  constructor({ devices, groups, config, loadPromptSide, buildTrie, sizes, settings }: ModelLoaderParts) {
    this.#settings = settings;
    this.#groups = groups;
    this.#sizes = sizes;
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
    const { id, dir, facts } = known;
    if (facts.refusal !== null) throw refusedModel(id, facts.refusal);
    const options = this.#settings.settle(known, asked);
    const { weightType } = options;
    const device = await this.#deviceFor(known, options);
    onProgress({ fraction: 0, phase: 'tokenizer' });
    const side = await this.#loadPromptSide(dir, id);
    try {
      return await this.#loadOn(device, known, side, weightType, onProgress);
    } catch (error) {
      await side.close();
      throw error;
    }
  }

  async #need(known: KnownModel, weightType: WeightType): Promise<Pick<Need, 'bytes' | 'parts'>> {
    const measured = (await this.#sizes?.of(known, weightType)) ?? null;
    if (measured === null) {
      return { bytes: weightBytes(known.bytes, known.facts.weightType, weightType), parts: 'its weights' };
    }
    const least = leastParts(measured, this.#config);
    return { bytes: totalBytes(least), parts: partsText(least) };
  }

  /** A group measures for itself what each of its devices needs. */
  async #deviceFor(known: KnownModel, options: SettledOptions): Promise<Device> {
    const { weightType, deviceIndices, nDevices } = options;
    if (nDevices !== null && nDevices > 1) {
      const rooms = await Promise.all(this.#devices.map(roomOf));
      return this.#groups.of(placeShared({ modelId: known.id, deviceIndices, nDevices }, rooms));
    }
    const need = await this.#need(known, weightType);
    return this.#place({ modelId: known.id, ...need, deviceIndex: deviceIndices?.[0] ?? null });
  }

  async #place(need: Need): Promise<Device> {
    const index = placeModel(need, await Promise.all(this.#devices.map(roomOf)));
    const device = this.#devices.find(({ info }) => info.index === index);
    if (device === undefined) throw new Error(`device ${index} is not among the devices`);
    return device;
  }

  async #loadOn(
    device: Device,
    known: KnownModel,
    side: PromptSide,
    weightType: WeightType,
    onProgress: (progress: LoadProgress) => void,
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
        chunkMax: config.prefill_chunk,
        draftMax: config.draft_max,
        patchesMax: patchesMaxOf(side.vision),
        prefillStepMs: config.prefill_step_ms,
        vocabulary: side.thread.vocabulary.data,
        trie: await this.#buildTrie(side.thread.vocabulary.data),
        bannedIds: side.bannedIds,
        prefixHostBytesMax: prefixHostBytes(config),
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
