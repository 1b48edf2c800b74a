/** How a model is to be loaded, out of a load request; what is not there to choose is refused by name. */
import { CortexError, quantNames, type DeviceInfo, type LoadRequest } from '@cortex/core';
import { bitsPerWeight, type WeightType } from '../model/weight-types.ts';

/** Null: as the neuron likes. */
export interface LoadPlace {
  /** The devices to be on. */
  readonly deviceIndices: readonly number[] | null;
  /** How many devices share it. */
  readonly nDevices: number | null;
}

export interface LoadOptions extends LoadPlace {
  readonly weightType: WeightType | null;
  /** Whether its layers may be spread over the devices and the host's memory. */
  readonly mayOffload: boolean | null;
}

export const anyLoad: LoadOptions = { weightType: null, deviceIndices: null, nDevices: null, mayOffload: null };

const unsupported = (param: string, message: string): CortexError =>
  new CortexError('unsupported_parameter', message, { param });

const weightTypeOf = (quant: string | null | undefined): WeightType | null => {
  if (quant === null || quant === undefined) return null;
  const found = quantNames.find((name) => name === quant.toLowerCase());
  if (found !== undefined) return found;
  const names = quantNames.join(', ');
  throw unsupported('quant', `quant ${JSON.stringify(quant.slice(0, 64))} is not one of ${names}`);
};

const invalid = (param: string, message: string): CortexError => new CortexError('invalid_request', message, { param });

const indicesOf = (wanted: readonly number[], devices: readonly DeviceInfo[]): readonly number[] | null => {
  for (const index of wanted) {
    if (devices.some((device) => device.index === index)) continue;
    const known = devices.map((device) => device.index).join(', ');
    throw invalid('devices', `there is no device ${index} here, only ${known}`);
  }
  if (new Set(wanted).size < wanted.length) throw invalid('devices', 'devices names a device twice');
  return wanted.length === 0 ? null : wanted;
};

/**
 * Several devices that are named share the model, or may each have layers of it.
 * @throws CortexError `unsupported_parameter`, `invalid_request`.
 */
export const placeOf = (
  request: Pick<LoadRequest, 'tensor_parallel' | 'devices' | 'layer_offload'>,
  devices: readonly DeviceInfo[],
): LoadPlace => {
  const { tensor_parallel: wanted, devices: named, layer_offload: mayOffload } = request;
  const deviceIndices = indicesOf(named ?? [], devices);
  if (mayOffload === true) {
    if ((wanted ?? 1) === 1) return { deviceIndices, nDevices: null };
    throw unsupported(
      'layer_offload',
      'devices share every layer (tensor_parallel) or have layers of their own, not both',
    );
  }
  const nDevices = wanted ?? deviceIndices?.length ?? null;
  if (nDevices !== null && nDevices > devices.length) {
    const there = devices.length === 1 ? 'is one device' : `are ${devices.length} devices`;
    throw unsupported('tensor_parallel', `tensor_parallel is ${nDevices}, and there ${there} here`);
  }
  if (deviceIndices !== null && deviceIndices.length !== nDevices) {
    throw invalid('devices', `tensor_parallel is ${nDevices}, and devices names ${deviceIndices.length}`);
  }
  return { deviceIndices, nDevices };
};

/** @throws CortexError `unsupported_parameter`, `invalid_request`. */
export const loadOptionsOf = (request: LoadRequest, devices: readonly DeviceInfo[]): LoadOptions => ({
  weightType: weightTypeOf(request.quant),
  ...placeOf(request, devices),
  mayOffload: request.layer_offload ?? null,
});

/** By the name that a checkpoint has its type under: `float32`, `bfloat16`, `Q4_K_M`. */
const bitsOnDisk = (type: string | null): number => {
  const blocks = /^I?Q(\d)/.exec(type ?? '');
  // A scale for each block takes about half a bit.
  if (blocks !== null) return Number(blocks[1]) + 0.5;
  return /^(float|f)32$/i.test(type ?? '') ? 32 : 16;
};

/** Bytes the weights take once they are of the asked type. `fileBytes` is their size on disk. */
export const weightBytes = (fileBytes: number, fileType: string | null, wanted: WeightType | null): number =>
  wanted === null || wanted === 'auto' ? fileBytes : (fileBytes / bitsOnDisk(fileType)) * bitsPerWeight(wanted);
