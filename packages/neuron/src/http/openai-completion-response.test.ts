import { describe, expect, it } from 'vitest';
import type { CompletionEvent, TokenLogprob, Usage } from '@cortex/core';
import { CompletionChunkBuilder, collectCompletion } from './openai-completion-response.ts';

const identity = { id: 'cmpl-1', created: 1_700_000_000, model: 'm' };
const usage: Usage = { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 };
const done: CompletionEvent = { kind: 'usage', usage };
const finish: CompletionEvent = { kind: 'finish', choice: 0, reason: 'length' };
const text = (piece: string, choice = 0): CompletionEvent => ({ kind: 'text', choice, text: piece });
const token = (bytes: number[], logprob: number, top: readonly [string, number][] = []): TokenLogprob => ({
  token: Buffer.from(bytes).toString('utf8'),
  logprob,
  bytes,
  top_logprobs: top.map(([other, value]) => ({ token: other, logprob: value, bytes: null })),
});
async function* streamOf(events: readonly CompletionEvent[]): AsyncGenerator<CompletionEvent> {
  yield* events;
}
const logprobsOf = (choice: number, bytes: number[]): CompletionEvent => ({
  kind: 'logprobs',
  choice,
  tokens: [token(bytes, -1)],
});
const collect = (events: readonly CompletionEvent[]) => collectCompletion(streamOf(events), identity);

describe('text completion chunks', () => {
  it('carry the pieces, then the finish reason, then the usage that was asked for', () => {
    const builder = new CompletionChunkBuilder(identity, { usage: 'last' });
    const chunks = [{ kind: 'accepted', promptTokens: 1 } as const, text('a'), finish, done].flatMap((event) =>
      builder.push(event),
    );
    const frame = { ...identity, object: 'text_completion' };
    expect(chunks).toEqual([
      { ...frame, choices: [{ index: 0, text: 'a', logprobs: null, finish_reason: null }], usage: null },
      {
        ...frame,
        choices: [{ index: 0, text: '', logprobs: null, finish_reason: 'length', stop_reason: null }],
        usage: null,
      },
      { ...frame, choices: [], usage },
    ]);
  });

  it('carry running usage when every chunk is to have it', () => {
    const builder = new CompletionChunkBuilder(identity, { usage: 'every' });
    const piece = { ...text('ab'), completionTokens: 2 };
    const events = [{ kind: 'accepted', promptTokens: 1 } as const, piece, { ...finish, completionTokens: 3 }, done];
    const chunks = events.flatMap((event) => builder.push(event));
    expect(chunks.map((chunk) => chunk.usage)).toEqual([
      { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 },
      { prompt_tokens: 1, completion_tokens: 3, total_tokens: 4 },
      usage,
    ]);
  });

  it('name the stop string with the finish reason', () => {
    const builder = new CompletionChunkBuilder(identity, { usage: 'none' });
    const [chunk] = builder.push({ kind: 'finish', choice: 0, reason: 'stop', stop: 'END' });
    expect(chunk?.choices[0]).toMatchObject({ finish_reason: 'stop', stop_reason: 'END' });
  });

  it('continue the text offsets from chunk to chunk, per choice', () => {
    const builder = new CompletionChunkBuilder(identity, { usage: 'none' });
    const chunks = [
      logprobsOf(0, [0x61, 0x62]),
      text('ab', 0),
      logprobsOf(1, [0x78]),
      text('x', 1),
      logprobsOf(0, [0x63]),
      text('c', 0),
    ].flatMap((event) => builder.push(event));
    expect(chunks.map((chunk) => chunk.choices[0]?.logprobs?.text_offset)).toEqual([[0], [0], [2]]);
  });

  it('refuse reasoning and calls', () => {
    const builder = new CompletionChunkBuilder(identity, { usage: 'none' });
    expect(() => builder.push({ kind: 'reasoning', choice: 0, text: 'x' })).toThrow(/reasoning/);
  });
});

describe('the whole text completion', () => {
  it('joins the pieces of each choice in order', async () => {
    const answer = await collect([
      text('b', 1),
      text('a', 0),
      text('c', 1),
      finish,
      { kind: 'finish', choice: 1, reason: 'stop', stop: 'END' },
      done,
    ]);
    expect(answer).toEqual({
      ...identity,
      object: 'text_completion',
      choices: [
        { index: 0, text: 'a', logprobs: null, finish_reason: 'length', stop_reason: null },
        { index: 1, text: 'bc', logprobs: null, finish_reason: 'stop', stop_reason: 'END' },
      ],
      usage,
    });
  });

  it('adds the sampled token to the alternatives and counts offsets in code points', async () => {
    // The second and third tokens are the two halves of é; 😀 is one code point, two UTF-16 units.
    const tokens = [
      token([...Buffer.from('😀')], -0.1, [
        ['😀', -0.1],
        ['b', -3],
      ]),
      token([0xc3], -2, [['x', -1]]),
      token([0xa9], -2, []),
      token([0x64], -0.2, [['__proto__', -4]]),
    ];
    const answer = await collect([text('😀éd'), { kind: 'logprobs', choice: 0, tokens }, finish, done]);
    const logprobs = answer.choices[0]?.logprobs;
    expect(logprobs?.text_offset).toEqual([0, 1, 1, 2]);
    expect(logprobs?.token_logprobs).toEqual([-0.1, -2, -2, -0.2]);
    expect(logprobs?.top_logprobs.map((record) => Object.entries(record ?? {}))).toEqual([
      [
        ['😀', -0.1],
        ['b', -3],
      ],
      [
        ['x', -1],
        ['\ufffd', -2],
      ],
      [['\ufffd', -2]],
      [
        ['__proto__', -4],
        ['d', -0.2],
      ],
    ]);
  });

  it('refuses a stream that ends early', async () => {
    await expect(collect([text('a'), done])).rejects.toMatchObject({ code: 'internal_error' });
    await expect(collect([text('a'), finish])).rejects.toMatchObject({ code: 'internal_error' });
  });
});
