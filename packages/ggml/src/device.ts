/** A device of ggml's registry: what it is, what memory it has, and how it is opened. */
import koffi from 'koffi';
import { Backend } from './backend.ts';
import type { BufferType } from './buffer.ts';
import type { Native, Pointer } from './native.ts';
import { quietly } from './quietly.ts';
import type { Tensor } from './tensor.ts';
import { deviceTypes, type DeviceType } from './types.ts';

/** `struct ggml_backend_dev_props`: two names, two sizes, the type, and then `device_id`. */
const propsBytes = 128;
const deviceIdOffset = 40;

/** A PCI address as Linux and NVIDIA's tools write it, such as `0000:c1:00.0`; null where the backend has none. */
const pciIdOf = (native: Native, device: Pointer): string | null => {
  const props = new Uint8Array(propsBytes);
  native.ggml_backend_dev_get_props(device, props);
  const address = new DataView(props.buffer).getBigUint64(deviceIdOffset, true);
  if (address === 0n) return null;
  const id: unknown = koffi.decode(address, 'char', -1);
  return typeof id === 'string' && /^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/i.test(id) ? id.toLowerCase() : null;
};

export class Device {
  readonly native: Native;
  /** Position in the registry. */
  readonly index: number;
  /** The registry's name, such as `CPU`, `CUDA0`, `Vulkan1`. */
  readonly name: string;
  /** The maker's name, such as `NVIDIA GeForce RTX 4090`. */
  readonly description: string;
  readonly type: DeviceType;
  /** Lower case: `cpu`, `cuda`, `vulkan`, `metal`, … */
  readonly backend: string;
  /** Such as `0000:c1:00.0`; null where the backend does not tell. */
  readonly pciId: string | null;
  readonly ptr: Pointer;

  constructor(native: Native, index: number) {
    this.native = native;
    this.index = index;
    this.ptr = native.ggml_backend_dev_get(index);
    this.name = native.ggml_backend_dev_name(this.ptr);
    this.description = native.ggml_backend_dev_description(this.ptr);
    this.type = deviceTypes[native.ggml_backend_dev_type(this.ptr)] ?? 'accel';
    this.backend = native.ggml_backend_reg_name(native.ggml_backend_dev_backend_reg(this.ptr)).toLowerCase();
    this.pciId = pciIdOf(native, this.ptr);
  }

  memory(): { readonly freeBytes: number; readonly totalBytes: number } {
    const free = new BigInt64Array(1);
    const total = new BigInt64Array(1);
    this.native.ggml_backend_dev_memory(this.ptr, free, total);
    return { freeBytes: Number(free[0]), totalBytes: Number(total[0]) };
  }

  /** Buffers in the device's own memory. */
  get bufferType(): BufferType {
    return { ptr: this.native.ggml_backend_dev_buffer_type(this.ptr), name: this.name };
  }

  /** Whether the device computes this node. */
  supports(op: Tensor): boolean {
    return this.native.ggml_backend_dev_supports_op(this.ptr, op.ptr);
  }

  /** Address of a backend's optional function, or null. */
  procAddress(name: string): Pointer | null {
    return this.native.ggml_backend_reg_get_proc_address(this.native.ggml_backend_dev_backend_reg(this.ptr), name);
  }

  /** @throws Error when the device cannot be opened. */
  open(): Backend {
    const ptr = quietly(this.native, () => this.native.ggml_backend_dev_init(this.ptr, null));
    if (ptr === null) throw new Error(`cannot open device ${this.name} (${this.description})`);
    return new Backend(this, ptr);
  }
}
