import { describe, expect, it } from 'vitest';
import { ThinkingBudget, type ThinkingBudgetSpec } from './thinking-budget.ts';

const endOfThought = [90, 91] as const;
const call = [95] as const;

/** Says what it is told to, unless all but one token are barred: then that one. */
const say = (wanted: readonly number[], spec: Partial<ThinkingBudgetSpec> = {}): readonly number[] => {
  const budget = new ThinkingBudget({ tokensMax: 3, opening: null, endings: [endOfThought, call], ...spec });
  return wanted.map((id) => {
    const logits = new Float32Array(100);
    logits[id] = 5;
    budget.mask(logits);
    const said = logits.indexOf(Math.max(...logits));
    budget.accept(said);
    return said;
  });
};

describe('a thinking budget', () => {
  it('forces the end of the reasoning once it is spent, and nothing after it', () => {
    expect(say([1, 2, 3, 4, 5, 6, 7])).toEqual([1, 2, 3, 90, 91, 6, 7]);
    expect(say([1, 2, 3], { tokensMax: 0 })).toEqual([90, 91, 3]);
  });

  it('has nothing to say to reasoning that ends in time, by its own end or in a call', () => {
    expect(say([1, 90, 91, 4, 5, 6])).toEqual([1, 90, 91, 4, 5, 6]);
    expect(say([1, 2, 95, 4, 5, 6])).toEqual([1, 2, 95, 4, 5, 6]);
  });

  it('goes on where the model has begun to end it', () => {
    expect(say([1, 2, 90, 4, 5])).toEqual([1, 2, 90, 91, 5]);
    expect(say([90, 1, 2, 4, 5, 6])).toEqual([90, 1, 2, 90, 91, 6]);
  });

  it('counts from where the model opens it, and not at all where it does not', () => {
    expect(say([10, 80, 1, 2, 3, 4, 5, 6], { opening: [80] })).toEqual([10, 80, 1, 2, 3, 90, 91, 6]);
    const plain = Array.from({ length: 20 }, (_, i) => i);
    expect(say([...plain, 80, ...plain], { opening: [80] })).toEqual([...plain, 80, ...plain]);
  });
});
