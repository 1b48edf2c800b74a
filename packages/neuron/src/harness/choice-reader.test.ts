import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { GeneratedToken } from '../device/protocol.ts';
import { Tokenizer } from '../tokenizer/tokenizer.ts';
import { ChoiceReader } from './choice-reader.ts';

const tokenizer = await Tokenizer.load(
  fileURLToPath(new URL('../../../../fixtures/models/qwen3_5-vl-tiny', import.meta.url)),
);
const tokens = (text: string): GeneratedToken[] =>
  tokenizer.encode(text, { parseSpecial: true }).map((id) => ({ id, logprob: null, top: [] }));

const readerOf = (stop: readonly string[] = []): ChoiceReader =>
  new ChoiceReader({
    choice: 0,
    thinking: 'none',
    toolFormat: null,
    tools: [],
    parallelToolCalls: true,
    stop,
    vocabulary: tokenizer.vocabulary,
    eosIds: [],
  });

describe('ChoiceReader', () => {
  it('tells with every piece how many tokens were sampled up to it', () => {
    const reader = readerOf();
    const sampled = tokens('one two three');
    const events = sampled.flatMap((token) => reader.push(token).events);
    const counts = [...events, ...reader.finish('length')].map((event) =>
      'completionTokens' in event ? event.completionTokens : null,
    );
    expect(counts).toEqual([...sampled.map((_, i) => i + 1), sampled.length]);
  });

  it('names the stop string that ended the answer, and none where another thing did', () => {
    const stopped = readerOf(['never', ' three']);
    const events = tokens('one two three four').flatMap((token) => stopped.push(token).events);
    expect(events.at(-1)).toMatchObject({ kind: 'finish', reason: 'stop', stop: ' three' });
    const cut = readerOf(['never']);
    cut.push(tokens('one')[0]!);
    expect(cut.finish('eos').at(-1)).toEqual({ kind: 'finish', choice: 0, reason: 'stop', completionTokens: 1 });
  });
});
