/** The memory of devices as models see it. A busy device is asked again later; until then its last answer counts. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Device } from '../device/contract.ts';

const mb = 1024 * 1024;
/** A device answers between two steps; whoever only looks at a list of models is not kept longer. */
const waitMsMax = 100;

export class DeviceRooms {
  readonly #devices: readonly Device[];
  readonly #freeBytes = new Map<Device, number>();
  readonly #asking = new Map<Device, Promise<void>>();

  constructor(devices: readonly Device[]) {
    this.#devices = devices;
  }

  /** Bytes free by device; all it has where it never answered, none of a poisoned one. */
  async freeBytes(): Promise<ReadonlyMap<Device, number>> {
    const controller = new AbortController();
    const limit = delay(waitMsMax, undefined, { signal: controller.signal }).catch(() => {});
    await Promise.race([Promise.all(this.#devices.map((device) => this.#ask(device))), limit]);
    controller.abort();
    return new Map(this.#devices.map((device) => [device, this.#last(device)]));
  }

  #last(device: Device): number {
    if (device.poisonedReason !== null) return 0;
    return this.#freeBytes.get(device) ?? device.info.vram_total_mb * mb;
  }

  #ask(device: Device): Promise<void> {
    const running = this.#asking.get(device);
    if (running !== undefined) return running;
    const asking = device
      .run({ kind: 'memory' })
      .then(
        ({ freeBytes }) => void this.#freeBytes.set(device, freeBytes),
        () => {},
      )
      .finally(() => this.#asking.delete(device));
    this.#asking.set(device, asking);
    return asking;
  }
}
