import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DeviceSnapshot, NodeModelSnapshot } from '@cortex/core';
import { memoryParts } from './device-memory.ts';

const device = (used: number, total = 1000, reserved = 0): DeviceSnapshot =>
  ({ index: 0, vram_total_mb: total, vram_used_mb: used, vram_reserved_mb: reserved }) as DeviceSnapshot;
const model = (id: string, vram_used_mb: number, devices: readonly number[] = [0]): NodeModelSnapshot =>
  ({ id, vram_used_mb, devices, layers: [] as NodeModelSnapshot['layers'] }) as NodeModelSnapshot;

describe('the parts of a memory', () => {
  it('are its models, what else is used, and what a load was promised', () => {
    expect(
      memoryParts(device(700, 1000, 200), [model('a', 300), model('b', 400, [0, 1]), model('c', 100, [1])]),
    ).toEqual([
      { kind: 'model', name: 'a', mb: 300, share: 0.3 },
      { kind: 'model', name: 'b', mb: 200, share: 0.2 },
      { kind: 'other', name: 'other use', mb: 200, share: 0.2 },
      { kind: 'reserved', name: 'reserved for a load', mb: 200, share: 0.2 },
    ]);
  });

  it('are of a model with layers of its own on each device what the node says', () => {
    const part = { name: 'GPU', layers: 3 };
    const layers = [
      { ...part, device: 0, mb: 700 },
      { ...part, device: 1, mb: 100 },
      { ...part, device: null, mb: 5000 },
    ];
    const spread = { ...model('a', 800, [0, 1]), layers };
    expect(memoryParts(device(700), [spread])).toEqual([{ kind: 'model', name: 'a', mb: 700, share: 0.7 }]);
  });

  it('never exceed it, whatever is reported', () => {
    const megabytes = fc.nat(100_000);
    fc.assert(
      fc.property(megabytes, megabytes, megabytes, fc.array(megabytes), (used, total, reserved, sizes) => {
        const models = sizes.map((mb, i) => model(`m${i}`, mb));
        const parts = memoryParts(device(used, total, reserved), models);
        expect(parts.reduce((sum, { share }) => sum + share, 0)).toBeLessThanOrEqual(1 + 1e-9);
        expect(parts.every(({ share }) => share > 0)).toBe(true);
      }),
    );
  });
});
