import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Candidates } from './candidates.ts';
import { selectCandidates, type Selection } from './selection.ts';
import { TopHeap } from './top-heap.ts';

const open: Selection = { temperature: 1, topK: 0, topP: 1, minP: 0 };

/** The selection as its definition reads: sort everything, cut three times. `margin`: how close a cut was. */
function naive(logits: Float32Array, nVocab: number, { temperature, topK, topP, minP }: Selection) {
  let list = Array.from(logits.subarray(0, nVocab), (logit, id) => ({ id, logit }))
    .filter(({ logit }) => logit > -Infinity)
    .sort((a, b) => b.logit - a.logit || a.id - b.id);
  const max = list[0]?.logit ?? 0;
  if (topK > 0) list = list.slice(0, topK);
  const weighted = list
    .map(({ id, logit }) => ({ id, weight: Math.exp((logit - max) / temperature) }))
    .sort((a, b) => b.weight - a.weight || a.id - b.id);
  const total = weighted.reduce((sum, { weight }) => sum + weight, 0);
  let before = 0;
  let margin = Infinity;
  const kept = weighted.filter(({ weight }, rank) => {
    const nucleus = topP >= 1 || rank === 0 || before < topP * total;
    if (topP < 1 && rank > 0) margin = Math.min(margin, Math.abs(before - topP * total) / total);
    if (minP > 0) margin = Math.min(margin, Math.abs(weight - minP));
    before += weight;
    return nucleus && weight >= minP && weight > 1e-304;
  });
  return { kept: new Map(kept.map(({ id, weight }) => [id, weight])), margin };
}

function select(logits: Float32Array, nVocab: number, selection: Selection): Map<number, number> {
  const into = new Candidates();
  selectCandidates(logits, nVocab, selection, into, new TopHeap());
  const entries = Array.from({ length: into.length }, (_, i) => [into.ids[i] ?? -1, into.weights[i] ?? 0] as const);
  // A weight that underflows is as good as absent: it is never drawn.
  return new Map(entries.filter(([, weight]) => weight > 0));
}

/** Three waves that never meet again. */
const noise = (id: number): number => Math.sin(id * 12.9898) + Math.sin(id * 78.233) + Math.sin(id * 37.719);

const sortedIds = (map: Map<number, number>) => [...map.keys()].sort((a, b) => a - b);

const logitsArbitrary = fc.oneof(
  fc.array(
    // A grid, so that two weights are equal or clearly apart.
    fc.integer({ min: -320, max: 320 }).map((eighths) => eighths / 8),
    { minLength: 1, maxLength: 400 },
  ),
  // Few distinct values: ties everywhere.
  fc.array(fc.constantFrom(-1, 0, 0.5, 3, -Infinity), { minLength: 1, maxLength: 400 }),
);
const selectionArbitrary: fc.Arbitrary<Selection> = fc.record({
  temperature: fc.constantFrom(0.01, 0.5, 1, 3),
  topK: fc.constantFrom(0, 1, 2, 5, 20, 399),
  topP: fc.constantFrom(1, 0.999, 0.95, 0.5, 0.1, 0),
  minP: fc.constantFrom(0, 0.05, 0.5, 1),
});

describe('selectCandidates', () => {
  it('keeps exactly what sorting the vocabulary and cutting it would keep', () => {
    fc.assert(
      fc.property(logitsArbitrary, selectionArbitrary, (values, selection) => {
        const logits = Float32Array.from(values);
        const expected = naive(logits, logits.length, selection);
        // A cut that falls on a rounding error may go either way; minP = 1 falls on the likeliest token exactly.
        fc.pre(expected.margin > 1e-8 || selection.minP === 1);
        const got = select(logits, logits.length, selection);
        expect(sortedIds(got)).toEqual(sortedIds(expected.kept));
        for (const [id, weight] of got) expect(weight).toBeCloseTo(expected.kept.get(id)!, 8);
      }),
      { numRuns: 400 },
    );
  });

  it('keeps the same for a k beyond the heap as for sorting', () => {
    const logits = Float32Array.from({ length: 5000 }, (_, id) => Math.fround(Math.sin(id * 12.9898) * 9));
    for (const topP of [1, 0.9]) {
      const selection = { ...open, topK: 2000, topP };
      expect(sortedIds(select(logits, 5000, selection))).toEqual(sortedIds(naive(logits, 5000, selection).kept));
    }
  });

  it('keeps the same of long rows, peaked and flat', () => {
    const n = 20_000;
    for (const spread of [0.3, 2, 9]) {
      const logits = Float32Array.from({ length: n }, (_, id) => Math.fround(noise(id) * spread));
      for (const topP of [0.5, 0.95, 0.999]) {
        for (const temperature of [0.6, 1.3]) {
          const selection = { ...open, topP, temperature };
          const expected = naive(logits, n, selection);
          expect(expected.margin).toBeGreaterThan(1e-10);
          expect(sortedIds(select(logits, n, selection))).toEqual(sortedIds(expected.kept));
        }
      }
    }
  });

  it('finds the nucleus of a large flat distribution', () => {
    const logits = new Float32Array(100_000).fill(1.5);
    const kept = select(logits, logits.length, { ...open, topP: 0.25 });
    expect(kept.size).toBe(25_000);
    expect(Math.max(...kept.keys())).toBe(24_999);
  });

  it('never looks at rows beyond the real vocabulary', () => {
    const logits = Float32Array.from([1, 2, 3, 99, 99]);
    for (const topK of [0, 2]) expect(Math.max(...select(logits, 3, { ...open, topK }).keys())).toBe(2);
  });

  it('keeps one token at top_p 0', () => {
    expect([...select(Float32Array.from([1, 5, 2]), 3, { ...open, topP: 0 }).keys()]).toEqual([1]);
  });

  it('keeps nothing of a row that is barred whole', () => {
    const barred = new Float32Array(8).fill(-Infinity);
    for (const topK of [0, 3]) expect(select(barred, 8, { ...open, topK }).size).toBe(0);
  });
});
