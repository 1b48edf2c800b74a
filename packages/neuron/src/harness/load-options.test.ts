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

describe('the devices that a load asks for', () => {
  const devices = [0, 1, 2].map((index) => ({ index, name: 'GPU', backend: 'cuda', vram_total_mb: 1 }));
  const placeOf = (rest: object) => loadOptionsOf({ model_id: 'm', ...rest }, devices);

  it('are any, one, or as many as are named or share the model', () => {
    expect(placeOf({})).toMatchObject({ deviceIndices: null, nDevices: null });
    expect(placeOf({ devices: [2] })).toMatchObject({ deviceIndices: [2], nDevices: 1 });
    expect(placeOf({ tensor_parallel: 2 })).toMatchObject({ deviceIndices: null, nDevices: 2 });
    expect(placeOf({ devices: [2, 0] })).toMatchObject({ deviceIndices: [2, 0], nDevices: 2 });
  });

  it.each([
    [{ tensor_parallel: 4 }, 'tensor_parallel is 4, and there are 3 devices here'],
    [{ tensor_parallel: 2, devices: [0] }, 'tensor_parallel is 2, and devices names 1'],
    [{ tensor_parallel: 1, devices: [0, 1] }, 'tensor_parallel is 1, and devices names 2'],
    [{ devices: [1, 1] }, 'devices names a device twice'],
    [{ devices: [0, 3] }, 'there is no device 3 here, only 0, 1, 2'],
  ])('are refused where they cannot be: %j', (rest, why) => {
    expect(() => placeOf(rest)).toThrow(why);
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
