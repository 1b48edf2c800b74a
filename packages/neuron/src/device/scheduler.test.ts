import { describe, expect, it } from 'vitest';
import { nextStep, type ModelState } from './scheduler.ts';

const model = (state: Partial<ModelState>): ModelState => ({
  prefilling: [],
  decoding: [],
  lastWasPrefill: false,
  chunkMax: 8,
  chunkMaxBetween: 8,
  ...state,
});
const prompt = (nPromptLeft: number, nImagesLeft = 0) => ({ nPromptLeft, nImagesLeft, nUntilBoundary: Infinity });
const kindOf = (state: Partial<ModelState>): string | undefined => nextStep([model(state)], null)?.kind;

describe('nextStep', () => {
  it('is null without work', () => {
    expect(nextStep([], null)).toBeNull();
    expect(nextStep([model({})], null)).toBeNull();
    expect(nextStep([model({ lastWasPrefill: true })], null)).toBeNull();
  });

  it('encodes the images of a prompt before its first chunk', () => {
    expect(kindOf({ prefilling: [prompt(20, 2), prompt(3)] })).toBe('encode_image');
  });

  it('cuts the oldest prompt into chunks', () => {
    expect(nextStep([model({ prefilling: [prompt(20), prompt(3)] })], null)).toMatchObject({
      kind: 'prefill',
      nTokens: 8,
    });
    expect(nextStep([model({ prefilling: [prompt(3), prompt(20)] })], null)).toMatchObject({ nTokens: 3 });
    const bounded = { ...prompt(20), nUntilBoundary: 5 };
    expect(nextStep([model({ prefilling: [bounded] })], null)).toMatchObject({ nTokens: 5 });
  });

  it('lets running sequences decode after each chunk and each image', () => {
    for (const oldest of [prompt(20), prompt(20, 1)]) {
      const busy = { prefilling: [oldest], decoding: [{}] };
      expect(kindOf({ ...busy, lastWasPrefill: true })).toBe('decode');
      expect(kindOf({ ...busy, lastWasPrefill: false })).not.toBe('decode');
    }
  });

  it('cuts smaller chunks while sequences are running', () => {
    const busy = { prefilling: [prompt(20)], chunkMaxBetween: 3 };
    expect(nextStep([model(busy)], null)).toMatchObject({ nTokens: 8 });
    expect(nextStep([model({ ...busy, decoding: [{}] })], null)).toMatchObject({ nTokens: 3 });
    expect(nextStep([model({ ...busy, decoding: [{}], chunkMaxBetween: 99 })], null)).toMatchObject({ nTokens: 8 });
  });

  it('cuts smaller chunks also while sequences of another model are running', () => {
    const models = [model({ prefilling: [prompt(20)], chunkMaxBetween: 3 }), model({ decoding: [{}] })];
    expect(nextStep(models, null)).toMatchObject({ kind: 'prefill', nTokens: 3 });
  });

  it('goes on prefilling when nothing runs', () => {
    expect(kindOf({ prefilling: [prompt(20)], lastWasPrefill: true })).toBe('prefill');
  });

  it('gives models their turns, passing over the idle', () => {
    const models = [model({ decoding: [1] }), model({}), model({ decoding: [2] })] as const;
    expect(nextStep(models, null)?.model).toBe(models[0]);
    expect(nextStep(models, models[0])?.model).toBe(models[2]);
    expect(nextStep(models, models[2])?.model).toBe(models[0]);
    expect(nextStep(models, model({}))?.model).toBe(models[0]);
  });
});
