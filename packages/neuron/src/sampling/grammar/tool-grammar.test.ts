import { CortexError } from '@cortex/core';
import { describe, expect, it } from 'vitest';
import { matcherOfSpec, RandomWriter, type GrammarSpec } from '../../../test/grammar/generate.ts';
import { fixtureVocabulary, jsonVocabulary } from '../../../test/grammar/toy-vocabulary.ts';
import { isValid } from '../../../test/grammar/validate.ts';
import { compileConstraint } from './compile-constraint.ts';
import type { JsonSchema, ToolCallSpec, ToolSpec } from './spec.ts';
import { VocabularyTrie } from './vocabulary-trie.ts';

const edit = {
  type: 'object',
  properties: {
    path: { type: 'string' },
    line: { type: ['integer', 'null'], minimum: 1 },
    mode: { enum: ['append', 'replace', 7] },
    options: { type: 'object', properties: { dry: { type: 'boolean' } }, required: ['dry'] },
    note: { type: 'string', maxLength: 10, minLength: 2 },
    code: { type: 'string', pattern: '^[a-z<\\n]*$' },
  },
  required: ['path', 'mode'],
} satisfies JsonSchema;
const nothing = { additionalProperties: false };
const tools: readonly ToolSpec[] = [
  { name: 'edit_file', parameters: edit },
  { name: 'now', parameters: null },
  { name: 'free', parameters: {} },
];
const spec = (format: 'xml' | 'json', more: Partial<ToolCallSpec> = {}): GrammarSpec => ({
  kind: 'tool_call',
  format,
  tools,
  choice: 'required',
  parallel: false,
  ...more,
});
const xml = matcherOfSpec(spec('xml'));
const call = (body: string, name = 'edit_file'): string =>
  `<tool_call>\n<function=${name}>\n${body}</function>\n</tool_call>`;
const parameter = (key: string, value: string): string => `<parameter=${key}>\n${value}\n</parameter>\n`;
const mode = parameter('mode', 'append');

const code = (value: string): boolean => xml(call(parameter('path', 'a') + mode + parameter('code', value)));

describe('calls in XML', () => {
  it.each([
    ['the required parameters', call(parameter('path', 'a.txt') + mode)],
    ['after blank lines', `\n\n${call(parameter('path', 'a.txt') + mode)}`],
    [
      'optional ones in their order',
      call(parameter('path', 'a') + parameter('line', '12') + mode + parameter('note', 'né')),
    ],
    ['text of many lines, with tags in it', call(parameter('path', '<b>\n</b>\n  </parameter>\n</param\n\n') + mode)],
    ['an empty text', call(parameter('path', '') + mode)],
    ['an empty text without its line', call(`<parameter=path>\n</parameter>\n${mode}`)],
    ['a listed value that is no text', call(parameter('path', 'a') + parameter('mode', '7'))],
    ['null for a type that allows it', call(parameter('path', 'a') + parameter('line', 'null') + mode)],
    ['an object as JSON', call(parameter('path', 'a') + mode + parameter('options', '{\n  "dry": true\n}'))],
    ['no parameters', call('', 'now')],
    ['parameters a tool leaves open', call(parameter('any_thing', 'text') + parameter('x', 'y'), 'free')],
  ])('accept %s', (_, text) => {
    expect(xml(text)).toBe(true);
  });

  it.each([
    ['without a required parameter', call(mode)],
    ['in another order', call(mode + parameter('path', 'a'))],
    ['with a parameter twice', call(parameter('path', 'a') + parameter('path', 'b') + mode)],
    ['of an unknown tool', call('', 'nope')],
    ['with an unknown parameter', call(parameter('path', 'a') + mode + parameter('zzz', '1'))],
    ['with a value not listed', call(parameter('path', 'a') + parameter('mode', 'delete'))],
    ['with a number out of bounds', call(parameter('path', 'a') + parameter('line', '0') + mode)],
    ['with text too long', call(parameter('path', 'a') + mode + parameter('note', '12345678901'))],
    ['with text too short', call(parameter('path', 'a') + mode + parameter('note', 'x'))],
    ['with parameters where there are none', call(parameter('a', 'b'), 'now')],
    ['two, where one is allowed', `${call('', 'now')}\n${call('', 'now')}`],
    ['with a tag that ends the value early', call(parameter('path', 'a\n<parameter=mode>\nappend') + mode)],
    ['with the end of the function in a value', call(parameter('path', 'a\n</function>') + mode)],
    ['with bytes that are not UTF-8', Buffer.from(call(parameter('path', 'é') + mode), 'latin1')],
    ['and text after it', `${call('', 'now')} Done.`],
  ])('refuse one %s', (_, text) => {
    expect(xml(text)).toBe(false);
  });

  it('may follow one another when parallel calls are allowed', () => {
    const parallel = matcherOfSpec(spec('xml', { parallel: true }));
    expect(parallel([call('', 'now'), call(parameter('path', 'a') + mode), call('', 'now')].join('\n'))).toBe(true);
    expect(parallel('')).toBe(false);
  });

  it('are of the tool that was chosen', () => {
    const chosen = matcherOfSpec(spec('xml', { choice: { name: 'now' } }));
    expect(chosen(call('', 'now'))).toBe(true);
    expect(chosen(call(parameter('path', 'a') + mode))).toBe(false);
  });

  it('keep a pattern clear of the closing line', () => {
    expect(['abc', 'a\n<b', '', 'a\n</parameter', 'A'].map(code)).toEqual([true, true, true, false, false]);
  });
});

const written = (name: string, args: string): string =>
  `<tool_call>\n{"name": "${name}", "arguments": ${args}}\n</tool_call>`;

describe('calls in JSON', () => {
  const json = matcherOfSpec(spec('json', { parallel: true }));

  it('hold a name and arguments that satisfy its schema', () => {
    expect(json(written('edit_file', '{"path": "a", "mode": "append"}'))).toBe(true);
    expect(json(`${written('now', '{}')}\n${written('free', '{"x": [1]}')}`)).toBe(true);
    expect(json(written('edit_file', '{"path": "a"}'))).toBe(false);
    expect(json(written('now', '{"x": 1}'))).toBe(false);
    expect(json(written('free', '[]'))).toBe(false);
    expect(json(written('nope', '{}'))).toBe(false);
  });
});

interface ReadCall {
  readonly name: string;
  readonly values: Readonly<Record<string, string>>;
}

/** Reads calls back as the form is defined: a value ends at its first closing line, one line break off at either end. */
function readXml(text: string): ReadCall[] {
  let rest = text.trim();
  const take = (pattern: RegExp): string[] | null => {
    const match = pattern.exec(rest);
    if (match !== null) rest = rest.slice(match[0].length);
    return match === null ? null : [...match];
  };
  const calls: ReadCall[] = [];
  for (;;) {
    const name = take(/^\n?<tool_call>\n<function=(\w+)>\n/)?.[1];
    if (name === undefined) break;
    const values: Record<string, string> = {};
    for (;;) {
      const found = take(/^<parameter=(\w+)>(\n|\n[^]*?\n)<\/parameter>\n/);
      if (found === null) break;
      const [, key = '', value = ''] = found;
      values[key] = value.slice(1, -1);
    }
    if (take(/^<\/function>\n<\/tool_call>/) === null) throw new Error(`no end: ${rest}`);
    calls.push({ name, values });
  }
  if (rest !== '') throw new Error(`not a call: ${rest}`);
  return calls;
}

/** The arguments, texts as they are and the rest parsed. */
const argumentsOf = ({ values }: ReadCall): never =>
  Object.fromEntries(
    Object.entries(values).map(([key, value]) => {
      const isText = ['path', 'note', 'code'].includes(key) || (key === 'mode' && value !== '7');
      return [key, isText ? value : JSON.parse(value)];
    }),
  ) as never;

describe('generated calls', () => {
  // Random choices would hardly ever spell the closing line.
  const vocabularies = [jsonVocabulary, fixtureVocabulary('\n</parameter>\n')];

  it('read back as arguments that satisfy the schema', () => {
    for (const vocabulary of vocabularies) {
      const trie = new VocabularyTrie(vocabulary.table);
      const writer = new RandomWriter(spec('xml', { parallel: true, tools: tools.slice(0, 2) }), vocabulary, trie);
      for (let seed = 0; seed < 25; seed++) {
        const text = writer.write(seed);
        const wrong = readXml(text).filter((one) => !isValid(argumentsOf(one), one.name === 'now' ? nothing : edit));
        expect([text, wrong]).toEqual([text, []]);
      }
    }
  });

  it('parse in JSON form too', () => {
    for (const vocabulary of vocabularies) {
      const trie = new VocabularyTrie(vocabulary.table);
      const writer = new RandomWriter(spec('json', { choice: { name: 'edit_file' } }), vocabulary, trie);
      for (let seed = 0; seed < 15; seed++) {
        const text = writer.write(seed);
        const inner = /^<tool_call>\n([^]*)\n<\/tool_call>$/.exec(text.trim())?.[1] ?? '';
        const { name, arguments: args } = JSON.parse(inner) as { name: string; arguments: never };
        expect([text, name, isValid(args, edit)]).toEqual([text, 'edit_file', true]);
      }
    }
  });
});

const failure = (more: Partial<ToolCallSpec>): CortexError => {
  try {
    compileConstraint({ ...spec('xml', more), startAfter: null });
  } catch (error) {
    return CortexError.from(error);
  }
  throw new Error('nothing thrown');
};

describe('tools that cannot be called', () => {
  it('are refused with the field at fault', () => {
    expect(failure({ tools: [] })).toMatchObject({ code: 'invalid_request', param: 'tool_choice' });
    expect(failure({ choice: { name: 'nope' } })).toMatchObject({ code: 'invalid_request', param: 'tool_choice' });
    expect(failure({ tools: [{ name: 'a b', parameters: null }] })).toMatchObject({
      code: 'invalid_request',
      param: 'tools',
    });
    const refused = failure({ tools: [{ name: 'f', parameters: { type: 'object', properties: { a: { not: {} } } } }] });
    expect(refused).toMatchObject({ code: 'unsupported_parameter', param: 'tools' });
    expect(refused.message).toContain('tools/f/parameters/properties/a');
    expect(failure({ tools: [{ name: 'f', parameters: { type: 'string' } }] }).code).toBe('invalid_request');
  });
});
