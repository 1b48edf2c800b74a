import type { Tool } from '@cortex/core';
import { describe, expect, it } from 'vitest';
import { OutputParser } from '../../src/chat/output-parser.ts';
import type { JsonSchema } from '../../src/sampling/grammar/spec.ts';
import { VocabularyTrie } from '../../src/sampling/grammar/vocabulary-trie.ts';
import { RandomWriter } from './generate.ts';
import { fixtureVocabulary, jsonVocabulary } from './toy-vocabulary.ts';
import { isValid } from './validate.ts';

const edit = {
  type: 'object',
  properties: {
    path: { type: 'string' },
    line: { type: ['integer', 'null'], minimum: 1 },
    mode: { enum: ['append', 'replace'] },
    options: { type: 'object', properties: { dry: { type: 'boolean' } }, required: ['dry'] },
    note: { type: 'string', maxLength: 10, minLength: 2 },
    lines: { type: 'array', items: { type: 'string' }, maxItems: 3 },
    ratio: { type: 'number', minimum: 0 },
  },
  required: ['path', 'mode'],
};
const schemas: Readonly<Record<string, JsonSchema>> = { edit_file: edit, now: { additionalProperties: false } };
const offered = [
  { name: 'edit_file', parameters: edit },
  { name: 'now', parameters: null },
];
const tools = offered.map((tool): Tool => ({ type: 'function', function: tool }));

/** What a client would be told: each call's name and arguments, and all other text. */
function parsed(text: string, toolFormat: 'xml' | 'json') {
  const parser = new OutputParser({
    choice: 0,
    thinking: 'closed',
    toolFormat,
    tools,
    parallelToolCalls: true,
    stop: [],
  });
  const calls: { name: string; args: string }[] = [];
  let other = '';
  for (const event of [...parser.push(text).events, ...parser.end('eos')]) {
    if (event.kind !== 'tool_call') {
      other += event.text;
      continue;
    }
    const call = (calls[event.index] ??= { name: '', args: '' });
    call.name += event.name ?? '';
    call.args += event.arguments;
  }
  return { calls, other: other.trim() };
}

describe.each(['xml', 'json'] as const)('tool calls written under the grammar: %s', (format) => {
  it('are read back by the output parser as valid calls, and nothing beside them', () => {
    // The fixture's tokens spell tags byte by byte, which random choices hardly ever finish.
    const tags = ['\n</parameter>\n', '\n<', '\n</', '</function>\n', '</tool_call>\n<tool_call>\n', 'parameter>'];
    for (const vocabulary of [jsonVocabulary, fixtureVocabulary(...tags)]) {
      const trie = new VocabularyTrie(vocabulary.table);
      const spec = { kind: 'tool_call', format, tools: offered, choice: 'required', parallel: true } as const;
      const writer = new RandomWriter(spec, vocabulary, trie);
      for (let seed = 0; seed < 30; seed++) {
        const text = writer.write(seed);
        const { calls, other } = parsed(text, format);
        const wrong = calls.filter(({ name, args }) => !isValid(JSON.parse(args) as never, schemas[name] ?? false));
        expect([text, calls.length > 0, wrong, other]).toEqual([text, true, [], '']);
      }
    }
  });
});
