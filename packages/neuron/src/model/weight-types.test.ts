import { tensorTypes, type TensorTypeName } from '@cortex/ggml';
import { describe, expect, it } from 'vitest';
import type { WeightRole } from './weight-spec.ts';
import { fittingType, weightTypeOf, type WeightType } from './weight-types.ts';

const typeOf = (
  wanted: WeightType,
  role: WeightRole,
  source: TensorTypeName = 'bf16',
  { rowLength = 1024, isHost = true } = {},
): string => weightTypeOf(wanted, { role, rowLength, source: tensorTypes[source], isHost }).name;

describe('the type a weight is loaded as', () => {
  it('is that of the checkpoint, but for bf16 on a CPU', () => {
    expect(typeOf('auto', 'linear', 'f32')).toBe('f32');
    expect(typeOf('auto', 'linear', 'bf16')).toBe('f16');
    expect(typeOf('auto', 'linear', 'bf16', { isHost: false })).toBe('bf16');
    expect(typeOf('auto', 'embedding', 'q6_K')).toBe('q6_K');
  });

  it('is f32 for what must be exact, whatever is wanted', () => {
    for (const wanted of ['auto', 'f16', 'q8_0', 'q4k'] as const) expect(typeOf(wanted, 'exact')).toBe('f32');
  });

  it.each<[WeightType, string, string]>([
    ['q8_0', 'q8_0', 'q8_0'],
    ['q6k', 'q6_K', 'q6_K'],
    ['q5k', 'q5_K', 'q6_K'],
    ['q4k', 'q4_K', 'q6_K'],
    ['q5_0', 'q5_0', 'q6_K'],
    ['q4_0', 'q4_0', 'q6_K'],
    ['iq4_xs', 'iq4_xs', 'q6_K'],
    ['iq4_nl', 'iq4_nl', 'q6_K'],
    ['f16', 'f16', 'f16'],
    ['bf16', 'bf16', 'bf16'],
  ])('is, with %s, %s for products and %s for embedding and head', (wanted, linear, outer) => {
    expect(typeOf(wanted, 'linear')).toBe(linear);
    expect([typeOf(wanted, 'embedding'), typeOf(wanted, 'head')]).toEqual([outer, outer]);
  });

  it('never has fewer than eight bits for gates, and is f16 for a tower that would be quantised', () => {
    expect([typeOf('q4k', 'gate'), typeOf('q8_0', 'gate'), typeOf('f16', 'gate')]).toEqual(['q8_0', 'q8_0', 'f16']);
    expect([typeOf('q4k', 'tower'), typeOf('f32', 'tower')]).toEqual(['f16', 'f32']);
  });

  it.each<[TensorTypeName, number, TensorTypeName]>([
    ['q4_K', 512, 'q4_K'],
    ['q4_K', 288, 'q5_0'],
    ['q5_K', 288, 'q5_1'],
    ['q6_K', 288, 'q8_0'],
    ['iq4_xs', 288, 'iq4_nl'],
    ['q4_0', 288, 'q4_0'],
    ['q4_K', 304, 'f16'],
    ['q8_0', 304, 'f16'],
  ])('of %s for rows of %i is %s', (type, rowLength, fitting) => {
    expect(fittingType(tensorTypes[type], rowLength)).toBe(tensorTypes[fitting]);
  });
});
