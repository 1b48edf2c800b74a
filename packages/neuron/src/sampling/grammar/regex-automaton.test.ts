import { CortexError } from '@cortex/core';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { acceptsText, testBudget } from '../../../test/grammar/generate.ts';
import { CompileBudget } from './compile-error.ts';
import { regexAutomaton } from './regex-automaton.ts';
import { stringFormats } from './string-formats.ts';
import { both, textExcept, textWithout, withLength } from './text-automaton.ts';

const matches = (pattern: string, text: string): boolean =>
  acceptsText(regexAutomaton(pattern, '#', testBudget()), text);
const refusal = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    const { code, message } = CortexError.from(error);
    return `${code}: ${message}`;
  }
  return 'nothing thrown';
};

const atoms = fc.constantFrom(
  'a',
  'b',
  '.',
  '[ab]',
  '[^a]',
  '\\d',
  '\\w',
  '\\s',
  'é',
  '\\u{1f600}',
  '[0-3x-z]',
  '\\.',
  '^',
  '$',
);
const { regex: regexes } = fc.letrec<{ regex: string }>((tie) => ({
  regex: fc.oneof(
    { depthSize: 'small' },
    atoms,
    fc.tuple(tie('regex'), tie('regex')).map(([a, b]) => a + b),
    fc.tuple(tie('regex'), tie('regex')).map(([a, b]) => `(?:${a}|${b})`),
    fc
      .tuple(tie('regex'), fc.constantFrom('*', '+', '?', '{2}', '{1,2}', '{0,}', '*?'))
      .map(([a, quantifier]) => `(${a})${quantifier}`),
  ),
}));
const subjects = fc.string({ unit: fc.constantFrom('a', 'b', 'x', '1', ' ', '\n', 'é', '😀', '.'), maxLength: 6 });

describe('regexAutomaton', () => {
  it('accepts what RegExp finds a match in', () => {
    fc.assert(
      fc.property(regexes, fc.array(subjects, { minLength: 5, maxLength: 10 }), (pattern, texts) => {
        const automaton = regexAutomaton(pattern, '#', testBudget());
        const native = new RegExp(pattern, 'u');
        for (const text of texts)
          expect([pattern, text, acceptsText(automaton, text)]).toEqual([pattern, text, native.test(text)]);
      }),
      { numRuns: 150 },
    );
  });

  it.each([
    ['^[\\w-.]+$', 'a-b.c', true],
    ['^\\x41\\cJ\\0?$', 'A\n', true],
    ['^(?<year>\\d{4})$', '2024', true],
    ['^\\ud83d\\ude00$', '😀', true],
    ['$a', 'a', false],
    ['a^', 'a', false],
  ])('%s on %j: %s', (pattern, text, expected) => {
    expect(matches(pattern, text)).toBe(expected);
  });

  it.each([
    ['(?=a)', 'look-ahead'],
    ['(?<!a)b', 'look-behind'],
    ['(a)\\1', 'back-references'],
    ['\\bword', 'word boundaries'],
    ['\\p{L}+', 'Unicode properties'],
    ['(?i:a)', 'the group "(?i"'],
    ['a{2000}', 'repeating more than 1000 times'],
    ['a{3,2}', 'out of order'],
    ['[z-a]', 'out of order'],
    ['a**', 'nothing to repeat'],
    ['(a', 'without ")"'],
    ['a)', 'unbalanced ")"'],
    ['[a', 'ends too early'],
    ['*', 'a lone "*"'],
    ['\\u{110000}', '\\u{110000}'],
  ])('refuses %s by name', (pattern, why) => {
    const message = refusal(() => regexAutomaton(pattern, '#/properties/a/pattern', testBudget()));
    expect(message).toContain('unsupported_parameter');
    expect(message).toContain('#/properties/a/pattern');
    expect(message).toContain(why);
  });

  it.each(['^((a{50}){50}){50}$', 'a.{200}$', '(a|b|ab|aab|abb){200}[xy]{400}'])(
    'gives up on %s in bounded work',
    (pattern) => {
      expect(refusal(() => regexAutomaton(pattern, '#', new CompileBudget(50_000)))).toContain('too complex');
    },
  );
});

describe('string formats', () => {
  it.each([
    [
      'date',
      ['2024-02-29', '2000-02-29', '1999-12-31'],
      ['2023-02-29', '1900-02-29', '2024-13-01', '2024-04-31', '2024-1-1'],
    ],
    ['time', ['23:59:59Z', '00:00:00.5+01:30'], ['24:00:00Z', '12:60:00Z', '12:00:00']],
    ['date-time', ['2024-05-06T07:08:09Z'], ['2024-05-06 07:08:09Z', '2024-05-06']],
    ['duration', ['P1D', 'PT5M', 'P1Y2M3DT4H5M6S', 'P2W'], ['P', 'PT', '1D', 'P1S']],
    ['uuid', ['123e4567-e89b-12d3-a456-426614174000'], ['123e4567e89b12d3a456426614174000', '']],
    ['ipv4', ['0.0.0.0', '255.1.20.99'], ['256.1.1.1', '01.1.1.1', '1.1.1']],
    [
      'ipv6',
      ['::', '::1', '1::', 'fe80::a:b', '1:2:3:4:5:6:7:8', '1:2:3::6:7:8'],
      [':', '1:2:3', '1::2::3', '12345::', '1:2:3:4:5:6:7:8:9'],
    ],
    ['hostname', ['localhost', 'a-b.example.org'], ['-a.org', 'a..b', 'a-.org', '']],
    ['email', ['a@b.cd', 'first.last+tag@mail.example.org'], ['a@b', '@b.cd', 'a b@c.de', 'a..b@c.de']],
    [
      'uri',
      ['https://example.org', 'http://a.b:80/c/d%20e?f=g#h'],
      ['example.org', 'https://', 'http://a b', 'http://a/%2'],
    ],
  ])('%s', (name, valid, invalid) => {
    const automaton = regexAutomaton(stringFormats.get(name) ?? '', '#', testBudget());
    expect(valid.filter((text) => !acceptsText(automaton, text))).toEqual([]);
    expect(invalid.filter((text) => acceptsText(automaton, text))).toEqual([]);
  });
});

describe('automata over text', () => {
  it('meet: what both accept, and null when that is nothing', () => {
    const a = regexAutomaton('^a', '#', testBudget())!;
    const b = regexAutomaton('b$', '#', testBudget())!;
    const met = both(a, b, testBudget());
    expect(['ab', 'axb', 'a', 'b', 'ba'].filter((text) => acceptsText(met, text))).toEqual(['ab', 'axb']);
    expect(
      both(regexAutomaton('^a$', '#', testBudget())!, regexAutomaton('^b$', '#', testBudget())!, testBudget()),
    ).toBeNull();
  });

  it('count characters, not bytes, and drop lengths that cannot be reached', () => {
    const pairs = regexAutomaton('^(é😀)*$', '#', testBudget())!;
    const four = withLength(pairs, 3, 5, testBudget());
    expect(['', 'é😀', 'é😀é😀', 'é😀é😀é😀'].filter((text) => acceptsText(four, text))).toEqual(['é😀é😀']);
    expect(withLength(pairs, 3, 3, testBudget())).toBeNull();
  });

  it('leave out names, and keep their beginnings and continuations', () => {
    const others = textExcept(['ab', 'é', '']);
    expect(['', 'ab', 'é', 'a', 'abc', 'éa', 'x'].filter((text) => acceptsText(others, text))).toEqual([
      'a',
      'abc',
      'éa',
      'x',
    ]);
  });

  it('leave out text that holds a literal, also one begun before it', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('\n', '<', 'a', 'b'), maxLength: 12 }), (text) => {
        const without = textWithout(['\n<a', '\n\nb'], '\n', testBudget());
        expect(acceptsText(without, text)).toBe(!/\n<a|\n\nb/.test(`\n${text}`));
      }),
    );
  });
});
