/** What loaded models hold of each device's memory and the host's, and what the operator lets models have. Pure. */
import type { GgmlConfig } from '@cortex/core';
import type { LoadedModel } from './loaded-model.ts';

type Holder = Pick<LoadedModel, 'device' | 'loaded'>;

const sum = (all: readonly number[]): number => all.reduce((total, n) => total + n, 0);

/** Index of a part's device; null for the host. */
export const deviceOfPart = ({ device }: Pick<Holder, 'device'>, member: number | null): number | null =>
  member === null ? null : (device.members[member] ?? null);

/** @param index of a device; null: of the host's memory beside what a model there is itself on */
export const heldBytes = (models: readonly Holder[], index: number | null): number =>
  sum(
    models.map((model) => {
      const { device, loaded } = model;
      const parts = loaded.parts.filter(({ member }) => deviceOfPart(model, member) === index);
      if (loaded.parts.length > 0) return sum(parts.map(({ nBytes }) => nBytes));
      const member = index === null ? -1 : device.members.indexOf(index);
      return member < 0 ? 0 : (loaded.memberBytes[member] ?? loaded.bytes);
    }),
  );

/** What models may have of one device together. */
export const limitBytes = ({ device_memory_max_mb: mb }: GgmlConfig): number =>
  mb === undefined ? Infinity : mb * 2 ** 20;

/** What one more model may have of a device. */
export const freeWithin = (config: GgmlConfig, freeBytes: number, nBytesHeld: number): number =>
  Math.max(0, Math.min(freeBytes, limitBytes(config) - nBytesHeld));
