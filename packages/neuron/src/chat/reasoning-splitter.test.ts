import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { matchSteps, SPACE } from './output-lookahead.ts';
import { ReasoningSplitter, type ReasoningSegment, type ThinkingStart } from './reasoning-splitter.ts';

const matchCall = (text: string, at: number) => matchSteps(text, at, ['<tool_call>', SPACE, '{']);

const run = (start: ThinkingStart, ...pieces: string[]): { reasoning: string; content: string } => {
  const splitter = new ReasoningSplitter(start, matchCall);
  const segments = [...pieces.flatMap((piece) => splitter.push(piece)), ...splitter.end()];
  const join = (kind: ReasoningSegment['kind']): string =>
    segments
      .filter((segment) => segment.kind === kind)
      .map((segment) => segment.text)
      .join('');
  return { reasoning: join('reasoning'), content: join('content') };
};

describe('a prompt that ends inside the think block', () => {
  it('begins with reasoning, and drops the newlines of the template', () => {
    expect(run('open', 'so\n\nso\n</think>\n\nYes.\n')).toEqual({ reasoning: 'so\n\nso', content: 'Yes.\n' });
  });

  it('leaves reasoning only when the text ends within it', () => {
    expect(run('open', 'I wonder </thi')).toEqual({ reasoning: 'I wonder </thi', content: '' });
  });

  it('forgives one repeated opening tag', () => {
    expect(run('open', '\n<think>\na <think> b</think>c')).toEqual({ reasoning: 'a <think> b', content: 'c' });
  });

  it('gives no reasoning for an empty block', () => {
    expect(run('open', '\n\n</think>\n\nHi')).toEqual({ reasoning: '', content: 'Hi' });
  });

  it('ends at a tool call, but not at the mere mention of its tag', () => {
    const splitter = new ReasoningSplitter('open', matchCall);
    splitter.push('I write <tool_call> now:\n');
    expect(splitter.endedByCall).toBe(false);
    expect(splitter.push('<tool_call>\n{"name"')).toEqual([{ kind: 'content', text: '<tool_call>\n{"name"' }]);
    expect(splitter.endedByCall).toBe(true);
    expect(run('open', 'x <tool_call> y\n<tool_call>\n{}')).toEqual({
      reasoning: 'x <tool_call> y',
      content: '<tool_call>\n{}',
    });
  });

  it('releases each word as it comes, holding back only newlines and what may be a tag', () => {
    const splitter = new ReasoningSplitter('open');
    expect(splitter.push('one ')).toEqual([{ kind: 'reasoning', text: 'one ' }]);
    expect(splitter.push('two\n')).toEqual([{ kind: 'reasoning', text: 'two' }]);
    expect(splitter.push('<')).toEqual([]);
    expect(splitter.push('b> ')).toEqual([{ kind: 'reasoning', text: '\n<b> ' }]);
  });

  it('tells after each piece which side it is on', () => {
    const splitter = new ReasoningSplitter('open');
    const sides = ['so', '\n', '</think>', '\n\n', 'Yes'].map((piece) => {
      splitter.push(piece);
      return splitter.inReasoning;
    });
    expect(sides).toEqual([true, true, false, false, false]);
  });
});

describe('a prompt that leaves thinking to the model', () => {
  it('splits a block at the very start', () => {
    expect(run('none', '\n<think>\na\n</think>\n\nb')).toEqual({ reasoning: 'a', content: 'b' });
  });

  it('takes a later tag as text', () => {
    expect(run('none', 'Use <think>x</think>')).toEqual({ reasoning: '', content: 'Use <think>x</think>' });
  });

  it('releases other beginnings unchanged', () => {
    expect(run('none', '\n\n<thin', 'k')).toEqual({ reasoning: '', content: '\n\n<think' });
  });
});

describe('a prompt that closed the think block', () => {
  it('splits nothing', () => {
    expect(run('closed', '<think>a</think>\n\nb')).toEqual({ reasoning: '', content: '<think>a</think>\n\nb' });
  });
});

describe('any cutting of the text', () => {
  const fragment = fc.constantFrom('<think>', '</think>', '<tool_call>', '{', '\n', ' ', 'a', '<', '</thi', 'é');
  it('gives the same reasoning and content', () => {
    fc.assert(
      fc.property(
        fc.constantFrom<ThinkingStart>('open', 'none', 'closed'),
        fc.array(fragment, { maxLength: 12 }),
        (start, fragments) => {
          const text = fragments.join('');
          expect(run(start, ...Array.from(text))).toEqual(run(start, text));
        },
      ),
      { numRuns: 800 },
    );
  });
});
