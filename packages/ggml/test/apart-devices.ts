/**
 * For tests and benchmarks: accelerators with memory of their own on a machine that has none. Each computes on ggml's CPU backend, but in
 * buffers that no other device may read, so that what passes between devices is copied, as between GPUs. What of its memory
 * is taken is counted, and can be limited. They belong to the thread that made them, for as long as it lives.
 */
import koffi from 'koffi';
import type { Backend } from '../src/backend.ts';
import { Device } from '../src/device.ts';
import { openLibrary } from '../src/library.ts';
import type { Pointer } from '../src/native.ts';
import { deviceTypes } from '../src/types.ts';

/** Where ggml 0.25.1's structs, which are pointers throughout, have what is replaced. */
const bufferTypeFields = { allocate: 1, isHost: 5, device: 6, n: 8 } as const;
const deviceFields = { name: 0, memory: 2, type: 3, bufferType: 6, supportsBufferType: 10, n: 17 } as const;
/** Of a backend the place of its device is looked for among these. */
const backendPointers = 24;

type Pointers = BigInt64Array;

const pointersAt = (address: Pointer, n: number): Pointers => {
  const values = koffi.decode(address, koffi.array('int64_t', n)) as ArrayLike<number | bigint>;
  return BigInt64Array.from(Array.from(values, BigInt));
};

const addressOf = (memory: Pointers | Uint8Array): Pointer => koffi.address(memory) as Pointer;

/** The functions that are replaced, and those that they go on to. */
interface Functions {
  ofDevice(device: Pointer): Pointer;
  kindOf(device: Pointer): number;
  measure(device: Pointer, free: Pointer, total: Pointer): void;
  reads(device: Pointer, type: Pointer): boolean;
  allocate(type: Pointer, size: number): Pointer | null;
  free(buffer: Pointer): void;
}

/** Declared once: koffi keeps what it has been told for good. */
const forms = {
  ofDevice: koffi.proto('void *(void *device)'),
  kindOf: koffi.proto('int(void *device)'),
  measure: koffi.proto('void(void *device, void *free, void *total)'),
  reads: koffi.proto('bool(void *device, void *type)'),
  allocate: koffi.proto('void *(void *type, size_t size)'),
  free: koffi.proto('void(void *buffer)'),
} as const satisfies Record<keyof Functions, unknown>;

const callback = <Form extends keyof Functions>(form: Form, run: Functions[Form]): Pointer =>
  koffi.register(run, koffi.pointer(forms[form])) as Pointer;

const functionAt = <Form extends keyof Functions>(form: Form, address: Pointer): Functions[Form] =>
  koffi.decode(address, forms[form]) as Functions[Form];

const field = (pointers: Pointers, i: number): Pointer => (pointers[i] ?? 0n) as Pointer;

/** A device's memory: how much there is, and what of it is taken. */
class ApartMemory {
  bytesMax: number;
  nBytes = 0;
  /** Taken by others, of which the device does not tell. */
  hiddenBytes = 0;
  /** The most that was taken at once. */
  mostBytes = 0;
  readonly #sizes = new Map<Pointer, number>();
  readonly #allocate: Functions['allocate'];
  #free: Functions['free'] | null = null;
  readonly #freed = callback('free', (buffer) => {
    this.nBytes -= this.#sizes.get(buffer) ?? 0;
    this.#sizes.delete(buffer);
    this.#free?.(buffer);
  });

  constructor(bytesMax: number, allocate: Pointer) {
    this.bytesMax = bytesMax;
    this.#allocate = functionAt('allocate', allocate);
  }

  /** Counts the most from here on. */
  forget(): void {
    this.mostBytes = this.nBytes;
  }

  allocate(type: Pointer, size: number): Pointer | null {
    if (this.nBytes + size > this.bytesMax - this.hiddenBytes) return null;
    const buffer = this.#allocate(type, size);
    if (buffer === null) return null;
    // The first of a buffer's functions frees it.
    this.#free ??= functionAt('free', field(pointersAt(buffer, 1), 0));
    koffi.encode(buffer, 'void *', this.#freed);
    this.#sizes.set(buffer, size);
    this.nBytes += size;
    this.mostBytes = Math.max(this.mostBytes, this.nBytes);
    return buffer;
  }
}

export class ApartDevice extends Device {
  readonly memoryTaken: ApartMemory;
  readonly #cpu: Device;
  readonly #nThreads: number;
  /** What native code reads. */
  readonly #structs: readonly (Pointers | Uint8Array)[];

  private constructor(
    cpu: Device,
    index: number,
    name: string,
    { bytesMax, nThreads }: { readonly bytesMax: number; readonly nThreads: number },
  ) {
    const [own, type] = [pointersAt(cpu.ptr, deviceFields.n), pointersAt(cpu.bufferType.ptr, bufferTypeFields.n)];
    const [device, bufferType] = [addressOf(own), addressOf(type)];
    const text = Buffer.from(`${name}\0`);
    const memory = new ApartMemory(bytesMax, field(type, bufferTypeFields.allocate));
    type[bufferTypeFields.allocate] = callback('allocate', (of, size) => memory.allocate(of, size));
    type[bufferTypeFields.isHost] = 0n;
    type[bufferTypeFields.device] = device;
    own[deviceFields.name] = callback('ofDevice', () => addressOf(text));
    own[deviceFields.memory] = callback('measure', (_, free, total) => {
      koffi.encode(free, 'size_t', memory.bytesMax - memory.nBytes);
      koffi.encode(total, 'size_t', memory.bytesMax);
    });
    own[deviceFields.type] = callback('kindOf', () => deviceTypes.indexOf('gpu'));
    own[deviceFields.bufferType] = callback('ofDevice', () => bufferType);
    own[deviceFields.supportsBufferType] = callback('reads', (_, of) => of === bufferType);
    super({ ...cpu.native, ggml_backend_dev_get: () => device }, index);
    this.memoryTaken = memory;
    this.#cpu = cpu;
    this.#nThreads = nThreads;
    this.#structs = [own, type, text];
  }

  /** Another device behind those of the library. @param bytesMax of its memory @param nThreads to compute with */
  static add(bytesMax = 2 ** 30, nThreads = 1): ApartDevice {
    const devices = openLibrary().devices as Device[];
    const cpu = devices.find(({ type }) => type === 'cpu');
    if (cpu === undefined) throw new Error('ggml finds no CPU');
    const nApart = devices.filter((device) => device instanceof ApartDevice).length;
    const device = new ApartDevice(cpu, devices.length, `Apart${nApart}`, { bytesMax, nThreads });
    devices.push(device);
    return device;
  }

  /** Faster layouts of weights are the host's. */
  override procAddress(name: string): Pointer | null {
    return name === 'ggml_backend_dev_get_extra_bufts' ? null : super.procAddress(name);
  }

  override open(): Backend {
    const backend = super.open();
    const at = pointersAt(backend.ptr, backendPointers).indexOf(this.#cpu.ptr);
    if (at < 0 || this.#structs.length === 0) throw new Error('a backend has its device');
    koffi.encode(backend.ptr, at * 8, 'void *', this.ptr);
    backend.setThreads(this.#nThreads);
    return backend;
  }
}
