/** How the operator has models loaded: their tables in `default_models` count for every load that does not say otherwise. */
import type { DefaultModel, DeviceInfo, GgmlConfig } from '@cortex/core';
import { isGguf } from '../model-files/gguf-file.ts';
import type { StoredModel } from '../model-store/model-store.ts';
import type { WeightType } from '../model/weight-types.ts';
import { placeOf, type LoadOptions, type LoadPlace } from './load-options.ts';

type Known = Pick<StoredModel, 'id' | 'dir'>;

/** Of a load whose number type is settled. */
export interface SettledOptions extends LoadOptions {
  readonly weightType: WeightType;
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

  /** A load that counts or names devices has none of the operator's, unless it counts as many. @throws as `place`. */
  settle(model: Known, { weightType, ...asked }: LoadOptions): SettledOptions {
    const { devices, tensor_parallel: counted = devices?.length } = this.of(model.id);
    const isOwn = asked.nDevices === null || (asked.deviceIndices === null && asked.nDevices === counted);
    return { weightType: weightType ?? this.weightType(model), ...(isOwn ? this.place(model.id) : asked) };
  }
}
