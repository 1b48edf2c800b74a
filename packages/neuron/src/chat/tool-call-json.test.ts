import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { TextEnd } from './tool-call-format.ts';
import { jsonToolCalls } from './tool-call-json.ts';
import { ToolCallParser } from './tool-call-parser.ts';

const tools = new Map([['f', {}]]);

const segmentsOf = (pieces: readonly string[], cause: TextEnd = 'eos') => {
  const parser = new ToolCallParser(jsonToolCalls(tools));
  return [...pieces.flatMap((piece) => parser.push(piece)), ...parser.end(cause)];
};

interface Parsed {
  /** Text, with ¤ where a call stood. */
  text: string;
  calls: { name: string; arguments: unknown }[];
}

const parse = (...pieces: string[]): Parsed => {
  const parsed: Parsed = { text: '', calls: [] };
  let json = '';
  let name = '';
  for (const segment of segmentsOf(pieces)) {
    if (segment.kind === 'text') parsed.text += segment.text;
    if (segment.kind === 'call') {
      ({ name } = segment);
      json = '';
      parsed.text += '¤';
    }
    if (segment.kind === 'arguments') json += segment.text;
    if (segment.kind === 'call_end') parsed.calls.push({ name, arguments: JSON.parse(json) as unknown });
  }
  return parsed;
};

const block = (json: string): string => `<tool_call>\n${json}\n</tool_call>`;

describe('a JSON tool call', () => {
  it('is read with its name and arguments', () => {
    expect(parse(block('{"name": "f", "arguments": {"a": [1, "x"]}}'))).toEqual({
      text: '¤',
      calls: [{ name: 'f', arguments: { a: [1, 'x'] } }],
    });
  });

  it('streams its arguments as they come', () => {
    const parser = new ToolCallParser(jsonToolCalls(tools));
    expect(parser.push('<tool_call>\n{"name": "f')).toEqual([]);
    expect(parser.push('", "arg')).toEqual([{ kind: 'call', name: 'f' }]);
    expect(parser.push('uments": {"path": "a/b')).toEqual([{ kind: 'arguments', text: '{"path":"a/b' }]);
    expect(parser.push('/c')).toEqual([{ kind: 'arguments', text: '/c' }]);
    expect(parser.push('"}}\n</tool_call>')).toEqual([{ kind: 'arguments', text: '"}' }, { kind: 'call_end' }]);
  });

  it('may give its arguments before its name, under another key, or not at all', () => {
    const call = { name: 'f', arguments: { a: 1 } };
    expect(parse(block('{"arguments": {"a": 1}, "name": "f"}')).calls).toEqual([call]);
    expect(parse(block('{"id": 7, "name": "f", "parameters": {"a": 1}}')).calls).toEqual([call]);
    expect(parse(block('{"name": "f"}')).calls).toEqual([{ name: 'f', arguments: {} }]);
    expect(parse(block('{"name": "f", "arguments": null}')).calls).toEqual([{ name: 'f', arguments: {} }]);
  });

  it('may have its arguments encoded once more as a string, on either side of the name', () => {
    const encoded = JSON.stringify('{"a": "x\\ny"}');
    const call = { name: 'f', arguments: { a: 'x\ny' } };
    expect(parse(block(`{"name": "f", "arguments": ${encoded}}`)).calls).toEqual([call]);
    expect(parse(block(`{"arguments": ${encoded}, "name": "f"}`)).calls).toEqual([call]);
    expect(parse(block('{"name": "f", "arguments": ""}')).calls).toEqual([{ name: 'f', arguments: {} }]);
  });

  it('has one set of arguments', () => {
    expect(parse(block('{"arguments": [1], "name": "f", "arguments": {"a": 1}, "parameters": {}}')).calls).toEqual([
      { name: 'f', arguments: [1] },
    ]);
  });

  it('may be followed by others, in its block or in their own', () => {
    const f = '{"name": "f", "arguments": {}}';
    const two = [
      { name: 'f', arguments: {} },
      { name: 'f', arguments: {} },
    ];
    expect(parse(`Hi ${block(f)}\n${block(f)}\n`)).toEqual({ text: 'Hi ¤\n¤\n', calls: two });
    expect(parse(block(`${f}\n${f}`))).toEqual({ text: '¤¤', calls: two });
  });
});

describe('a badly written JSON tool call', () => {
  const broken: readonly [string, string][] = [
    ['a missing bracket', block('{"name": "f", "arguments": {"a": "x"}')],
    ['an open string', block('{"name": "f", "arguments": {"a": "x')],
    ['a bracket too many', block('{"name": "f", "arguments": {"a": "x"}}}')],
    ['Python notation', block("{'name': 'f', 'arguments': {'a': 'x'}}")],
    ['no closing tag', '<tool_call>\n{"name": "f", "arguments": {"a": "x"}}'],
    ['no opening tag', '{"name": "f", "arguments": {"a": "x"}}\n</tool_call>'],
    ['no newlines', '<tool_call>{"name": "f", "arguments": {"a": "x"}</tool_call>'],
    ['text that ends in a string', '<tool_call>\n{"name": "f", "arguments": {"a": "x'],
  ];
  it.each(broken)('is understood: %s', (_name, text) => {
    expect(parse(text)).toEqual({ text: '¤', calls: [{ name: 'f', arguments: { a: 'x' } }] });
  });

  it('stays incomplete when the text was cut off', () => {
    const segments = segmentsOf(['<tool_call>\n{"name": "f", "arguments": {"a": "hal'], 'length');
    expect(segments).toEqual([
      { kind: 'call', name: 'f' },
      { kind: 'arguments', text: '{"a":"hal' },
    ]);
  });

  it('without a name is given back word for word', () => {
    const texts = [
      block('{"arguments": {"a": 1}}'),
      block('{"name": 5}'),
      '<tool_call>\n{"na',
      '<tool_call>\n{"name": "f',
      `${block('{}')} and ${block('{"b": "c"}\n')}`,
    ];
    for (const text of texts) {
      const cutOff = segmentsOf([text], 'length').map((segment) => (segment.kind === 'text' ? segment.text : '¤'));
      expect(cutOff.join('')).toBe(text);
    }
    for (const text of texts.filter((one) => !one.endsWith('"f'))) expect(parse(text)).toEqual({ text, calls: [] });
  });
});

describe('what only looks like a JSON tool call', () => {
  const prose = [
    'Write `<tool_call>` first.',
    '<tool_call>\n[1]',
    '{"name": "g", "arguments": {}}',
    '{"name": "f", "args": {}}',
    'inline {"name": "f", "arguments": {}}',
    '{"answer": 42}',
  ];
  it.each(prose)('is text: %j', (text) => {
    expect(parse(text)).toEqual({ text, calls: [] });
  });
});

describe('any JSON output', () => {
  it('gives the same however it was cut', () => {
    const fragment = fc.oneof(
      fc.constantFrom(
        '<tool_call>',
        '</tool_call>',
        '\n</tool_call>',
        '{"name": "f", "arguments": ',
        '{"name": "g"',
        '\n',
        ' ',
      ),
      fc.constantFrom('{', '}', '"', "'", ',', ':', '[', ']', 'a', '\\', '"arguments":', '"name":', '"f"', '<'),
    );
    fc.assert(
      fc.property(fc.array(fragment, { maxLength: 20 }), (fragments) => {
        const text = fragments.join('');
        expect(parse(...Array.from(text))).toEqual(parse(text));
        expect(parse(...fragments)).toEqual(parse(text));
      }),
      { numRuns: 600 },
    );
  });

  it('read back gives the calls that were written', () => {
    const call = fc.record({
      name: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }),
      arguments: fc.dictionary(fc.string({ unit: 'grapheme', maxLength: 8 }), fc.jsonValue({ maxDepth: 2 }), {
        maxKeys: 4,
      }),
    });
    fc.assert(
      fc.property(fc.array(call, { maxLength: 3 }), fc.boolean(), (calls, whole) => {
        const text = calls.map((one) => block(JSON.stringify(one))).join('\n');
        const parsed = parse(...(whole ? [text] : Array.from(text)));
        expect(parsed.calls).toEqual(JSON.parse(JSON.stringify(calls)));
      }),
      { numRuns: 200 },
    );
  });
});
