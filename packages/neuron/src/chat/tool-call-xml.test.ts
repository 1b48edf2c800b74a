import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { TextEnd } from './tool-call-format.ts';
import { ToolCallParser } from './tool-call-parser.ts';
import { xmlToolCalls } from './tool-call-xml.ts';

const tools = new Map([
  [
    'write',
    {
      type: 'object',
      properties: { path: { type: 'string' }, text: { type: 'string' }, mode: { type: 'integer' } },
    },
  ],
  ['free', {}],
]);

interface Call {
  name: string;
  arguments: unknown;
}
interface Parsed {
  /** Text, with ¤ where a call stood. */
  text: string;
  calls: Call[];
}

const segmentsOf = (pieces: readonly string[], cause: TextEnd = 'eos') => {
  const parser = new ToolCallParser(xmlToolCalls(tools));
  return [...pieces.flatMap((piece) => parser.push(piece)), ...parser.end(cause)];
};

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

const parameter = (key: string, value: string): string => `<parameter=${key}>\n${value}\n</parameter>\n`;
const block = (name: string, values: Readonly<Record<string, string>>): string => {
  const parameters = Object.entries(values).map(([key, value]) => parameter(key, value));
  return `<tool_call>\n<function=${name}>\n${parameters.join('')}</function>\n</tool_call>`;
};

describe('an XML tool call', () => {
  it('is read with its values converted by the schema', () => {
    expect(parse(block('write', { path: 'a.txt', text: ' 5\n', mode: '5' }))).toEqual({
      text: '¤',
      calls: [{ name: 'write', arguments: { path: 'a.txt', text: ' 5\n', mode: 5 } }],
    });
  });

  it('streams its name at once and its arguments by the parameter', () => {
    const parser = new ToolCallParser(xmlToolCalls(tools));
    expect(parser.push('<tool_call>\n<function=write>')).toEqual([{ kind: 'call', name: 'write' }]);
    expect(parser.push('\n<parameter=path>\na.t')).toEqual([]);
    expect(parser.push('xt\n</parameter>\n<parameter=')).toEqual([{ kind: 'arguments', text: '{"path":"a.txt"' }]);
    expect(parser.push('mode>\n7\n</parameter>\n</function>')).toEqual([
      { kind: 'arguments', text: ',"mode":7' },
      { kind: 'arguments', text: '}' },
      { kind: 'call_end' },
    ]);
    expect(parser.push('\n</tool_call>')).toEqual([]);
    expect(parser.end('eos')).toEqual([]);
  });

  it('may have no parameters', () => {
    expect(parse(block('free', {})).calls).toEqual([{ name: 'free', arguments: {} }]);
  });

  it('may stand among text and be followed by others', () => {
    const two = `Look:\n${block('free', { a: '1' })}\n${block('free', { b: 'x' })}\nDone.`;
    expect(parse(two)).toEqual({
      text: 'Look:\n¤\n¤\nDone.',
      calls: [
        { name: 'free', arguments: { a: 1 } },
        { name: 'free', arguments: { b: 'x' } },
      ],
    });
  });

  it('may call a tool that is not on offer', () => {
    expect(parse(block('other', { a: 'True' })).calls).toEqual([{ name: 'other', arguments: { a: 'True' } }]);
  });

  it('keeps the inner newlines of a value and drops exactly one at either end', () => {
    const { calls } = parse(block('write', { path: '', text: '\n\na\n\n' }));
    expect(calls[0]?.arguments).toEqual({ path: '', text: '\n\na\n\n' });
  });
});

describe('literal tags in a value', () => {
  const literal: readonly [string, string][] = [
    ['a closing tag in the middle of a line', 'x </parameter>\ny'],
    ['a closing tag on its own line, before other text', 'x\n</parameter>\ny'],
    ['the end of a function before other text', 'x\n</function>\ny'],
    ['a closing tag between other text', 'x\n</tool_call>\ny'],
    ['an opening tag of no parameter that may follow', 'x\n<parameter=colour>\ny'],
    ['a whole call', `x\n${block('free', { path: 'p', mode: '1' })}\ny`],
    ['two whole calls', `${block('free', { path: 'p' })}\n${block('write', { mode: '1' })}`],
    ['tags of other systems', '<invoke>\n<parameter name="x">5</parameter>\n</function>\n</invoke>'],
  ];
  it.each(literal)('are text: %s', (_name, text) => {
    const values = { path: 'a', text, mode: '2' };
    expect(parse(block('write', values))).toEqual({
      text: '¤',
      calls: [{ name: 'write', arguments: { ...values, mode: 2 } }],
    });
  });
});

describe('a badly written XML tool call', () => {
  const broken: readonly [string, string][] = [
    [
      'no closing tags of parameters',
      '<tool_call>\n<function=write>\n<parameter=path>\na\n<parameter=mode>\n1\n</function>\n</tool_call>',
    ],
    [
      'closing tags at the end of a line',
      '<tool_call>\n<function=write>\n<parameter=path>\na</parameter>\n<parameter=mode>\n1</parameter>\n</function>\n</tool_call>',
    ],
    [
      'all on one line',
      '<tool_call><function=write><parameter=path>a</parameter><parameter=mode>1</parameter></function></tool_call>',
    ],
    [
      'no opening tag',
      '<function=write>\n<parameter=path>\na\n</parameter>\n<parameter=mode>\n1\n</parameter>\n</function>\n</tool_call>',
    ],
    [
      'no end of the function',
      '<tool_call>\n<function=write>\n<parameter=path>\na\n</parameter>\n<parameter=mode>\n1\n</parameter>\n</tool_call>',
    ],
    ['no end at all', '<tool_call>\n<function=write>\n<parameter=path>\na\n</parameter>\n<parameter=mode>\n1'],
    [
      'neither parameter nor function closed',
      '<tool_call>\n<function=write>\n<parameter=path>\na\n</parameter>\n<parameter=mode>\n1\n</tool_call>',
    ],
    [
      'stray words inside',
      '<tool_call>\n<function=write>\nwith <b>\n<parameter=path>\na\n</parameter>\n<parameter=mode>\n1\n</parameter>\n</function>\n</tool_call>',
    ],
    [
      'quoted names',
      '<tool_call>\n<function="write">\n<parameter="path">\na\n</parameter>\n<parameter=\'mode\'>\n1\n</parameter>\n</function>\n</tool_call>',
    ],
  ];
  it.each(broken)('is understood: %s', (_name, text) => {
    expect(parse(text)).toEqual({ text: '¤', calls: [{ name: 'write', arguments: { path: 'a', mode: 1 } }] });
  });

  it('does not swallow the call after it', () => {
    const open = '<tool_call>\n<function=free>\n<parameter=a>\n1\n</parameter>\n';
    const calls = [
      { name: 'free', arguments: { a: 1 } },
      { name: 'free', arguments: { b: 2 } },
    ];
    expect(parse(`${open}${block('free', { b: '2' })}`).calls).toEqual(calls);
    expect(
      parse(`${open}</function>\n<function=free>\n<parameter=b>\n2\n</parameter>\n</function>\n</tool_call>`).calls,
    ).toEqual(calls);
  });

  it('is read to its end when a value opens a call and never closes it', () => {
    const text = 'like\n<function=free>\nwithout end';
    expect(parse(block('write', { path: 'a', text })).calls[0]?.arguments).toEqual({ path: 'a', text });
  });

  it('stays incomplete when the text was cut off', () => {
    const json = segmentsOf(
      ['<tool_call>\n<function=write>\n<parameter=path>\na\n</parameter>\n<parameter=text>\nhalf'],
      'length',
    )
      .map((segment) => (segment.kind === 'arguments' ? segment.text : ''))
      .join('');
    expect(json).toBe('{"path":"a"');
  });
});

describe('what only looks like an XML tool call', () => {
  const prose = [
    'Write `<tool_call>` first.',
    '<tool_call>\nnothing',
    '<tool_call>\n<function=>',
    '<tool_call>\n<fun',
    '<function=other>\n<parameter=a>',
    'inline <function=write><parameter=path>',
    '<function=write> begins a call',
    'a < b <tool',
  ];
  it.each(prose)('is text: %j', (text) => {
    expect(parse(text)).toEqual({ text, calls: [] });
  });
});

const HEAD = '<tool_call>\n<function=write>\n<parameter=path>\n';

describe('any XML output', () => {
  const fragment = fc.oneof(
    fc.constantFrom(
      '<tool_call>',
      '</tool_call>',
      '<function=write>',
      '<function=free>',
      '</function>',
      '<parameter=path>',
    ),
    fc.constantFrom(
      '<parameter=text>',
      '<parameter=x>',
      '</parameter>',
      '\n</parameter>\n',
      '\n</function>\n',
      '\n',
      ' ',
      'a',
      '1',
      '<',
      '</para',
    ),
  );

  it('gives the same however it was cut', () => {
    fc.assert(
      fc.property(fc.constantFrom('', HEAD), fc.array(fragment, { maxLength: 30 }), (head, fragments) => {
        const text = head + fragments.join('');
        expect(parse(...Array.from(text))).toEqual(parse(text));
        expect(parse(head, ...fragments)).toEqual(parse(text));
      }),
      { numRuns: 600 },
    );
  });

  it('read back gives the calls that were written', () => {
    const value = fc
      .array(fc.constantFrom('a', ' ', '\n', '<', '>', '"', '\\', 'é', '😀', '</parameter>', '</function>', '{'), {
        maxLength: 12,
      })
      .map((parts) => parts.join(''))
      // A closing tag alone on its line with another behind it is what no reader could take for text.
      .filter((text) => !/(^|\n)<\/(parameter|function)>\s*(<\/(parameter|function|tool_call)>|$)/.test(text));
    const call = fc.record({
      name: fc.constantFrom('write', 'free'),
      arguments: fc.dictionary(fc.stringMatching(/^[a-z_]{1,6}$/), value, { maxKeys: 4 }),
    });
    const asText = { additionalProperties: { type: 'string' } };
    const format = xmlToolCalls(
      new Map([
        ['write', asText],
        ['free', asText],
      ]),
    );
    fc.assert(
      fc.property(fc.array(call, { maxLength: 3 }), fc.nat(9), (calls, cut) => {
        const text = calls.map((one) => block(one.name, one.arguments)).join('\n');
        const parser = new ToolCallParser(format);
        const pieces = text.match(new RegExp(`[^]{1,${cut + 1}}`, 'g')) ?? [];
        const segments = [...pieces.flatMap((piece) => parser.push(piece)), ...parser.end('eos')];
        const names = segments.flatMap((segment) => (segment.kind === 'call' ? [segment.name] : []));
        const json = segments.map((segment) =>
          segment.kind === 'arguments' ? segment.text : segment.kind === 'call_end' ? '\n' : '',
        );
        expect(names).toEqual(calls.map((one) => one.name));
        const read = json.join('').split('\n').slice(0, -1);
        expect(read.map((one) => JSON.parse(one) as unknown)).toEqual(calls.map((one) => ({ ...one.arguments })));
      }),
      { numRuns: 200 },
    );
  });
});
