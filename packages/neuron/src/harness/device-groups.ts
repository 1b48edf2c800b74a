/**
 * Groups of devices that share models, by parts of every layer or each by layers of its own. Each has a thread of its own,
 * opened when the first model wants it and kept for the daemon's life. The devices' own threads go on serving what they
 * have: a group only takes memory that is free. One that fails is out of service by itself.
 */
import type { Device } from '../device/contract.ts';
import type { DeviceHostOptions } from '../model/device-model.ts';

/** What the devices of a group have of a model: see `DeviceHostOptions`. */
export type Sharing = NonNullable<DeviceHostOptions['sharing']>;

export type OpenGroup = (indices: readonly number[], sharing: Sharing) => Promise<Device>;

export class DeviceGroups {
  readonly #openGroup: OpenGroup;
  readonly #groups = new Map<string, Promise<Device>>();

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
    group.catch(() => this.#groups.delete(key));
    return group;
  }

  async close(graceMs: number): Promise<void> {
    const shut = (group: Device): Promise<void> => group.shutdown(graceMs);
    // What did not open has nothing to shut down.
    await Promise.all([...this.#groups.values()].map((group) => group.then(shut, () => {})));
  }
}
