import { describe, expect, it } from 'vitest';
import { DraftPace } from './draft-pace.ts';

const started = (draftMax = 16): DraftPace => {
  const pace = new DraftPace(draftMax);
  pace.notePlain(10);
  return pace;
};

describe('a pace of guessing', () => {
  it('begins when it knows what a plain step costs', () => {
    const pace = new DraftPace(16);
    expect(pace.nDraft).toBe(0);
    pace.notePlain(10);
    expect(pace.nDraft).toBe(4);
  });

  it('goes further while guesses are right, and not so far when one is wrong', () => {
    const pace = started();
    pace.noteDraft({ nDrafted: 4, nRight: 4, ms: 15 });
    expect(pace.nDraft).toBe(8);
    pace.noteDraft({ nDrafted: 8, nRight: 8, ms: 20 });
    pace.noteDraft({ nDrafted: 16, nRight: 16, ms: 30 });
    expect(pace.nDraft).toBe(16);
    pace.noteDraft({ nDrafted: 16, nRight: 4, ms: 30 });
    expect(pace.nDraft).toBe(5);
  });

  it('rests when guesses cost more than they gain, longer each time', () => {
    const pace = started();
    const rests: number[] = [];
    for (let round = 0; round < 3; round++) {
      while (pace.nDraft > 0) pace.noteDraft({ nDrafted: pace.nDraft, nRight: 0, ms: 15 });
      let n = 0;
      for (; pace.nDraft === 0; n++) pace.notePlain(10);
      rests.push(n);
    }
    expect(rests).toEqual([16, 32, 64]);
  });

  it('rests though all guesses are right where a draft costs as much as its tokens', () => {
    const pace = started(4);
    for (let i = 0; i < 2; i++) pace.noteDraft({ nDrafted: 4, nRight: 4, ms: 55 });
    expect(pace.nDraft).toBe(0);
  });

  it('never guesses when it may not', () => {
    expect(started(0).nDraft).toBe(0);
  });
});
