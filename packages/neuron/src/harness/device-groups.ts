/**
 * Groups of devices that share models, by parts of every layer or each by layers of its own. Each has a thread of its own,
 * opened when the first model wants it and kept for the daemon's life. The devices' own threads go on serving what they
 * have: a group only takes memory that is free. One that fails is out of service by itself.
 */
import type { BrokenGroup } from '@cortex/core';
import type { Device } from '../device/contract.ts';
import type { DeviceHostOptions } from '../model/device-model.ts';

/** What the devices of a group have of a model: see `DeviceHostOptions`. */
export type Sharing = NonNullable<DeviceHostOptions['sharing']>;

export type OpenGroup = (indices: readonly number[], sharing: Sharing) => Promise<Device>;

export class DeviceGroups {
  readonly #openGroup: OpenGroup;
  readonly #groups = new Map<string, Promise<Device>>();
  readonly #opened: { readonly group: Device; readonly sharing: Sharing }[] = [];

  constructor(openGroup: OpenGroup) {
    this.#openGroup = openGroup;
  }

  /** The group of these devices, in this order. @throws what opening it threw; the next call tries again. */
  of(indices: readonly number[], sharing: Sharing): Promise<Device> {
    const key = `${sharing} ${indices.join('+')}`;
    const known = this.#groups.get(key);
    if (known !== undefined) return known;
    const group = this.#openGroup(indices, sharing);
    this.#groups.set(key, group);
    group.then(
      (opened) => this.#opened.push({ group: opened, sharing }),
      () => this.#groups.delete(key),
    );
    return group;
  }

  /**
   * Those out of service. Their threads are stuck in native code and hold their devices' buffers: they can neither be ended
   * nor their devices be opened as a group again while they may still write there.
   */
  broken(): readonly BrokenGroup[] {
    return this.#opened.flatMap(({ group: { members, poisonedReason }, sharing }) =>
      poisonedReason === null
        ? []
        : [{ devices: [...members], by_layers: sharing === 'layers', reason: poisonedReason }],
    );
  }

  async close(graceMs: number): Promise<void> {
    const shut = (group: Device): Promise<void> => group.shutdown(graceMs);
    // What did not open has nothing to shut down.
    await Promise.all([...this.#groups.values()].map((group) => group.then(shut, () => {})));
  }
}
