import { describe, expect, it } from 'vitest';
import { fixtureJson, fixtureNames, fixtureTensors } from '../../test/reference-files.ts';
import { mropePositions } from './mrope-positions.ts';

const pad = 632;
const folder = 'cases/qwen3_5-vl-tiny';
const withImages = fixtureNames(folder, '.safetensors').filter((name) =>
  fixtureTensors(`${folder}/${name}`).has('position_ids'),
);

describe('mropePositions against the reference', () => {
  it('has cases with one image, several, and adjacent ones', () => {
    expect(withImages.length).toBeGreaterThanOrEqual(5);
  });

  it.each(withImages)('gives the positions of %s', (name) => {
    const tensors = fixtureTensors(`${folder}/${name}`);
    const grids = tensors.get('image_grid_thw')!.values;
    const mergedGrids = Array.from({ length: grids.length / 3 }, (_, i) => {
      const [h = 0, w = 0] = grids.subarray(i * 3 + 1, i * 3 + 3);
      return { h: h / 2, w: w / 2 };
    });
    const ids = tensors.get('input_ids')!.values as Int32Array;
    const { t, h, w, ropeDelta, nextPosition } = mropePositions(ids, pad, mergedGrids);
    expect([...t, ...h, ...w]).toEqual([...tensors.get('position_ids')!.values]);
    const { rope_delta } = fixtureJson<{ rope_delta: number }>(`${folder}/${name.replace('.safetensors', '.json')}`);
    expect(ropeDelta).toBe(rope_delta);
    expect(nextPosition).toBe(ids.length + rope_delta);
  });
});

describe('mropePositions', () => {
  const grid = { h: 2, w: 3 };

  it('works the textbook example', () => {
    const ids = Int32Array.from([1, 2, 3, ...Array.from({ length: 6 }, () => pad), 4, 5]);
    expect(mropePositions(ids, pad, [grid])).toEqual({
      t: Int32Array.from([0, 1, 2, 3, 3, 3, 3, 3, 3, 6, 7]),
      h: Int32Array.from([0, 1, 2, 3, 3, 3, 4, 4, 4, 6, 7]),
      w: Int32Array.from([0, 1, 2, 3, 4, 5, 3, 4, 5, 6, 7]),
      ropeDelta: -3,
      nextPosition: 8,
    });
  });

  it('counts plain text as it is', () => {
    const { t, h, w, ropeDelta } = mropePositions(Int32Array.from([9, 9, 9]), pad, []);
    expect([t, h, w]).toEqual([0, 1, 2].map(() => Int32Array.from([0, 1, 2])));
    expect(ropeDelta).toBe(0);
  });

  it('splits touching runs of pads grid by grid', () => {
    const ids = new Int32Array(3).fill(pad);
    const { t, h, w, nextPosition } = mropePositions(ids, pad, [
      { h: 2, w: 1 },
      { h: 1, w: 1 },
    ]);
    expect([t, h, w]).toEqual([Int32Array.from([0, 0, 2]), Int32Array.from([0, 1, 2]), Int32Array.from([0, 0, 2])]);
    expect(nextPosition).toBe(3);
  });

  it.each([
    ['a run too short', [pad, pad, 1], [grid], /image 0 has 6 tokens, but 2 image pads/],
    ['a run cut off by the end', [1, pad], [grid], /6 tokens, but 1 image pads/],
    ['a run too long', Array.from({ length: 7 }, () => pad), [grid], /image pad at 6 beyond those of its 1 images/],
    ['pads without an image', [1, pad], [], /image pad at 1 beyond those of its 0/],
    ['an image without pads', [1, 2], [grid], /pads for 0 images, but 1/],
  ])('refuses %s', (_what, ids, grids, message) => {
    expect(() => mropePositions(Int32Array.from(ids), pad, grids)).toThrow(message);
  });
});
