/**
 * Several devices that compute one graph together, each on its slices of the tensors (ggml's meta device). Tensors
 * without a split are whole on every device. It belongs to the thread that made it, and ggml keeps it for good.
 *
 * Of a graph's tensors only those of the latest graph that was placed are known to ggml: one placed before cannot be
 * computed again.
 */
import koffi, { type TypeObject } from 'koffi';
import { Backend, type ComputeTarget } from './backend.ts';
import { OutOfMemoryError, type BufferType } from './buffer.ts';
import type { Device } from './device.ts';
import type { Native, Pointer } from './native.ts';
import type { Tensor } from './tensor.ts';
import { checkSplit, type TensorSplit } from './tensor-split.ts';

const groupDevicesMax = 16;
const segmentsMax = 16;
/** `GGML_BACKEND_SPLIT_AXIS_MIRRORED` */
const mirroredAxis = 10;

/** `struct ggml_backend_meta_split_state`: `ne` by segment and device, `nr` how often a segment repeats. */
interface SplitState {
  readonly axis: number;
  readonly ne: BigInt64Array;
  readonly nr: Uint32Array;
  readonly n_segments: number;
}

let declared: TypeObject | undefined;

/** A prototype can be declared once a thread. */
const callbackType = (): TypeObject => {
  if (declared !== undefined) return declared;
  const state = koffi.struct({
    axis: 'int',
    ne: koffi.array('int64_t', segmentsMax * groupDevicesMax),
    nr: koffi.array('uint32_t', segmentsMax),
    n_segments: 'uint32_t',
  });
  declared = koffi.pointer(koffi.proto('GgmlSplitCallback', state, ['void *', 'void *']));
  return declared;
};

const stateOf = (axis: number, repeat: number, lengths: readonly number[]): SplitState => {
  const ne = new BigInt64Array(segmentsMax * groupDevicesMax);
  lengths.forEach((length, i) => (ne[i] = BigInt(length)));
  const nr = new Uint32Array(segmentsMax);
  nr[0] = repeat;
  return { axis, ne, nr, n_segments: 1 };
};

const whole = stateOf(mirroredAxis, 1, []);

/** Where `struct ggml_backend_buffer_type` has `is_host`, the last of its functions; without one it is not. */
const isHostOffset = 5 * 8;

/** Some backends say that there is no limit. */
const maxBytes = (native: Native, bufferType: Pointer): number =>
  Number(native.ggml_backend_buft_get_max_size(bufferType));

/** Whether a buffer of this size, or several of the largest that there are, can be had now. Nothing is kept. */
const hasRoom = ({ native, bufferType }: Device, nBytes: number): boolean => {
  const pieceMax = maxBytes(native, bufferType.ptr);
  const buffers: Pointer[] = [];
  try {
    for (let left = nBytes; left > 0; left -= pieceMax) {
      const buffer = native.ggml_backend_buft_alloc_buffer(bufferType.ptr, Math.min(left, pieceMax));
      if (buffer === null) return false;
      buffers.push(buffer);
    }
    return true;
  } finally {
    for (const buffer of buffers) native.ggml_backend_buffer_free(buffer);
  }
};

export class DeviceGroup implements ComputeTarget {
  readonly native: Native;
  readonly members: readonly Device[];
  /** Such as `CUDA0+CUDA1`. */
  readonly name: string;
  readonly type = 'meta';
  readonly bufferType: BufferType;
  readonly #ptr: Pointer;
  /** By the tensor's address. */
  readonly #splits = new Map<Pointer, SplitState>();

  /** @throws RangeError for devices that cannot be a group. */
  constructor(members: readonly Device[]) {
    const [first] = members;
    if (first === undefined || members.length > groupDevicesMax) {
      throw new RangeError(`a group of ${members.length} devices: 1 to ${groupDevicesMax}`);
    }
    const { native } = first;
    this.native = native;
    this.members = members;
    this.name = members.map(({ name }) => name).join('+');
    const callback = koffi.register((tensor: Pointer) => this.#splits.get(tensor) ?? whole, callbackType());
    const addresses = BigInt64Array.from(members, ({ ptr }) => ptr);
    this.#ptr = native.ggml_backend_meta_device(addresses, members.length, callback, null);
    const splits = {
      set: (tensor: Tensor, split: TensorSplit): void => this.#set(tensor, split),
      delete: (tensor: Tensor): void => void this.#splits.delete(tensor.ptr),
    };
    const ptr = native.ggml_backend_dev_buffer_type(this.#ptr);
    // Of CPUs alone ggml has the group say that its memory is the host's. No address of it is real, though: with that
    // said, what writes into caches is computed on the whole tensors' made-up addresses and not on the slices.
    koffi.encode(ptr, isHostOffset, 'void *', null);
    this.bufferType = { ptr, name: this.name, splits, pieceBytesMax: maxBytes(native, ptr) };
  }

  #set(tensor: Tensor, split: TensorSplit): void {
    checkSplit(tensor.ne, tensor.type.blockSize, split);
    if (split.lengths.length !== this.members.length)
      throw new RangeError(`a split for ${split.lengths.length} devices`);
    this.#splits.set(tensor.ptr, stateOf(split.axis, split.repeat, split.lengths));
  }

  /** Optional functions are those of single devices. */
  procAddress(): null {
    return null;
  }

  /**
   * An allocation that fails in a group ends the thread: whether each device has this much is asked beforehand.
   * @throws OutOfMemoryError naming the first device that has not.
   */
  assertRoom(nBytes: readonly number[]): void {
    this.members.forEach((device, i) => {
      const wanted = nBytes[i] ?? 0;
      if (!hasRoom(device, wanted)) throw new OutOfMemoryError(device.name, wanted);
    });
  }

  /** @throws Error when a device cannot be opened. */
  open(): Backend {
    const ptr = this.native.ggml_backend_dev_init(this.#ptr, null);
    if (ptr === null) throw new Error(`cannot open devices ${this.name}`);
    return new Backend(this, ptr);
  }

  /** One of the devices that `opened` computes on, to compute what is its alone; it closes with the group. */
  member(opened: Backend, index: number): Backend {
    const device = this.members[index];
    if (device === undefined) throw new RangeError(`there is no device ${index} in ${this.name}`);
    return Backend.lent(device, this.native.ggml_backend_meta_simple_backend(opened.ptr, index));
  }
}
