import { describe, expect, it } from 'vitest';
import { PredictorPace } from './predictor-pace.ts';

/** Steps of a device on which a guess costs `guessMs` and another column `columnMs`; guesses are right `right` times in a row. */
const run = (
  pace: PredictorPace,
  nSteps: number,
  { plainMs, guessMs, columnMs, right }: Record<'plainMs' | 'guessMs' | 'columnMs' | 'right', number>,
): readonly number[] =>
  Array.from({ length: nSteps }, () => {
    const n = pace.nDraft;
    if (n === 0) pace.notePlain(plainMs);
    else {
      pace.noteDraft({ nDrafted: n, nRight: Math.min(n, right), ms: plainMs + n * (guessMs + columnMs) });
    }
    return n;
  });

const last = (values: readonly number[]): readonly number[] => values.slice(-20);

describe('a pace of predicting', () => {
  it('begins when it knows what a plain step costs', () => {
    const pace = new PredictorPace(8);
    expect(pace.nDraft).toBe(0);
    pace.notePlain(10);
    expect(pace.nDraft).toBe(1);
  });

  it('guesses as far as guesses are right', () => {
    for (const right of [1, 2, 4]) {
      const pace = new PredictorPace(8);
      run(pace, 100, { plainMs: 10, guessMs: 1, columnMs: 1, right });
      expect(new Set(last(run(pace, 40, { plainMs: 10, guessMs: 1, columnMs: 1, right })))).toContain(right);
    }
    const pace = new PredictorPace(4);
    run(pace, 60, { plainMs: 10, guessMs: 1, columnMs: 1, right: 9 });
    expect(Math.max(...last(run(pace, 40, { plainMs: 10, guessMs: 1, columnMs: 1, right: 9 })))).toBe(4);
  });

  it('rests where guesses are wrong or cost more than they gain, longer each time', () => {
    for (const cost of [
      { plainMs: 10, guessMs: 1, columnMs: 1, right: 0 },
      { plainMs: 10, guessMs: 6, columnMs: 6, right: 9 },
    ]) {
      const pace = new PredictorPace(8);
      const steps = run(pace, 400, cost);
      expect(steps.filter((n) => n > 0).length).toBeLessThan(40);
      expect(last(steps)).toEqual(last(steps.map(() => 0)));
    }
  });

  it('takes heart again when what it guesses becomes right', () => {
    const pace = new PredictorPace(8);
    run(pace, 60, { plainMs: 10, guessMs: 1, columnMs: 1, right: 0 });
    const steps = run(pace, 400, { plainMs: 10, guessMs: 1, columnMs: 1, right: 9 });
    expect(Math.max(...last(steps))).toBeGreaterThan(2);
  });

  it('does not hold one slow step against a number of guesses for ever', () => {
    const pace = new PredictorPace(2);
    pace.notePlain(10);
    pace.noteDraft({ nDrafted: 1, nRight: 1, ms: 12 });
    pace.noteDraft({ nDrafted: 2, nRight: 2, ms: 500 });
    const steps = run(pace, 200, { plainMs: 10, guessMs: 1, columnMs: 1, right: 9 });
    expect(Math.max(...last(steps))).toBe(2);
  });

  it('never guesses when it may not', () => {
    const pace = new PredictorPace(0);
    pace.notePlain(10);
    expect(pace.nDraft).toBe(0);
  });
});
