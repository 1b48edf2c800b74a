import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CompletionEvent, Tool } from '@cortex/core';
import { OutputParser, type OutputParserOptions } from './output-parser.ts';

const tool = (name: string, properties: Readonly<Record<string, unknown>>): Tool => ({
  type: 'function',
  function: { name, parameters: { type: 'object', properties } },
});
const tools = [tool('weather', { city: { type: 'string' }, days: { type: 'integer' } }), tool('time', {})];

const parserOf = (options: Partial<OutputParserOptions> = {}): OutputParser => {
  let nIds = 0;
  const newCallId = (): string => {
    nIds += 1;
    return `call_${nIds}`;
  };
  return new OutputParser({
    choice: 0,
    thinking: 'closed',
    toolFormat: 'xml',
    tools,
    parallelToolCalls: true,
    stop: [],
    newCallId,
    ...options,
  });
};

type Item = readonly ['text' | 'reasoning', string] | readonly ['call', string, string, string];

/** Events of one kind joined, calls as id, name and arguments. */
const join = (events: readonly CompletionEvent[]): Item[] => {
  const items: Item[] = [];
  for (const event of events) {
    const last = items.at(-1);
    if (event.kind === 'text' || event.kind === 'reasoning') {
      if (last?.[0] === event.kind) items[items.length - 1] = [event.kind, last[1] + event.text];
      else items.push([event.kind, event.text]);
    } else if (event.kind === 'tool_call') {
      if (event.id !== undefined) items.push(['call', event.id, event.name ?? '', event.arguments]);
      else if (last?.[0] === 'call') items[items.length - 1] = ['call', last[1], last[2], last[3] + event.arguments];
    }
  }
  return items;
};

const run = (options: Partial<OutputParserOptions>, ...pieces: string[]): { items: Item[]; parser: OutputParser } => {
  const parser = parserOf(options);
  const events: CompletionEvent[] = [];
  for (const piece of pieces) {
    const step = parser.push(piece);
    events.push(...step.events);
    if (step.stopped) break;
  }
  events.push(...parser.end('eos'));
  return { items: join(events), parser };
};
const itemsOf = (options: Partial<OutputParserOptions>, ...pieces: string[]): Item[] => run(options, ...pieces).items;

const weather =
  '<tool_call>\n<function=weather>\n<parameter=city>\nParis\n</parameter>\n<parameter=days>\n2\n</parameter>\n</function>\n</tool_call>';
const time = '<tool_call>\n<function=time>\n</function>\n</tool_call>';
const weatherCall = (id: number): Item => ['call', `call_${id}`, 'weather', '{"city":"Paris","days":2}'];
const timeCall = (id: number): Item => ['call', `call_${id}`, 'time', '{}'];

describe('a thinking model with tools', () => {
  it('gives reasoning, then text, then calls', () => {
    const { items, parser } = run({ thinking: 'open' }, `I think.\n</think>\n\nLook:\n\n${weather}\n${time}\n`);
    expect(items).toEqual([['reasoning', 'I think.'], ['text', 'Look:'], weatherCall(1), timeCall(2)]);
    expect(parser.finishReason('eos')).toBe('tool_calls');
  });

  it('ends its reasoning with a call, and loses the closing tag that comes too late', () => {
    const items = itemsOf({ thinking: 'open' }, `I call.\n${weather}\n</think>\n\nSo </think>.`);
    expect(items).toEqual([['reasoning', 'I call.'], weatherCall(1), ['text', '\n\n\nSo </think>.']]);
    expect(itemsOf({ thinking: 'open' }, `I call.\n${weather}\n</think>\n`)).toEqual([
      ['reasoning', 'I call.'],
      weatherCall(1),
    ]);
  });

  it('gives reasoning only when it ends within it', () => {
    const { items, parser } = run({ thinking: 'open' }, 'so <tool_call>');
    expect(items).toEqual([['reasoning', 'so <tool_call>']]);
    expect(parser.finishReason('eos')).toBe('stop');
  });

  it('tells which tokens are reasoning', () => {
    const parser = parserOf({ thinking: 'none' });
    const sides = ['<think>', '\n', 'a', '</think>', 'b'].map((piece) => {
      parser.push(piece);
      return parser.inReasoning;
    });
    expect(sides).toEqual([true, true, true, false, false]);
  });
});

describe('calls', () => {
  it('are numbered from 0 and begin with their id and name', () => {
    const { events } = parserOf({ choice: 3 }).push(time + time);
    expect(events).toEqual([
      { kind: 'tool_call', choice: 3, index: 0, id: 'call_1', name: 'time', arguments: '' },
      { kind: 'tool_call', choice: 3, index: 0, arguments: '{}' },
      { kind: 'tool_call', choice: 3, index: 1, id: 'call_2', name: 'time', arguments: '' },
      { kind: 'tool_call', choice: 3, index: 1, arguments: '{}' },
    ]);
  });

  it('get random ids of their own', () => {
    const parser = new OutputParser({
      choice: 0,
      thinking: 'closed',
      toolFormat: 'xml',
      tools,
      parallelToolCalls: true,
      stop: [],
    });
    const ids = parser
      .push(time + time)
      .events.flatMap((event) => (event.kind === 'tool_call' ? (event.id ?? []) : []));
    expect(new Set(ids).size).toBe(2);
    for (const id of ids) expect(id).toMatch(/^call_[0-9a-f]{24}$/);
  });

  it('lose the white space around them, text after them keeps its own', () => {
    expect(itemsOf({}, `\n\n${time}\n\n${time}\n`)).toEqual([timeCall(1), timeCall(2)]);
    expect(itemsOf({}, `a \n${time}\n\nb\n`)).toEqual([['text', 'a'], timeCall(1), ['text', '\n\nb\n']]);
  });

  it('come in JSON too', () => {
    const text = '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris", "days": 2}}\n</tool_call>';
    expect(itemsOf({ toolFormat: 'json' }, text)).toEqual([weatherCall(1)]);
  });

  it('are plain text without tools or without a format', () => {
    expect(itemsOf({ tools: [] }, `${time}\n`)).toEqual([['text', `${time}\n`]]);
    expect(itemsOf({ toolFormat: null, thinking: 'open' }, `a${time}</think>b`)).toEqual([
      ['reasoning', `a${time}`],
      ['text', 'b'],
    ]);
  });

  it('stop the answer after the first when they may not be parallel', () => {
    const parser = parserOf({ parallelToolCalls: false });
    const step = parser.push(`Hm. ${weather}${time} more`);
    expect(step.stopped).toBe(true);
    expect(join(step.events)).toEqual([['text', 'Hm.'], weatherCall(1)]);
    expect(parser.push(time).events).toEqual([]);
    expect(parser.end('stop_string')).toEqual([]);
    expect(parser.finishReason('stop_string')).toBe('tool_calls');
  });

  it('stay incomplete when cut off at the token limit, and are completed when the model just stopped', () => {
    const half = '<tool_call>\n<function=weather>\n<parameter=city>\nParis\n</parameter>\n<parameter=days>\n2';
    const cut = parserOf();
    expect(join([...cut.push(half).events, ...cut.end('length')])).toEqual([
      ['call', 'call_1', 'weather', '{"city":"Paris"'],
    ]);
    expect(cut.finishReason('length')).toBe('length');
    expect(itemsOf({}, half)).toEqual([weatherCall(1)]);
  });
});

describe('stop strings', () => {
  it('end the text, and ask for no more', () => {
    const parser = parserOf({ stop: ['END'] });
    expect(parser.push('one E')).toEqual({ events: [{ kind: 'text', choice: 0, text: 'one' }], stopped: false });
    expect(parser.push('ND two')).toEqual({ events: [{ kind: 'text', choice: 0, text: ' ' }], stopped: true });
    expect(parser.matchedStop).toBe('END');
    expect(parser.end('stop_string')).toEqual([]);
    expect(parser.finishReason('stop_string')).toBe('stop');
  });

  it('are not looked for in reasoning or calls', () => {
    const options = { thinking: 'open', stop: ['Paris', '\n\n'] } as const;
    expect(itemsOf(options, `Paris\n\nor not\n</think>\n\nLook: ${weather}\nin Paris.`)).toEqual([
      ['reasoning', 'Paris\n\nor not'],
      ['text', 'Look:'],
      weatherCall(1),
      ['text', '\nin '],
    ]);
  });

  it('see the white space before a call', () => {
    expect(itemsOf({ stop: ['\n\n'] }, `Look:\n\n${weather}`)).toEqual([['text', 'Look:']]);
  });

  it('do not reach across a call', () => {
    expect(itemsOf({ stop: ['ab'] }, `a${time}b`)).toEqual([['text', 'a'], timeCall(1), ['text', 'b']]);
  });

  it('end plain completions too', () => {
    expect(itemsOf({ toolFormat: null, tools: [], stop: ['\n'] }, 'a <tool_call> ', 'b\nc')).toEqual([
      ['text', 'a <tool_call> b'],
    ]);
  });
});

describe('plain text', () => {
  it('flows piece by piece', () => {
    const parser = parserOf({ toolFormat: null, tools: [] });
    for (const piece of ['Hel', 'lo ', '<b>', '\n']) {
      expect(parser.push(piece).events).toEqual([{ kind: 'text', choice: 0, text: piece }]);
    }
    expect(parser.push('').events).toEqual([]);
    expect(parser.end('length')).toEqual([]);
    expect(parser.finishReason('length')).toBe('length');
  });
});

describe('any output', () => {
  it('gives the same events however it was cut', () => {
    const fragment = fc.constantFrom(
      ...'<think>|</think>|<tool_call>|</tool_call>|<function=time>|</function>|<parameter=city>|</parameter>'.split(
        '|',
      ),
      ...'{"name": "time", "arguments": {}}|STOP|ST|OP|a|<| |\n|\n'.split('|'),
      weather,
      time,
    );
    const options = fc.record({
      thinking: fc.constantFrom('open', 'closed', 'none'),
      toolFormat: fc.constantFrom('xml', 'json', null),
      parallelToolCalls: fc.boolean(),
      stop: fc.constantFrom([], ['STOP'], ['OP', ' ', '</th']),
    });
    fc.assert(
      fc.property(options, fc.array(fragment, { maxLength: 15 }), (chosen, fragments) => {
        const text = fragments.join('');
        const whole = run(chosen, text);
        for (const pieces of [fragments, Array.from(text)]) {
          const cut = run(chosen, ...pieces);
          expect(cut.items).toEqual(whole.items);
          expect(cut.parser.matchedStop).toBe(whole.parser.matchedStop);
          expect(cut.parser.finishReason('eos')).toBe(whole.parser.finishReason('eos'));
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('calls as the reference template renders them', () => {
  interface TemplateCase {
    readonly name: string;
    readonly text: string;
    readonly kwargs: { readonly tools?: readonly Tool[] };
    readonly messages: readonly {
      readonly tool_calls?: readonly { readonly function: { readonly name: string; readonly arguments: unknown } }[];
    }[];
  }
  const path = new URL('../../../../fixtures/templates/expected.json', import.meta.url);
  const cases = (JSON.parse(readFileSync(path, 'utf8')) as readonly TemplateCase[]).filter((one) =>
    one.messages.some((message) => message.tool_calls !== undefined),
  );

  it('are there', () => {
    expect(cases.length).toBeGreaterThan(0);
  });

  it.each(cases.map((one) => [one.name, one] as const))('are read back: %s', (_name, one) => {
    const turns = one.text.matchAll(/<\|im_start\|>assistant\n([^]*?)<\|im_end\|>/g);
    const read = [...turns].flatMap(([, turn]) => itemsOf({ tools: one.kwargs.tools ?? tools }, turn ?? ''));
    const calls = read.flatMap((item) => (item[0] === 'call' ? [[item[2], JSON.parse(item[3]) as unknown]] : []));
    const written = one.messages.flatMap((message) => message.tool_calls ?? []);
    expect(calls).toEqual(written.map((call) => [call.function.name, call.function.arguments]));
  });
});
