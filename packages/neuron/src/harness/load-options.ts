/** How a model is to be loaded, out of a load request; what is not there to choose is refused by name. */
import { CortexError, type DeviceInfo, type LoadRequest } from '@cortex/core';
import { bitsPerWeight, weightTypeNames, type WeightType } from '../model/weight-types.ts';

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
  const found = weightTypeNames.find((name) => name === quant.toLowerCase());
  if (found !== undefined) return found;
  const names = weightTypeNames.join(', ');
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

/** Of the types that checkpoints of safetensors are in. */
const bitsOnDisk = (type: string | null): number => (type === 'float32' || type === 'f32' ? 32 : 16);

/** Bytes the weights take once they are of the asked type. `fileBytes` is their size on disk. */
export const weightBytes = (fileBytes: number, fileType: string | null, wanted: WeightType | null): number =>
  wanted === null || wanted === 'auto' ? fileBytes : (fileBytes / bitsOnDisk(fileType)) * bitsPerWeight(wanted);
