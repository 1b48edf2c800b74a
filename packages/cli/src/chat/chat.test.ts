import { describe, expect, it } from 'vitest';
import { recordedTerminal } from '../../test/recorded-terminal.ts';
import type { ChatEvent } from '../api/chat-events.ts';
import { AnswerWriter } from './answer-writer.ts';
import { figuresText } from './chat-session.ts';
import { isPrompt, noSuchModel, pickModel, type Listed } from './pick-model.ts';

const answer: readonly ChatEvent[] = [
  { kind: 'waiting', reason: 'loading, 40 %' },
  { kind: 'reasoning', text: 'let me see' },
  { kind: 'text', text: '\n\nA \u001B[31mred' },
  { kind: 'text', text: ' square.' },
];

const written = (isTty: boolean, events: readonly ChatEvent[]): { out: string; err: string; text: string } => {
  const out = recordedTerminal(isTty);
  const err = recordedTerminal(isTty);
  const writer = new AnswerWriter(out, err);
  for (const event of events) writer.write(event);
  writer.end();
  return { out: out.text(), err: err.text(), text: writer.text };
};

describe('an answer on a terminal', () => {
  it('has its reasoning dimmed and apart, and says what it waits for until it comes', () => {
    const { out, err } = written(true, answer);
    expect(out).toBe('\u001B[2mlet me see\u001B[22m\n\nA [31mred square.\n');
    expect(err).toBe('\r\u001B[K\u001B[2mloading, 40 %\u001B[22m\r\u001B[K');
  });

  it('in a pipe is the answer alone', () => {
    const { out, err, text } = written(false, answer);
    expect([out, err]).toEqual(['A [31mred square.\n', '']);
    expect(text).toBe('\n\nA \u001B[31mred square.');
  });

  it('ends its last line once', () => {
    expect(written(false, [{ kind: 'text', text: 'done\n' }]).out).toBe('done\n');
    expect(written(false, []).out).toBe('');
  });
});

describe('the model that is meant', () => {
  const models: readonly Listed[] = [
    { id: 'Org/Big', alias_of: null, state: 'available' },
    { id: 'Org/Small', alias_of: null, state: 'loaded' },
    { id: 'fast', alias_of: 'Org/Small', state: 'loaded' },
  ];

  it('is the loaded one, else the only one', () => {
    expect(pickModel(models, undefined)).toBe('Org/Small');
    expect(pickModel(models.slice(0, 1), undefined)).toBe('Org/Big');
    expect(pickModel([{ id: 'from-a-neuron' }], undefined)).toBe('from-a-neuron');
  });

  it('is asked for by its name in any case, and a name no list shows may be a rule of the gateway', () => {
    expect(pickModel(models, 'org/big')).toBe('Org/Big');
    expect(pickModel(models, 'claude-anything')).toBe('claude-anything');
  });

  it('is not guessed', () => {
    const none = models.map((model) => ({ ...model, state: 'available' as const }));
    expect(() => pickModel(none, undefined)).toThrow('which of 2 models? Org/Big, Org/Small');
    expect(() => pickModel([], undefined)).toThrow('cortex pull');
  });

  it('is not there, and those that are get named', () => {
    expect(noSuchModel(models, 'hi')).toBe('There is no model "hi" here, but Org/Big, Org/Small, fast.');
    expect(noSuchModel([], 'hi')).toBe('There is no model "hi" here, nor any other.');
  });

  it('is not a sentence', () => {
    expect(isPrompt(models, 'What is this?')).toBe(true);
    expect(isPrompt(models, 'Org/Big')).toBe(false);
    expect(isPrompt([{ id: 'My Model' }], 'my model')).toBe(false);
  });
});

describe('the figures of a turn', () => {
  it('tell tokens, first token and speed, as far as they are known', () => {
    const usage = { prompt_tokens: 41, completion_tokens: 11, total_tokens: 52 };
    expect(figuresText({ finish: 'stop', usage, firstTokenMs: 200, totalMs: 1200 })).toBe(
      '41 + 11 tokens · first after 0.20 s · 10.0 tok/s',
    );
    expect(figuresText({ finish: null, usage: null, firstTokenMs: null, totalMs: 5 })).toBe('');
  });
});
