import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RelaxedJson, strictJsonOf } from './tool-call-relaxed-json.ts';

const relax = (...pieces: string[]): { json: string; guessed: boolean } => {
  const reader = new RelaxedJson();
  const json = pieces.map((piece) => reader.push(piece).json).join('') + reader.finish();
  return { json, guessed: reader.guessed };
};
const read = (text: string): unknown => JSON.parse(relax(text).json);

describe('JSON', () => {
  it('comes out with the same value, without guessing, however it was cut and spaced', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue()), fc.array(fc.jsonValue())),
        fc.constantFrom(0, 1, 4),
        (value, indent) => {
          const text = JSON.stringify(value, null, indent);
          const { json, guessed } = relax(...Array.from(text));
          expect(JSON.parse(json)).toEqual(JSON.parse(text));
          expect(guessed).toBe(false);
          expect(json).toBe(relax(text).json);
        },
      ),
      { numRuns: 100 },
    );
  });

  it('keeps every digit of a number', () => {
    expect(relax('{"a": 12345678901234567890.10}').json).toBe('{"a":12345678901234567890.10}');
  });

  it('is told from what follows it', () => {
    const reader = new RelaxedJson();
    expect(reader.push('{"a": 1} tail')).toEqual({ json: '{"a":1}', consumed: 8 });
    expect(reader.done).toBe(true);
  });

  it('flows on while it is read', () => {
    const reader = new RelaxedJson();
    expect(reader.push('{"a": "Hel').json).toBe('{"a":"Hel');
    expect(reader.push('lo').json).toBe('lo');
    expect(reader.push('", "b').json).toBe('","b');
  });

  it('stops at a tag, which cannot stand in it', () => {
    expect(new RelaxedJson().push('{"a": "<b>", <c>')).toEqual({ json: '{"a":"<b>"', consumed: 13 });
  });
});

describe('Python literals', () => {
  it('are read without guessing', () => {
    const text = `{'a': True, 'b': [None, False, (1, 2)], 'c': 'it\\'s "x"', 'd': '\\x41\\u00e9', }`;
    expect(relax(text).guessed).toBe(false);
    expect(read(text)).toEqual({ a: true, b: [null, false, [1, 2]], c: 'it\'s "x"', d: 'Aé' });
  });
});

describe('broken JSON', () => {
  const cases: readonly [string, string, unknown][] = [
    ['a raw newline in a string', '{"a": "x\ny"}', { a: 'x\ny' }],
    ['a trailing comma', '{"a": [1, 2,],}', { a: [1, 2] }],
    ['quotes that were not escaped', '{"a": "echo "hi" now"}', { a: 'echo "hi" now' }],
    ['a lone backslash', '{"a": "C:\\dir\\u12"}', { a: 'C:\\dir\\u12' }],
    ['bare words', "{a: New York, b: it's}", { a: 'New York', b: "it's" }],
    ['missing commas', '{"a": 1\n"b": 2\nc: 3}', { a: 1, b: 2, c: 3 }],
    ['a missing colon', '{"a" "b"}', { 'a" "b': null }],
    ['missing closers', '{"a": [1, {"b": "c', { a: [1, { b: 'c' }] }],
    ['a closer that skips one', '{"a": [1, 2}', { a: [1, 2] }],
    ['a closer that fits nothing', '{"a": 1]}', { a: 1 }],
    ['missing values', '{"a":, "b"}', { a: null, b: null }],
    ['a container where a key belongs', '{[1]}', { '': [1] }],
    ['a number JSON does not know', '{"a": .5}', { a: '.5' }],
  ];
  it.each(cases)('is mended: %s', (_name, text, value) => {
    expect(read(text)).toEqual(value);
  });

  it('always comes out as valid JSON, the same however it was cut', () => {
    const unit = fc.constantFrom(...Array.from('{}[]():,"\'\\ \nuxau1-.'), 'true', 'None');
    fc.assert(
      fc.property(fc.constantFrom('{', '['), fc.string({ unit, maxLength: 20 }), (open, tail) => {
        const text = open + tail;
        expect(() => read(text)).not.toThrow();
        expect(relax(...Array.from(text))).toEqual(relax(text));
      }),
      { numRuns: 2000 },
    );
  });
});

describe('a whole text as strict JSON', () => {
  it('is refused when it needs a guess, goes on, or is neither object nor array', () => {
    expect(strictJsonOf(" {'a': 1} ")).toBe('{"a":1}');
    for (const text of ['{a: 1}', '{"a": 1', '{} x', 'True', '']) expect(strictJsonOf(text)).toBeNull();
  });
});
