/**
 * What the models of a thread are computed on: a device, or several that share each model. A group opens its devices
 * anew, beside the threads that have them for models of their own; of those it sees the memory that they leave free.
 */
import { freemem } from 'node:os';
import { DeviceGroup, openLibrary, type Backend, type BufferType, type Device } from '@cortex/ggml';

export interface ComputeGround extends Disposable {
  /** The first is asked what kernels there are, and has the vision towers. */
  readonly devices: readonly [Device, ...Device[]];
  /** Null for a single device. */
  readonly group: DeviceGroup | null;
  /** For messages. */
  readonly name: string;
  /** Computes language models, whose tensors are in buffers of `bufferType`. */
  readonly backend: Backend;
  readonly bufferType: BufferType;
  /** The first device's own. */
  readonly first: { readonly backend: Backend; readonly bufferType: BufferType };
}

const deviceAt = (index: number): Device => {
  const device = openLibrary().devices[index];
  if (device === undefined) throw new RangeError(`there is no device ${index}`);
  return device;
};

/** @throws LibraryError, RangeError. */
export const openGround = ([index, ...others]: readonly [number, ...number[]], threads: number): ComputeGround => {
  const device = deviceAt(index);
  if (others.length === 0) {
    const backend = device.open();
    backend.setThreads(threads);
    const { name, bufferType } = device;
    const first = { backend, bufferType };
    return { devices: [device], group: null, name, ...first, first, [Symbol.dispose]: () => backend[Symbol.dispose]() };
  }
  const devices = [device, ...others.map(deviceAt)] as const;
  const group = new DeviceGroup(devices);
  const backend = group.open();
  const members = devices.map((_, i) => group.member(backend, i));
  for (const member of members) member.setThreads(threads);
  const [first = backend] = members;
  return {
    devices: [...devices],
    group,
    name: group.name,
    backend,
    bufferType: group.bufferType,
    first: { backend: first, bufferType: device.bufferType },
    [Symbol.dispose]: () => {
      backend[Symbol.dispose]();
      for (const member of members) member[Symbol.dispose]();
    },
  };
};

export interface Memory {
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** ggml calls all of a host's memory free: there the system is asked. */
export const memoryOf = (device: Device): Memory => {
  const { freeBytes, totalBytes } = device.memory();
  return { freeBytes: device.type === 'cpu' ? Math.min(freeBytes, freemem()) : freeBytes, totalBytes };
};
