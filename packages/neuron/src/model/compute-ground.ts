/**
 * What the models of a thread are computed on: a device, several that share every layer (a group), or several that have
 * layers of their own (a spread). The last two open their devices anew, beside the threads that have them for models of
 * their own; of those they see the memory that they leave free.
 */
import { freemem } from 'node:os';
import {
  DeviceGroup,
  DeviceRunner,
  GraphScheduler,
  openLibrary,
  type Backend,
  type BufferType,
  type Device,
  type GraphRunner,
  type SchedulerSize,
} from '@cortex/ggml';
import type { DeviceHostOptions } from './device-model.ts';

export interface ComputeGround extends Disposable {
  /** The first is asked what kernels there are, and has the vision towers, but in a spread, whose last is the host. */
  readonly devices: readonly [Device, ...Device[]];
  readonly group: DeviceGroup | null;
  /** Its devices, opened. */
  readonly spread: readonly Backend[] | null;
  /** For messages. */
  readonly name: string;
  /** Where the tensors of language models are, but in a spread. */
  readonly bufferType: BufferType;
  /** The first device's own. */
  readonly first: { readonly backend: Backend; readonly bufferType: BufferType };
  /** The CPU, where it is one of the devices. */
  readonly host: Backend | null;
  /** Computes language models. */
  newRunner(size: SchedulerSize): GraphRunner;
}

const deviceAt = (index: number): Device => {
  const device = openLibrary().devices[index];
  if (device === undefined) throw new RangeError(`there is no device ${index}`);
  return device;
};

const openSingle = (device: Device, threads: number): ComputeGround => {
  const backend = device.open();
  backend.setThreads(threads);
  const { name, bufferType } = device;
  return {
    devices: [device],
    group: null,
    spread: null,
    name,
    bufferType,
    first: { backend, bufferType },
    host: device.type === 'cpu' ? backend : null,
    newRunner: () => new DeviceRunner(backend, bufferType),
    [Symbol.dispose]: () => backend[Symbol.dispose](),
  };
};

const openGroup = (devices: readonly [Device, ...Device[]], threads: number): ComputeGround => {
  const group = new DeviceGroup(devices);
  const backend = group.open();
  const members = devices.map((_, i) => group.member(backend, i));
  // CPUs among them wait for each other in turns, their threads awake.
  for (const member of members) member.setThreads(Math.max(1, Math.floor(threads / members.length)));
  const [first = backend] = members;
  const { name, bufferType } = group;
  return {
    devices: [...devices],
    group,
    spread: null,
    name,
    bufferType,
    first: { backend: first, bufferType: devices[0].bufferType },
    host: devices[0].type === 'cpu' ? first : null,
    newRunner: () => new DeviceRunner(backend, bufferType),
    [Symbol.dispose]: () => {
      backend[Symbol.dispose]();
      for (const member of members) member[Symbol.dispose]();
    },
  };
};

const openAll = (devices: readonly Device[]): readonly Backend[] => {
  const opened: Backend[] = [];
  try {
    for (const device of devices) opened.push(device.open());
    return opened;
  } catch (error) {
    for (const backend of opened) backend[Symbol.dispose]();
    throw error;
  }
};

/** With the host behind them. */
const openSpread = (accelerators: readonly [Device, ...Device[]], threads: number): ComputeGround => {
  const cpu = hostDevice();
  const devices = [...accelerators, cpu] as const;
  const spread = openAll(devices);
  const [backend, host] = [spread[0], spread.at(-1)];
  if (backend === undefined || host === undefined) throw new Error('a spread has devices');
  host.setThreads(threads);
  const { bufferType } = accelerators[0];
  return {
    devices: [...devices],
    group: null,
    spread,
    name: devices.map(({ name }) => name).join('+'),
    bufferType,
    first: { backend, bufferType },
    host,
    newRunner: (size) => new GraphScheduler(spread, size),
    [Symbol.dispose]: () => spread.forEach((each) => each[Symbol.dispose]()),
  };
};

/** @throws Error where ggml finds no CPU. */
export const hostDevice = (): Device => {
  const cpu = openLibrary().devices.find(({ type }) => type === 'cpu');
  if (cpu === undefined) throw new Error('ggml finds no CPU');
  return cpu;
};

/** @throws LibraryError, RangeError. */
export const openGround = ({ index, others = [], sharing = 'tensors', threads }: DeviceHostOptions): ComputeGround => {
  const devices = [deviceAt(index), ...others.map(deviceAt)] as const;
  if (sharing === 'layers') return openSpread(devices, threads);
  return others.length === 0 ? openSingle(devices[0], threads) : openGroup(devices, threads);
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
