/**
 * Groups of devices that share models, each with a thread of its own, opened when the first model wants it and kept for
 * the daemon's life. The devices' own threads go on serving what they have: a group only takes memory that is free. One
 * that fails is out of service by itself.
 */
import type { Device } from '../device/contract.ts';

export type OpenGroup = (indices: readonly number[]) => Promise<Device>;

export class DeviceGroups {
  readonly #openGroup: OpenGroup;
  readonly #groups = new Map<string, Promise<Device>>();

  constructor(openGroup: OpenGroup) {
    this.#openGroup = openGroup;
  }

  /** The group of these devices, in this order. @throws what opening it threw; the next call tries again. */
  of(indices: readonly number[]): Promise<Device> {
    const key = indices.join('+');
    const known = this.#groups.get(key);
    if (known !== undefined) return known;
    const group = this.#openGroup(indices);
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
