/** How a model is to be loaded, out of a load request; what is not there to choose is refused by name. */
import { CortexError, quantNames, type DeviceInfo, type LoadRequest } from '@cortex/core';
import { bitsPerWeight, type WeightType } from '../model/weight-types.ts';

/** Null: as the neuron likes. */
export interface LoadOptions {
  readonly weightType: WeightType | null;
  readonly deviceIndex: number | null;
}

export const anyLoad: LoadOptions = { weightType: null, deviceIndex: null };

const unsupported = (param: string, message: string): CortexError =>
  new CortexError('unsupported_parameter', message, { param });

const weightTypeOf = (quant: string | null | undefined): WeightType | null => {
  if (quant === null || quant === undefined) return null;
  const found = quantNames.find((name) => name === quant.toLowerCase());
  if (found !== undefined) return found;
  const names = quantNames.join(', ');
  throw unsupported('quant', `quant ${JSON.stringify(quant.slice(0, 64))} is not one of ${names}`);
};

const deviceOf = (wanted: readonly number[], devices: readonly DeviceInfo[]): number | null => {
  if (wanted.length > 1) throw unsupported('devices', 'a model is loaded on one device: name one');
  const [index] = wanted;
  if (index === undefined) return null;
  if (devices.some((device) => device.index === index)) return index;
  const known = devices.map((device) => device.index).join(', ');
  throw new CortexError('invalid_request', `there is no device ${index} here, only ${known}`, { param: 'devices' });
};

/** @throws CortexError `unsupported_parameter`, `invalid_request`. */
export const loadOptionsOf = (request: LoadRequest, devices: readonly DeviceInfo[]): LoadOptions => {
  if ((request.tensor_parallel ?? 1) > 1) {
    throw unsupported('tensor_parallel', 'a model is loaded on one device: tensor_parallel above 1 is not supported');
  }
  return { weightType: weightTypeOf(request.quant), deviceIndex: deviceOf(request.devices ?? [], devices) };
};

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
