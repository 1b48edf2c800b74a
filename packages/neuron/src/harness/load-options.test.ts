import { CortexError } from '@cortex/core';
import { describe, expect, it } from 'vitest';
import { loadOptionsOf, weightBytes } from './load-options.ts';

const quantOf = (quant: string) => loadOptionsOf({ model_id: 'm', quant }, []).weightType;

describe('the type that a load asks for', () => {
  it('is taken in either case', () => {
    expect([quantOf('q8_0'), quantOf('Q4K'), quantOf('IQ4_XS')]).toEqual(['q8_0', 'q4k', 'iq4_xs']);
  });

  it.each(['Q4_K_M', 'int8', '', 'q4'])('is refused by name where there is none such: %j', (quant) => {
    expect(() => quantOf(quant)).toThrow(CortexError);
    expect(() => quantOf(quant)).toThrow(
      /is not one of auto, f32, f16, bf16, q8_0, q6k, q5k, q5_0, q4k, q4_0, iq4_xs, iq4_nl/,
    );
  });
});

describe('the memory that weights will take', () => {
  it('follows from their bits on disk and those asked for', () => {
    expect(weightBytes(1600, 'bfloat16', null)).toBe(1600);
    expect(weightBytes(1600, 'bfloat16', 'q8_0')).toBe(850);
    expect(weightBytes(3200, 'float32', 'q4_0')).toBe(450);
    expect(weightBytes(450, 'Q4_K_M', 'f16')).toBe(1600);
  });
});
