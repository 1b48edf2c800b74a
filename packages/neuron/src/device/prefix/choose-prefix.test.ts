import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { choosePrefix, type PrefixChoice } from './choose-prefix.ts';

const prefix = (nCommon: number, rest: Partial<PrefixChoice> = {}): PrefixChoice => ({
  nCommon,
  nPrompt: nCommon,
  states: [],
  place: 'parked',
  ...rest,
});

const chosenOf = (rest: Partial<PrefixChoice>) => choosePrefix([prefix(500, rest)], 1000, false);

describe('choosePrefix', () => {
  it('takes the longest, and of equals the one that needs no copy', () => {
    const [short, far, near] = [prefix(20), prefix(50, { place: 'host' }), prefix(50)];
    expect(choosePrefix([short, far, near], 100, false)).toMatchObject({ prefix: near, nTokens: 50 });
    expect(choosePrefix([short, far], 100, false)?.prefix).toBe(far);
  });

  it('leaves a token of the prompt to run', () => {
    expect(choosePrefix([prefix(100)], 100, false)?.nTokens).toBe(99);
    expect(choosePrefix([prefix(100, { states: [100] })], 100, true)).toBeNull();
    expect(choosePrefix([prefix(100, { states: [100] })], 101, true)?.nTokens).toBe(100);
  });

  it('goes on from saved states only, where the model needs one', () => {
    expect(choosePrefix([prefix(80, { states: [20, 60, 90] })], 100, true)?.nTokens).toBe(60);
    expect(choosePrefix([prefix(80)], 100, true)).toBeNull();
  });

  it('is not for a handful of tokens', () => {
    expect(choosePrefix([prefix(15)], 100, false)).toBeNull();
  });

  it('tells a conversation that goes on from one that only begins alike', () => {
    expect(chosenOf({ nPrompt: 505 })?.isContinued).toBe(true);
    expect(chosenOf({ nPrompt: 900 })?.isContinued).toBe(false);
    expect(chosenOf({ nPrompt: 505, place: 'running' })?.isContinued).toBe(false);
  });

  it('never takes more than is shared and computed, nor misses a longer one', () => {
    const choice = fc.record({
      nCommon: fc.nat(100),
      nPrompt: fc.nat(100),
      states: fc.array(fc.nat(100)),
      place: fc.constantFrom('parked' as const, 'running' as const, 'host' as const),
    });
    fc.assert(
      fc.property(fc.array(choice), fc.integer({ min: 1, max: 100 }), fc.boolean(), (choices, nPrompt, needsState) => {
        const chosen = choosePrefix(choices, nPrompt, needsState);
        const possible = choices.flatMap(({ nCommon, states }) =>
          (needsState ? states : [Math.min(nCommon, nPrompt - 1)]).filter((at) => at <= nCommon && at < nPrompt),
        );
        const longest = Math.max(0, ...possible);
        expect(chosen?.nTokens ?? 0).toBe(longest >= 16 ? longest : 0);
        expect(chosen === null || chosen.nTokens <= chosen.prefix.nCommon).toBe(true);
      }),
    );
  });
});
