/** A device's memory as parts of a bar: each model, what else is in use, what a load was promised, and the rest. */
import type { NodeSnapshot } from '@cortex/core';

type Device = NodeSnapshot['devices'][number];

export interface MemoryPart {
  readonly kind: 'model' | 'other' | 'reserved';
  readonly name: string;
  readonly mb: number;
  /** Of the whole, 0..1. */
  readonly share: number;
}

/** Parts never exceed the whole, whatever is reported. */
export const memoryParts = (device: Device, models: NodeSnapshot['models']): readonly MemoryPart[] => {
  const total = device.vram_total_mb;
  if (total <= 0) return [];
  const parts: MemoryPart[] = [];
  let leftMb = total;
  const add = (kind: MemoryPart['kind'], name: string, mb: number): void => {
    const fits = Math.min(mb, leftMb);
    if (fits <= 0) return;
    leftMb -= fits;
    parts.push({ kind, name, mb: fits, share: fits / total });
  };
  for (const { id, devices, devices_mb: eachMb } of models)
    add('model', id, eachMb[devices.indexOf(device.index)] ?? 0);
  const modelsMb = total - leftMb;
  add('other', 'other use', device.vram_used_mb - modelsMb);
  add('reserved', 'reserved for a load', device.vram_reserved_mb);
  return parts;
};
