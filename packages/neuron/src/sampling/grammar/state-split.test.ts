import { describe, expect, it } from 'vitest';
import { schemaSpec, type GrammarSpec } from '../../../test/grammar/generate.ts';
import { Automaton } from './automaton.ts';
import { compileConstraint } from './compile-constraint.ts';
import { StateSplitter } from './state-split.ts';

const tokenBytesMax = 16;

function splitterOf(spec: GrammarSpec) {
  const automaton = new Automaton(compileConstraint({ ...spec, startAfter: null }).program);
  const splitter = new StateSplitter(automaton, tokenBytesMax);
  return (text: string) => {
    let state = automaton.start;
    for (const byte of Buffer.from(text)) state = automaton.advance(state, byte);
    return splitter.split(state);
  };
}

describe('splitting a state', () => {
  it('finds the same inner state wherever text stands, and where each returns to', () => {
    const split = splitterOf({ kind: 'json_object' });
    const places = ['{"a":"x', '{"a":[{"b":"yz', '{"a":{"b":{"c":["', '{"a'].map(split);
    expect(new Set(places.map(({ inner }) => inner)).size).toBe(1);
    expect(new Set(places.map(({ outer }) => outer)).size).toBe(4);
  });

  it('leaves the outermost whole', () => {
    expect(splitterOf(schemaSpec({ type: 'integer', minimum: 10 }))('1').outer).toBeNull();
  });

  it('tells counts apart only where one token could reach a limit', () => {
    const split = splitterOf(
      schemaSpec({ type: 'object', properties: { s: { type: 'string', minLength: 100, maxLength: 200 } } }),
    );
    const innerAfter = (n: number): number => split(`{"s":"${'x'.repeat(n)}`).inner;
    expect(innerAfter(3)).toBe(innerAfter(100 - tokenBytesMax - 2));
    expect(innerAfter(100)).toBe(innerAfter(200 - tokenBytesMax - 2));
    const near = [100 - tokenBytesMax, 99, 100, 200 - tokenBytesMax, 199, 200].map(innerAfter);
    expect(new Set(near).size).toBe(6);
  });
});
