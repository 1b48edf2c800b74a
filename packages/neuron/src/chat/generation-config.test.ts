import { describe, expect, it } from 'vitest';
import { samplingDefaults } from './generation-config.ts';

const off = { temperature: 1, topP: 1, topK: 0, minP: 0, repetitionPenalty: 1 };

describe('samplingDefaults', () => {
  it('takes what the checkpoint says', () => {
    const config = { do_sample: true, temperature: 0.6, top_p: 0.95, top_k: 20, min_p: 0.01, repetition_penalty: 1.05 };
    expect(samplingDefaults(config)).toEqual({
      temperature: 0.6,
      topP: 0.95,
      topK: 20,
      minP: 0.01,
      repetitionPenalty: 1.05,
    });
  });

  it('is neutral where nothing is said, or the file is absent', () => {
    expect(samplingDefaults({ top_k: null, eos_token_id: 3 })).toEqual(off);
    expect(samplingDefaults(null)).toEqual(off);
    expect(samplingDefaults({ top_k: -1 })).toEqual(off);
  });

  it('is greedy where sampling is switched off, whatever the temperature', () => {
    expect(samplingDefaults({ do_sample: false, temperature: 0.7 }).temperature).toBe(0);
  });

  it.each([
    ['temperature', -1],
    ['temperature', '0.7'],
    ['top_p', 1.5],
    ['top_k', 2.5],
    ['repetition_penalty', 0],
    ['do_sample', 'yes'],
  ])('refuses %s = %j, naming it', (field, value) => {
    expect(() => samplingDefaults({ [field]: value })).toThrow(
      expect.objectContaining({
        code: 'model_load_failed',
        message: expect.stringContaining(`generation_config.json: ${field}`),
      }),
    );
    expect(() => samplingDefaults([])).toThrow(expect.objectContaining({ code: 'model_load_failed' }));
  });
});
