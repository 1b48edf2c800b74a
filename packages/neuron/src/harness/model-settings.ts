/** How the operator has models loaded: their tables in `default_models` count for every load that does not say otherwise. */
import type { DefaultModel, DeviceInfo, GgmlConfig } from '@cortex/core';
import { isGguf } from '../model-files/gguf-file.ts';
import type { StoredModel } from '../model-store/model-store.ts';
import type { WeightType } from '../model/weight-types.ts';
import { placeOf, type LoadOptions, type LoadPlace } from './load-options.ts';

type Known = Pick<StoredModel, 'id' | 'dir'>;

/** Of a load of which nothing is left to settings. */
export interface SettledOptions extends LoadOptions {
  readonly weightType: WeightType;
  readonly mayOffload: boolean;
}

export class ModelSettings {
  readonly #config: GgmlConfig;
  readonly #devices: readonly DeviceInfo[];
  readonly #byId: ReadonlyMap<string, DefaultModel>;

  constructor(config: GgmlConfig, devices: readonly DeviceInfo[], models: readonly DefaultModel[]) {
    this.#config = config;
    this.#devices = devices;
    this.#byId = new Map(models.map((model) => [model.id, model]));
  }

  /** As the operator wrote it; nothing for a model without a table. */
  of(id: string): Omit<DefaultModel, 'id'> {
    return this.#byId.get(id) ?? {};
  }

  /** What is quantised on disk stays so unless a load, or the model's own table, asks for something else. */
  weightType({ id, dir }: Known): WeightType {
    return this.of(id).quant ?? (isGguf(dir) ? 'auto' : this.#config.quant);
  }

  /** @throws CortexError `unsupported_parameter`, `invalid_request` for devices that are not there. */
  place(id: string): LoadPlace {
    return placeOf(this.of(id), this.#devices);
  }

  /** Whether its layers may be spread over devices and the host's memory, where a load does not say. */
  mayOffload(id: string): boolean {
    return this.of(id).layer_offload ?? this.#config.layer_offload;
  }

  /**
   * A load that counts or names devices has none of the operator's, unless it counts as many; one that wants layers of its
   * own on each has those that are named. @throws as `place`.
   */
  settle(model: Known, { weightType, mayOffload, ...asked }: LoadOptions): SettledOptions {
    const { devices, tensor_parallel: counted = devices?.length } = this.of(model.id);
    const isOwn = asked.deviceIndices === null && (asked.nDevices === null || asked.nDevices === counted);
    const place = isOwn ? this.place(model.id) : asked;
    return {
      weightType: weightType ?? this.weightType(model),
      mayOffload: mayOffload ?? this.mayOffload(model.id),
      ...place,
      ...(mayOffload === true && { nDevices: null }),
    };
  }
}
