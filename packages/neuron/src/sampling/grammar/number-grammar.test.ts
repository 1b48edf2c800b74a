import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { matcherOf } from '../../../test/grammar/generate.ts';
import { choice, text } from './expression.ts';
import { boundedInteger, boundedNumber, freeNumber, type Bound } from './number-grammar.ts';

const bound = (value: number, exclusive = false): Bound => ({ value, exclusive });

describe('integers within bounds', () => {
  it('are all of them and no others', () => {
    const limits = fc.option(fc.tuple(fc.integer({ min: -130, max: 130 }), fc.boolean()));
    fc.assert(
      fc.property(limits, limits, (min, max) => {
        const low = min === null ? null : bound(min[0] / 4, min[1]);
        const high = max === null ? null : bound(max[0] / 4, max[1]);
        const matches = matcherOf(choice(text('none'), boundedInteger(low, high)));
        const wrong: number[] = [];
        for (let value = -36; value <= 36; value++) {
          const above = low === null || value > low.value || (value === low.value && !low.exclusive);
          const below = high === null || value < high.value || (value === high.value && !high.exclusive);
          if (matches(String(value)) !== (above && below)) wrong.push(value);
        }
        expect(wrong).toEqual([]);
      }),
      { numRuns: 40 },
    );
  });

  it('are found at the ends of wide ranges', () => {
    const matches = matcherOf(boundedInteger(bound(-9007199254740991), bound(9007199254740991)));
    const texts = [
      '9007199254740991',
      '9007199254740992',
      '-9007199254740991',
      '-9007199254740992',
      '0',
      '-0',
      '007',
      '1.0',
    ];
    expect(texts.filter(matches)).toEqual(['9007199254740991', '-9007199254740991', '0']);
  });

  it('have twenty digits at most', () => {
    const matches = matcherOf(boundedInteger(bound(-1e300), null));
    expect(['9'.repeat(20), '9'.repeat(21), `-${'9'.repeat(20)}`].map(matches)).toEqual([true, false, true]);
  });
});

describe('numbers within bounds', () => {
  const decimals = fc
    .tuple(fc.integer({ min: -2500, max: 2500 }), fc.constantFrom(1, 4, 100, 1000))
    .map(([n, d]) => n / d);

  it('are those that satisfy both bounds once parsed', () => {
    fc.assert(
      fc.property(
        fc.option(fc.tuple(decimals, fc.boolean())),
        fc.option(fc.tuple(decimals, fc.boolean())),
        fc.array(decimals, { minLength: 10, maxLength: 20 }),
        (min, max, values) => {
          const low = min === null ? null : bound(min[0], min[1]);
          const high = max === null ? null : bound(max[0], max[1]);
          const matches = matcherOf(choice(text('none'), boundedNumber(low, high, '#')));
          const edges = [low, high].flatMap((limit) => (limit === null ? [] : [limit.value]));
          for (const value of [
            ...values,
            ...edges,
            ...edges.map((edge) => edge + 0.001),
            ...edges.map((edge) => edge - 0.001),
          ]) {
            // Only what is written plainly in few digits is ever generated.
            const written = value
              .toFixed(3)
              .replace(/\.?0+$/, '')
              .replace(/^-0$/, '0');
            const number = Number(written);
            const above = low === null || number > low.value || (number === low.value && !low.exclusive);
            const below = high === null || number < high.value || (number === high.value && !high.exclusive);
            expect([written, matches(written)]).toEqual([written, above && below]);
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  it('allow zeros at the end of a fraction, and no leading ones', () => {
    const matches = matcherOf(boundedNumber(bound(0.5), bound(2), '#'));
    expect(['0.5', '0.50', '0.49', '2', '2.0', '2.00', '2.01', '01', '1.', '.5', '1e0'].filter(matches)).toEqual([
      '0.5',
      '0.50',
      '2',
      '2.0',
      '2.00',
    ]);
  });

  it('can be just above or below an exclusive bound', () => {
    const matches = matcherOf(boundedNumber(bound(0, true), bound(1, true), '#'));
    expect(['0', '0.0', '0.000', '0.001', '0.999', '1', '1.0', '-0.5', '-0'].filter(matches)).toEqual([
      '0.001',
      '0.999',
    ]);
  });

  it('take a bound too large to write as none at all', () => {
    const matches = matcherOf(boundedNumber(bound(-1.7e308), bound(1.7e308), '#'));
    expect(['99999999999999', '-99999999999999', '0', '1.5', '100000000000000'].map(matches)).toEqual([
      true,
      true,
      true,
      true,
      false,
    ]);
  });

  it('refuse a bound beyond what they are written in', () => {
    expect(() => boundedNumber(bound(5e14), null, '#')).toThrow('is too large');
  });

  it('refuse a bound finer than they can tell apart', () => {
    expect(() => boundedNumber(bound(1e-20), null, '#/properties/p')).toThrow('more than 15 digits');
  });
});

it('numbers without bounds are JSON numbers that stay finite', () => {
  const matches = matcherOf(freeNumber);
  const texts = ['0', '-0', '12.5', '-1e+9', '1E-99', '3.14e2', '01', '+1', '1.', '.1', '1e', '1e100', 'NaN', '--1'];
  expect(texts.filter(matches)).toEqual(['0', '-0', '12.5', '-1e+9', '1E-99', '3.14e2']);
});
