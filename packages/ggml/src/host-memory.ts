/**
 * Memory of the host that is given back to the system when it is said. An `ArrayBuffer` stays until the collector comes
 * by, and to a thread that has nothing more to do it never comes.
 */
import koffi from 'koffi';
import { OutOfMemoryError } from './buffer.ts';
import { noteFreed, noteHeld } from './holdings.ts';
import type { Pointer } from './native.ts';
import { mapPages, systemMemory } from './system-memory.ts';

export class HostMemory implements Disposable {
  readonly nBytes: number;
  readonly #address: Pointer;
  #bytes: Uint8Array | null;

  /** @throws OutOfMemoryError, RangeError for no bytes. */
  constructor(nBytes: number) {
    if (!(Number.isSafeInteger(nBytes) && nBytes > 0)) throw new RangeError(`memory of ${nBytes} bytes`);
    const system = systemMemory();
    const address = system === null ? (koffi.alloc('uint8_t', nBytes) as Pointer | null) : mapPages(system, nBytes);
    if (address === null) throw new OutOfMemoryError('the host', nBytes);
    this.nBytes = nBytes;
    this.#address = address;
    this.#bytes = new Uint8Array(koffi.view(address, nBytes));
    noteHeld(this);
  }

  /** The memory itself: a view that is kept must not be touched once this is freed. */
  get bytes(): Uint8Array {
    if (this.#bytes === null) throw new Error('the memory has been freed');
    return this.#bytes;
  }

  [Symbol.dispose](): void {
    if (this.#bytes === null) return;
    this.#bytes = null;
    const system = systemMemory();
    if (system === null) koffi.free(this.#address);
    else system.munmap(this.#address, this.nBytes);
    noteFreed(this);
  }
}
