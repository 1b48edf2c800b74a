import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { attentionRuns, type CellRow } from './attention-runs.ts';

const rowsAt = (firstCells: readonly number[], nCells = 256): readonly CellRow[] =>
  firstCells.map((firstCell) => ({ firstCell, nCells }));
const rowsOf = (nCells: readonly number[]): readonly CellRow[] =>
  nCells.map((n, i) => ({ firstCell: i * 4096, nCells: n }));
const shapeOf = (rows: readonly CellRow[], nCellsInCache = 65_536): readonly string[] =>
  attentionRuns(rows, nCellsInCache).map(
    (run) => `${run.nRows} from ${run.firstCell} every ${run.stride}: ${run.nCells}`,
  );

describe('sequences that attend together', () => {
  it('are those at equal distances, and any two in order', () => {
    expect(shapeOf(rowsAt([0, 1024, 2048, 3072]))).toEqual(['4 from 0 every 1024: 256']);
    expect(shapeOf(rowsAt([256, 512, 2048, 2560, 3072]))).toEqual([
      '2 from 256 every 256: 256',
      '3 from 2048 every 512: 256',
    ]);
    expect(shapeOf(rowsAt([1024]))).toEqual(['1 from 1024 every 256: 256']);
  });

  it('are apart where one lies before its neighbour or at the same cells', () => {
    expect(shapeOf(rowsAt([1024, 0]))).toEqual(['1 from 1024 every 256: 256', '1 from 0 every 256: 256']);
    expect(shapeOf(rowsAt([0, 0]))).toHaveLength(2);
  });

  it('look at as many cells as the longest, unless that is far more than they need', () => {
    const [short, long] = [256, 1024];
    expect(shapeOf(rowsOf([short, long]))).toEqual(['2 from 0 every 4096: 1024']);
    expect(shapeOf(rowsOf([long, short, short]))).toEqual(['3 from 0 every 4096: 1024']);
    expect(shapeOf(rowsOf([short, 4096]))).toEqual(['1 from 0 every 256: 256', '1 from 4096 every 4096: 4096']);
  });

  it('look at nothing behind the last cell', () => {
    const rows = [
      { firstCell: 0, nCells: 512 },
      { firstCell: 512, nCells: 256 },
    ];
    expect(shapeOf(rows, 1024)).toEqual(['2 from 0 every 512: 512']);
    expect(shapeOf(rows, 768)).toHaveLength(2);
  });

  it('look at as many cells as the cache has behind the first, also where a long one follows a short one closely', () => {
    const rows = [
      { firstCell: 1024, nCells: 256 },
      { firstCell: 1280, nCells: 1024 },
    ];
    expect(shapeOf(rows, 2560)).toHaveLength(2);
    expect(shapeOf(rows, 3072)).toEqual(['2 from 1024 every 256: 1024']);
    const lengths = fc.array(fc.record({ own: fc.integer({ min: 1, max: 8 }), gap: fc.nat(3) }), { minLength: 1 });
    fc.assert(
      fc.property(lengths, fc.nat(4), (extents, nRest) => {
        let end = 0;
        const laid = extents.map(({ own, gap }): CellRow => {
          const firstCell = end + gap * 256;
          end = firstCell + own * 256;
          return { firstCell, nCells: own * 256 };
        });
        const nCellsInCache = end + nRest * 256;
        const runs = attentionRuns(laid, nCellsInCache);
        expect(runs.reduce((n, { nRows }) => n + nRows, 0)).toBe(laid.length);
        for (const run of runs) expect(run.firstCell + run.nRows * run.nCells).toBeLessThanOrEqual(nCellsInCache);
      }),
    );
  });
});
