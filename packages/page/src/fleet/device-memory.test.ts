import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DeviceSnapshot, NodeModelSnapshot } from '@cortex/core';
import { memoryParts } from './device-memory.ts';

const device = (used: number, total = 1000, reserved = 0): DeviceSnapshot =>
  ({ index: 0, vram_total_mb: total, vram_used_mb: used, vram_reserved_mb: reserved }) as DeviceSnapshot;
const model = (id: string, ...devices_mb: readonly number[]): NodeModelSnapshot =>
  ({ id, devices: devices_mb.map((_, i) => i), devices_mb }) as unknown as NodeModelSnapshot;

describe('the parts of a memory', () => {
  it('are its models, what else is used, and what a load was promised', () => {
    expect(
      memoryParts(device(700, 1000, 200), [
        model('a', 300),
        model('b', 200, 700),
        { ...model('c', 100), devices: [1] },
      ]),
    ).toEqual([
      { kind: 'model', name: 'a', mb: 300, share: 0.3 },
      { kind: 'model', name: 'b', mb: 200, share: 0.2 },
      { kind: 'other', name: 'other use', mb: 200, share: 0.2 },
      { kind: 'reserved', name: 'reserved for a load', mb: 200, share: 0.2 },
    ]);
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
