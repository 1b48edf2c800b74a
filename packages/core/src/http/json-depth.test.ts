import { describe, expect, it } from 'vitest';
import { isDeeperThan } from './json-depth.ts';

const deeper = (json: string, depthMax: number): boolean => isDeeperThan(Buffer.from(json), depthMax);

describe('isDeeperThan', () => {
  it('counts arrays and objects inside each other', () => {
    expect(deeper('{"a":[{"b":1}]}', 3)).toBe(false);
    expect(deeper('{"a":[{"b":1}]}', 2)).toBe(true);
  });

  it('counts how deep, not how many', () => {
    expect(deeper(`[${'[],{},'.repeat(1000)}0]`, 2)).toBe(false);
  });

  it('does not look into strings, whatever is escaped in them', () => {
    expect(deeper(`["${'['.repeat(500)}"]`, 1)).toBe(false);
    expect(deeper(String.raw`["\"[[[[\\", "\\\"[[", "{"]`, 1)).toBe(false);
    expect(deeper(String.raw`["\\",[["x"]]]`, 2)).toBe(true);
  });

  it('ends with the bytes, also of what is no JSON', () => {
    expect(deeper('["abc', 4)).toBe(false);
    expect(deeper(`["${'x'.repeat(300)}\\`, 4)).toBe(false);
    expect(deeper(']]]]', 1)).toBe(false);
  });
});
