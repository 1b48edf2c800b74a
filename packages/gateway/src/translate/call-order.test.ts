import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CallOrder } from './call-order.ts';
import type { AnswerPiece } from './chat-answer.ts';

const call = (index: number, args: string): AnswerPiece => ({
  kind: 'call',
  index,
  id: null,
  name: 'f',
  arguments: args,
});
const text = (words: string): AnswerPiece => ({ kind: 'text', text: words });

const told = (pieces: readonly AnswerPiece[]): string =>
  pieces.map((piece) => (piece.kind === 'call' ? `${piece.index}${piece.arguments}` : piece.text)).join(' ');

/** What is told at each step, and at the end. */
const steps = (...pieces: AnswerPiece[]): string[] => {
  const order = new CallOrder();
  return [...pieces.map((piece) => told(order.take([piece]))), told(order.end())];
};

describe('calls in a stream', () => {
  it('are told as they come when they come one after the other', () => {
    expect(steps(text('a'), call(0, '{'), call(0, '}'), call(1, '{}'), text('b'))).toEqual([
      'a',
      '0{',
      '0}',
      '1{}',
      'b',
      '',
    ]);
  });

  it('wait for the one before them to be whole', () => {
    expect(steps(call(0, '{'), call(1, '{'), text('b'), call(0, '}'), call(1, '}'))).toEqual([
      '0{',
      '',
      '',
      '0} 1{',
      '1} b',
      '',
    ]);
  });

  it('are all told at the end, also what was cut short and what has no arguments', () => {
    expect(steps(call(0, ''), call(1, '{'), call(2, '{'), call(1, '"a'))).toEqual(['0', '', '', '', '1{ 1"a 2{']);
  });

  it('lose nothing and stay together, in whatever order they are written', () => {
    const calls = fc.array(fc.array(fc.constantFrom('{', '"a":', '1', '}'), { minLength: 1 }), { maxLength: 4 });
    fc.assert(
      fc.property(calls, fc.infiniteStream(fc.nat(3)), (args, choices) => {
        const left = args.map((pieces, index) => pieces.map((piece) => call(index, piece)));
        const order = new CallOrder();
        const out: AnswerPiece[] = [];
        while (left.some((pieces) => pieces.length > 0)) {
          const piece = left[choices.next().value % left.length]?.shift();
          if (piece !== undefined) out.push(...order.take([piece]));
        }
        out.push(...order.end());
        const joined = (index: number): string =>
          out.map((piece) => (piece.kind === 'call' && piece.index === index ? piece.arguments : '')).join('');
        expect(args.map((_, index) => joined(index))).toEqual(args.map((pieces) => pieces.join('')));
      }),
    );
  });
});
