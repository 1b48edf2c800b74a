/**
 * The devices' state for `/health`, asked of the engine but not waited for: a device in the middle of a long step
 * answers late, and a gateway whose poll hangs would take the host for dead.
 */
import type { DeviceHealth } from '@cortex/core';

type Read = () => Promise<readonly DeviceHealth[]>;

export class DeviceReadings {
  readonly #read: Read;
  readonly #patienceMs: number;
  #last: readonly DeviceHealth[] | null = null;
  #reading: Promise<readonly DeviceHealth[]> | null = null;

  constructor(read: Read, patienceMs: number) {
    this.#read = read;
    this.#patienceMs = patienceMs;
  }

  /** A new reading, or after the patience the one before; only the very first is waited for without end. */
  async latest(): Promise<readonly DeviceHealth[]> {
    const reading = this.#begin();
    const last = this.#last;
    if (last === null) return reading;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<readonly DeviceHealth[]>((resolve) => {
      timer = setTimeout(() => resolve(last), this.#patienceMs);
    });
    try {
      return await Promise.race([reading, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** One at a time: callers that come meanwhile share it, so none pile up behind a stuck device. */
  #begin(): Promise<readonly DeviceHealth[]> {
    this.#reading ??= this.#readOnce();
    return this.#reading;
  }

  async #readOnce(): Promise<readonly DeviceHealth[]> {
    try {
      this.#last = await this.#read();
      return this.#last;
    } finally {
      this.#reading = null;
    }
  }
}
