import { describe, expect, it } from 'vitest';
import { planLayers, type DeviceLayers, type DeviceSizes, type LayerLimits } from './layer-plan.ts';
import { totalBytes } from './memory-plan.ts';
import type { PartRange } from './spread-needs.ts';

const mb = 2 ** 20;

/** Ten layers of 10 MB, embedding and head of 20, 5 to compute with, and of each token 1 KB a layer. */
const device = (name: string, freeMb: number, rest: Partial<DeviceSizes> = {}): DeviceSizes => ({
  name,
  freeBytes: freeMb * mb,
  sharesHost: false,
  layers: Array.from({ length: 10 }, () => ({ weights: 10 * mb, kvPerToken: 1024, state: 0 })),
  embedding: 20 * mb,
  head: 20 * mb,
  tower: { weights: 0, compute: 0 },
  imageRows: 0,
  computeBytes: () => 5 * mb,
  ...rest,
});

/** Cache of a quarter of a MB a layer. */
const limits: LayerLimits = { contextMax: 256, kvTokens: 256, nSlots: 1 };
const shown = ({ first, n, hasHead }: DeviceLayers) => [first, first + n, hasHead];

describe('layers over devices', () => {
  it('begin on the host and end, with the head, on the device with the most room; each has what fits', () => {
    const plan = planLayers([device('A', 60), device('B', 40)], device('CPU', 200), limits);
    expect(plan.map(shown)).toEqual([
      [7, 10, true],
      [4, 7, false],
      [0, 4, false],
    ]);
    const [a, b, host] = plan.map(({ memory }) => memory.parts);
    expect(a).toMatchObject({ weights: 50 * mb, kv: 0.75 * mb, compute: 5 * mb });
    expect(b).toMatchObject({ weights: 30 * mb, kv: 0.75 * mb, compute: 5 * mb });
    expect(host).toMatchObject({ weights: 60 * mb, kv: mb, compute: 5 * mb });
  });

  it('leave out a device that has no room for one, and the host has the head where no other has', () => {
    expect(planLayers([device('A', 60), device('B', 14)], device('CPU', 200), limits).map(shown)).toEqual([
      [7, 10, true],
      [7, 7, false],
      [0, 7, false],
    ]);
    const alone = planLayers([device('A', 14)], device('CPU', 200), limits);
    expect(alone.map(shown)).toEqual([
      [11, 11, false],
      [0, 10, true],
    ]);
    expect(alone.map(({ memory }) => totalBytes(memory.parts) > 0)).toEqual([false, true]);
  });

  it('have the tower on the first, and room for its rows on the others', () => {
    const seeing = { tower: { weights: 10 * mb, compute: 5 * mb }, imageRows: mb };
    const plan = planLayers([device('A', 60, seeing), device('B', 40, seeing)], device('CPU', 200, seeing), limits);
    expect(plan.map(({ hasTower, n, memory }) => [hasTower, n, memory.parts.tower / mb])).toEqual([
      [true, 1, 5],
      [false, 3, 1],
      [false, 6, 1],
    ]);
  });

  it('need room only for what each computes', () => {
    // Logits of the head are large.
    const computing = { computeBytes: (_: number, { end }: PartRange) => (end > 10 ? 30 : 5) * mb };
    const plan = planLayers(
      [device('A', 91, computing), device('B', 26, computing)],
      device('CPU', 86, computing),
      limits,
    );
    expect(plan.map(shown)).toEqual([
      [6, 10, true],
      [4, 6, false],
      [0, 4, false],
    ]);
    expect(plan.map(({ memory }) => memory.parts.compute / mb)).toEqual([30, 5, 5]);
  });

  it('begin with a device of less room where all have room only so', () => {
    // With the head A has room for two layers fewer, B for one.
    const plan = planLayers([device('A', 46), device('B', 35.5)], device('CPU', 80), limits);
    expect(plan.map(shown)).toEqual([
      [5, 9, false],
      [9, 10, true],
      [0, 5, false],
    ]);
  });

  it('take of the host what a device has that shares its memory', () => {
    const shared = device('A', 60, { sharesHost: true });
    expect(planLayers([shared], device('CPU', 160), limits).map(shown)).toEqual([
      [7, 10, true],
      [0, 7, false],
    ]);
    expect(() => planLayers([shared], device('CPU', 150), limits)).toThrow('MB are needed');
  });

  it('have a shorter context where that makes room, unless the operator has said how long', () => {
    const long = { contextMax: 65_536, nSlots: 1 };
    const plan = planLayers([device('A', 60)], device('CPU', 160), { ...long, kvTokens: null });
    const [{ contextMax, kvTokens } = { contextMax: 0, kvTokens: 0 }] = plan.map(({ memory }) => memory);
    expect(contextMax).toBe(kvTokens);
    expect(contextMax).toBeGreaterThan(255);
    expect(contextMax).toBeLessThan(10_000);
    expect(() => planLayers([device('A', 60)], device('CPU', 160), { ...long, kvTokens: 65_536 })).toThrow(
      'layers over A + CPU: 790 MB are needed (weights 140, KV cache 640 for 65536 tokens, computing 10): ' +
        'A has 25 of its 60 free, CPU would have 765 and has 160 free',
    );
  });
});
