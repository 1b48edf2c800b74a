import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CellExtents, type CellExtent } from './cell-extents.ts';

const take = (cells: CellExtents, nCells: number): CellExtent => {
  const extent = cells.allocate(nCells);
  if (extent === null) throw new Error(`no room for ${nCells}`);
  return extent;
};

interface Step {
  readonly kind: 'allocate' | 'free';
  readonly n: number;
}

/** Takes the steps beside a plain map of the cells, and says where the two differ. */
const brokenRules = (nCells: number, alignment: number, steps: readonly Step[]): readonly string[] => {
  const cells = new CellExtents(nCells, alignment);
  const isTaken = Array.from<boolean>({ length: nCells }).fill(false);
  const held: CellExtent[] = [];
  const broken: string[] = [];
  const must = (holds: boolean, rule: string): void => void (holds || broken.push(rule));
  const mark = ({ start, length }: CellExtent, taken: boolean): void => void isTaken.fill(taken, start, start + length);
  // Gaps of the map are merged by nature, so the allocator finds room exactly where they have it.
  const largestGap = (): number =>
    Math.max(
      ...isTaken
        .map(Number)
        .join('')
        .split(/1+/)
        .map((gap) => gap.length),
    );

  for (const { kind, n } of steps) {
    const extent = kind === 'allocate' ? cells.allocate(n) : held.splice(n % Math.max(held.length, 1), 1).at(0);
    if (kind === 'allocate') must((extent === null) === largestGap() < n, 'room is found where there is room');
    if (extent === null || extent === undefined) continue;
    const { start, length } = extent;
    if (kind === 'free') cells.free(extent);
    else {
      must(length >= n, 'an extent is large enough');
      must(start % alignment === 0, 'an extent is aligned');
      must(length % alignment === 0 || start + length === nCells, 'an extent ends on the alignment or with the cells');
      must(start + length <= nCells && !isTaken.slice(start, start + length).includes(true), 'extents do not overlap');
      held.push(extent);
    }
    mark(extent, kind === 'allocate');
    must(cells.nFree === isTaken.filter((taken) => !taken).length, 'free cells are counted');
    must(cells.largestFree === largestGap(), 'gaps are merged');
  }
  for (const extent of held) cells.free(extent);
  must(cells.largestFree === nCells && cells.nFree === nCells, 'everything freed is one gap');
  return broken;
};

describe('CellExtents', () => {
  it('gives whole multiples of the alignment', () => {
    const cells = new CellExtents(1024, 256);
    expect(cells.allocate(1)).toEqual({ start: 0, length: 256 });
    expect(cells.allocate(257)).toEqual({ start: 256, length: 512 });
    expect(cells.nFree).toBe(256);
  });

  it('gives the last cells though they are no whole multiple', () => {
    const cells = new CellExtents(300, 256);
    expect(cells.allocate(300)).toEqual({ start: 0, length: 300 });
    expect(cells.nFree).toBe(0);
    expect(new CellExtents(0, 1).allocate(1)).toBeNull();
  });

  it('takes the smallest gap that is large enough', () => {
    const cells = new CellExtents(100, 1);
    const [large, , small] = [take(cells, 30), take(cells, 1), take(cells, 10), take(cells, 59)];
    cells.free(large);
    cells.free(small);
    expect(cells.largestFree).toBe(30);
    expect(cells.allocate(9)).toEqual({ start: 31, length: 9 });
    expect(cells.allocate(11)).toEqual({ start: 0, length: 11 });
  });

  it('has no room when the free cells are scattered', () => {
    const cells = new CellExtents(30, 10);
    const [first, , last] = [take(cells, 10), take(cells, 10), take(cells, 10)];
    cells.free(first);
    cells.free(last);
    expect(cells.nFree).toBe(20);
    expect(cells.largestFree).toBe(10);
    expect(cells.allocate(11)).toBeNull();
  });

  it('refuses to free twice, or what it did not give', () => {
    const cells = new CellExtents(10, 1);
    const extent = take(cells, 5);
    cells.free(extent);
    expect(() => cells.free(extent)).toThrow('cells 0 to 4 are not taken');
    const next = take(cells, 5);
    expect(() => cells.free(extent)).toThrow('not taken');
    expect(() => cells.free({ ...next })).toThrow('not taken');
    expect(cells.nFree).toBe(5);
  });

  it('refuses sizes that cannot be', () => {
    const cells = new CellExtents(10, 1);
    for (const n of [0, -1, 1.5, Number.NaN]) expect(() => cells.allocate(n)).toThrow(RangeError);
    expect(() => new CellExtents(-1, 1)).toThrow(RangeError);
    expect(() => new CellExtents(1, 0)).toThrow(RangeError);
  });

  it('grows over the cells that follow, and shrinks back', () => {
    const cells = new CellExtents(100, 10);
    const [first, second] = [take(cells, 20), take(cells, 20)];
    expect(cells.grow(first, 21)).toBeNull();
    cells.free(second);
    const grown = cells.grow(first, 35)!;
    expect(grown).toEqual({ start: 0, length: 40 });
    expect(() => cells.free(first)).toThrow('not taken');
    expect(cells.grow(grown, 101)).toBeNull();
    expect(cells.grow(grown, 5)).toBe(grown);
    const small = cells.shrink(grown, 11);
    expect([small, cells.largestFree]).toEqual([{ start: 0, length: 20 }, 80]);
    cells.free(small);
    expect(cells.nFree).toBe(100);
  });

  it('names what must go for an extent to grow, unless others are in the way', () => {
    const cells = new CellExtents(100, 10);
    const [first, second, third, fourth] = [take(cells, 20), take(cells, 20), take(cells, 20), take(cells, 40)];
    expect(cells.victimsToGrow(first, 50, [fourth, third, second])).toEqual([third, second]);
    expect(cells.victimsToGrow(first, 50, [third])).toBeNull();
    expect(cells.victimsToGrow(first, 20, [])).toEqual([]);
    expect(cells.victimsToGrow(fourth, 41, [first, second, third])).toBeNull();
  });

  it('names as victims what makes room, the least wanted first and none that could stay', () => {
    const extents = fc.array(fc.integer({ min: 1, max: 12 }), { maxLength: 12 });
    fc.assert(
      fc.property(extents, fc.array(fc.boolean()), fc.integer({ min: 1, max: 60 }), (lengths, isFixed, n) => {
        const cells = new CellExtents(60, 1);
        const taken = lengths.flatMap((length) => cells.allocate(length) ?? []);
        const candidates = taken.filter((_, i) => !(isFixed[i] ?? false));
        const victims = cells.victims(n, candidates);
        const fits = (freed: readonly CellExtent[]): boolean => {
          const other = new CellExtents(60, 1);
          const copies = taken.map(({ length }) => take(other, length));
          for (const extent of freed) other.free(copies[taken.indexOf(extent)]!);
          return other.largestFree >= n;
        };
        expect(victims !== null).toBe(fits(candidates));
        if (victims === null) return;
        expect(fits(victims)).toBe(true);
        for (const spared of victims) expect(fits(victims.filter((extent) => extent !== spared))).toBe(false);
      }),
    );
  });

  it('never overlaps, counts right and merges every gap, whatever the order', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('allocate' as const), n: fc.integer({ min: 1, max: 40 }) }),
      fc.record({ kind: fc.constant('free' as const), n: fc.nat() }),
    );
    const size = fc.integer({ min: 0, max: 100 });
    fc.assert(
      fc.property(size, fc.integer({ min: 1, max: 16 }), fc.array(step), (nCells, alignment, steps) => {
        expect(brokenRules(nCells, alignment, steps)).toEqual([]);
      }),
    );
  });
});
