import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ChatTemplate } from './template.ts';
import { pythonStrip, strftime } from './template-python.ts';

const print = (expression: string): string =>
  new ChatTemplate({ text: `{{ ${expression} }}`, toolText: null }).render({
    messages: [],
    tools: [],
    addGenerationPrompt: false,
    kwargs: {},
  });

describe('pythonStrip', () => {
  it('takes a set of characters, not a prefix', () => {
    expect(pythonStrip('abcba-x-abc', 'strip', 'abc')).toBe('-x-');
    expect(pythonStrip('\n\n  code\n', 'lstrip', '\n')).toBe('  code\n');
    expect(pythonStrip('\n\n  code\n', 'rstrip', '\n')).toBe('\n\n  code');
  });

  it('takes what Python calls white space by default, and no byte order mark', () => {
    expect(pythonStrip('\u001c\u0085\u3000 a\u2028\v', 'strip')).toBe('a');
    expect(pythonStrip('\ufeffa\u200b', 'strip')).toBe('\ufeffa\u200b');
  });

  it('never cuts a character in two', () => {
    expect(pythonStrip('😀😁x😁', 'strip', '😁')).toBe('😀😁x');
    expect(pythonStrip('\ude00😀', 'rstrip', '😀')).toBe('\ude00');
  });

  it('leaves nothing of the set at either end', () => {
    fc.assert(
      fc.property(fc.string(), fc.string({ maxLength: 3 }), (text, chars) => {
        const stripped = pythonStrip(text, 'strip', chars);
        expect(text).toContain(stripped);
        const ends = [stripped.slice(0, 1), stripped.slice(-1)].filter((char) => char !== '');
        expect(ends.filter((char) => chars.includes(char))).toEqual([]);
      }),
    );
  });
});

describe('printed values', () => {
  // The right-hand sides were printed by Jinja 3.1.6.
  it.each([
    ['true', 'True'],
    ['none', 'None'],
    ['no_such_variable', ''],
    ['1.0', '1.0'],
    ['0.0000001', '1e-07'],
    ['0.0001', '0.0001'],
    ['12345678901234567.5', '1.2345678901234568e+16'],
    ['-0.0', '-0.0'],
    ['1 / 3', '0.3333333333333333'],
    ["[1, 'a', none, true, 1.5]", "[1, 'a', None, True, 1.5]"],
    ["{'k': \"it's\", 'j': 'a\\nb'}", String.raw`{'k': "it's", 'j': 'a\nb'}`],
    ['["it\'s \\"q\\""]', `['it\\'s "q"']`],
    ['(1, 2)', '(1, 2)'],
    ["'x' ~ 1 ~ true ~ none ~ missing", 'x1TrueNone'],
    ["3 | string + 'x'", '3x'],
    ["['\u200b']", String.raw`['\u200b']`],
  ])('%s prints as in Python', (expression, expected) => {
    expect(print(expression)).toBe(expected);
  });

  it.each([
    ["[] == ''", 'False'],
    ["0 == ''", 'False'],
    ['none == missing', 'False'],
    ['1 == true', 'True'],
    ['1 == 1.0', 'True'],
    ['[1, [2]] == [1, [2]]', 'True'],
    ['[1] == [1, 2]', 'False'],
    ["{'a': 1} == {'a': 1}", 'True'],
    ["{'a': 1} != {'b': 1}", 'True'],
    ["'1' == 1", 'False'],
  ])('%s compares as in Python', (expression, expected) => {
    expect(print(expression)).toBe(expected);
  });

  it.each([
    ["'xxhixx' | trim('x')", 'hi'],
    ["'-' ~ ' \t a '.rstrip() ~ '-'", '- \t a-'],
    ["'abcba'.lstrip('ab')", 'cba'],
    ["'  a  ' | trim", 'a'],
    ["' a '.strip(none)", 'a'],
  ])('%s strips as in Python', (expression, expected) => {
    expect(print(expression)).toBe(expected);
  });
});

describe('strftime', () => {
  it('writes dates in the C locale', () => {
    const date = new Date(2026, 10, 4, 15, 7, 9);
    expect(strftime(date, '%Y-%m-%d %y %B %b %A %a %H:%M:%S %I %p %j %% %Q')).toBe(
      '2026-11-04 26 November Nov Wednesday Wed 15:07:09 03 PM 308 % %Q',
    );
    expect(strftime(new Date(2024, 0, 1, 0, 0), '%I %p %j')).toBe('12 AM 001');
  });
});
