import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nearestNames } from './nearest-names.ts';
import { globMatches, resolveModel } from './resolve-model.ts';

const known = new Set(['Qwen/Qwen3.5-9B', 'big', 'claude-real']);
const resolve = (aliases: Record<string, string>, name: string): string | null =>
  resolveModel(aliases, (id) => known.has(id), name);

describe('a name', () => {
  it('of a model is the model', () => {
    expect(resolve({}, 'big')).toBe('big');
    expect(resolve({}, 'bigger')).toBeNull();
  });

  it('of an alias is what the alias stands for, through other aliases too', () => {
    expect(resolve({ fast: 'balanced', balanced: 'big' }, 'fast')).toBe('big');
  });

  it('that matches several globs takes the one with the most letters', () => {
    const aliases = { '*': 'big', 'claude-*': 'big', 'claude-*-haiku*': 'Qwen/Qwen3.5-9B' };
    expect(resolve(aliases, 'claude-4-haiku-2026')).toBe('Qwen/Qwen3.5-9B');
    expect(resolve(aliases, 'claude-opus')).toBe('big');
    expect(resolve(aliases, 'gpt')).toBe('big');
  });

  it('of a real model stands over a glob, a written-out alias over the model', () => {
    expect(resolve({ 'claude-*': 'big' }, 'claude-real')).toBe('claude-real');
    expect(resolve({ 'claude-real': 'big' }, 'claude-real')).toBe('big');
  });

  it('that leads in a circle or to nothing is nobody', () => {
    expect(resolve({ x: 'y', y: 'x' }, 'x')).toBeNull();
    expect(resolve({ x: 'gone' }, 'x')).toBeNull();
    expect(resolve({ 'a*': 'a1' }, 'a1')).toBeNull();
  });

  it('cannot reach into the prototype of the table', () => {
    expect(resolve({}, '__proto__')).toBeNull();
    expect(resolve({}, 'constructor')).toBeNull();
  });
});

describe('a glob', () => {
  it('matches exactly what the regular expression for it matches', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', '*', '.'), maxLength: 8 });
    const texts = fc.string({ unit: fc.constantFrom('a', 'b', '.'), maxLength: 10 });
    fc.assert(
      fc.property(letters, texts, (glob, text) => {
        const pattern = glob.replaceAll('.', '\\.').replaceAll('*', '.*');
        expect(globMatches(glob, text)).toBe(new RegExp(`^${pattern}$`, 's').test(text));
      }),
    );
  });
});

describe('nearest names', () => {
  const models = ['Qwen/Qwen3.5-9B', 'Qwen/Qwen3.5-27B', 'meta/llama-4', 'bge-m3'];

  it('come nearest first, forgiving case, separators and a missing organisation', () => {
    expect(nearestNames('qwen3_5 9b', models)[0]).toBe('Qwen/Qwen3.5-9B');
    expect(nearestNames('lama-4', models)).toEqual(['meta/llama-4']);
  });

  it('are none for a name like no other', () => {
    expect(nearestNames('zzz', models)).toEqual([]);
    expect(nearestNames('', models)).toEqual([]);
  });
});
