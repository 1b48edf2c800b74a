import { describe, expect, it } from 'vitest';
import { bytes, duration, memory, percent, rate, span, tokens } from './format.ts';

describe('formats', () => {
  it.each([
    [memory(0), '0 MB'],
    [memory(999.4), '999 MB'],
    [memory(11_469), '11.2 GB'],
    [memory(143_771), '140 GB'],
    [duration(null), '–'],
    [duration(0.4), '0 ms'],
    [duration(999.4), '999 ms'],
    [duration(999.6), '1.00 s'],
    [duration(9994), '9.99 s'],
    [duration(9996), '10.0 s'],
    [duration(59_949), '59.9 s'],
    [duration(59_950), '1 min 00 s'],
    [duration(3_725_000), '1 h 02 min'],
    [span(-3), '0 s'],
    [span(59.6), '1 min'],
    [span(7500), '2 h 5 min'],
    [span(273_600), '3 d 4 h'],
    [rate(null), '–'],
    [rate(0), '0'],
    [rate(41.27), '41.3'],
    [rate(1087.6), '1,088'],
    [percent(0.405), '41 %'],
    [tokens(4096), '4k'],
    [tokens(5000), '5,000'],
    [tokens(32_768), '32k'],
    [tokens(262_144), '256k'],
    [tokens(1_048_576), '1M'],
    [bytes(900), '900 B'],
    [bytes(1_677_000), '1.6 MB'],
  ])('%s is %s', (is, shall) => {
    expect(is).toBe(shall);
  });
});
