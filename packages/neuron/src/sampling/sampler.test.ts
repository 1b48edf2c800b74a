import { CortexError } from '@cortex/core';
import { describe, expect, it } from 'vitest';
import type { SamplingParams } from './params.ts';
import { Sampler, SamplerWorkspace, type SamplerContext } from './sampler.ts';

const greedy: SamplingParams = {
  temperature: 0,
  topP: 1,
  topK: 0,
  minP: 0,
  presencePenalty: 0,
  frequencyPenalty: 0,
  repetitionPenalty: 1,
  logitBias: [],
  seed: 1,
};
const row = (...values: number[]): Float32Array => Float32Array.from(values);
const create = (params: Partial<SamplingParams>, context: Partial<SamplerContext> = {}): Sampler =>
  new Sampler({ ...greedy, ...params }, { nVocab: 4, bannedIds: [], ...context });
const quiet = { nTopLogprobs: null };
const codeOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    return CortexError.from(error).code;
  }
  return 'nothing thrown';
};

describe('greedy sampling', () => {
  it('takes the largest logit, the lowest id among equals', () => {
    expect(create({}).sample(row(1, 3, 3, 2), quiet)).toEqual({ id: 1, logprob: null, top: [] });
  });

  it('needs no randomness: any seed, any temperature too small to divide by', () => {
    for (const temperature of [0, 1e-9, 1e-320]) {
      expect(create({ temperature, seed: null }).sample(row(0, 0.1, 0, 0), quiet).id).toBe(1);
    }
  });

  it('never takes a padding row or a banned id', () => {
    expect(create({}, { bannedIds: [1, 2] }).sample(row(0, 9, 8, 1, 99), quiet).id).toBe(3);
  });

  it('cannot be talked into a banned id by a bias', () => {
    expect(create({ logitBias: [[1, 100]] }, { bannedIds: [1] }).sample(row(0, 0, 0, 1), quiet).id).toBe(3);
  });
});

const fourLogits = () => row(1, 0.9, -1, 0);
const tenths = () => row(Math.log(1), Math.log(2), Math.log(5), Math.log(2));
const only = (...allowed: number[]) => ({
  mask(logits: Float32Array) {
    for (let id = 0; id < logits.length; id++) if (!allowed.includes(id)) logits[id] = -Infinity;
  },
});

describe('penalties and bias', () => {
  it('takes the presence penalty once, the frequency penalty each time, from the output only', () => {
    const sampler = create({ presencePenalty: 0.05, frequencyPenalty: 0.04 });
    sampler.observePrompt([0, 0, 0, 0]);
    expect(sampler.sample(fourLogits(), quiet).id).toBe(0);
    sampler.accept(0);
    const once = fourLogits();
    expect(sampler.sample(once, quiet).id).toBe(0);
    expect(once[0]).toBeCloseTo(1 - 0.05 - 0.04);
    sampler.accept(0);
    const twice = fourLogits();
    expect(sampler.sample(twice, quiet).id).toBe(1);
    expect(twice[0]).toBeCloseTo(1 - 0.05 - 0.08);
  });

  it('scales logits of prompt and output tokens by the repetition penalty, towards unlikely', () => {
    const sampler = create({ repetitionPenalty: 2 });
    sampler.observePrompt([0, 2, 2, 77]);
    sampler.accept(1);
    const used = fourLogits();
    sampler.sample(used, quiet);
    expect([...used]).toEqual([0.5, Math.fround(0.45), -2, 0]);
  });

  it('adds the bias after the penalties', () => {
    const sampler = create({ repetitionPenalty: 2, logitBias: [[3, 1.5]] });
    sampler.observePrompt([3]);
    const used = row(0, 0, 0, 1);
    sampler.sample(used, quiet);
    expect(used[3]).toBe(2);
  });

  it('refuses a biased id outside the vocabulary', () => {
    expect(codeOf(() => create({ logitBias: [[4, 1]] }))).toBe('invalid_request');
  });
});

describe('constraints', () => {
  it('samples only what the constraint allows, however unlikely', () => {
    const hot = create({ temperature: 1, topK: 2, topP: 0.5, minP: 0.9 });
    for (const sampler of [create({}), hot, create({ temperature: 1, topP: 0.1 })]) {
      expect(sampler.sample(row(9, 8, -30, 7), { ...quiet, constraint: only(2) }).id).toBe(2);
    }
  });

  it('says so when nothing is left', () => {
    for (const temperature of [0, 1]) {
      const sampler = create({ temperature });
      expect(codeOf(() => sampler.sample(row(1, 2, 3, 4), { ...quiet, constraint: only() }))).toBe('internal_error');
    }
  });
});

describe('broken logits', () => {
  it.each([
    ['NaN', row(1, NaN, 2, 3)],
    ['NaN throughout', row(NaN, NaN, NaN, NaN)],
    ['+Infinity', row(1, Infinity, 2, 3)],
    ['-Infinity throughout', row(-Infinity, -Infinity, -Infinity, -Infinity)],
    ['too few', row(1, 2)],
  ])('%s is an error, not a token', (_, logits) => {
    for (const params of [{}, { temperature: 1 }, { temperature: 1, topK: 2 }, { temperature: 1, topP: 0.5 }]) {
      expect(codeOf(() => create(params).sample(logits.slice(), quiet))).toBe('internal_error');
    }
  });
});

describe('log-probabilities', () => {
  it('are the log-softmax of the raw logits, whatever the sampling options do', () => {
    const sampler = create({ temperature: 2, topK: 1, repetitionPenalty: 1.5, logitBias: [[0, 50]], seed: 3 });
    sampler.observePrompt([0, 2]);
    const sampled = sampler.sample(tenths(), { nTopLogprobs: 3 });
    expect(sampled.id).toBe(0);
    expect(sampled.logprob).toBeCloseTo(Math.log(0.1), 6);
    expect(sampled.top.map(({ id }) => id)).toEqual([2, 1, 3]);
    expect(sampled.top.map(({ logprob }) => Math.exp(logprob).toFixed(5))).toEqual(['0.50000', '0.20000', '0.20000']);
  });

  it('leave out padding rows, and report no more tokens than there are', () => {
    const sampled = create({}).sample(row(0, 0, 0, 0, 50), { nTopLogprobs: 20 });
    expect(sampled.logprob).toBeCloseTo(Math.log(0.25), 6);
    expect(sampled.top).toHaveLength(4);
  });

  it('can be asked for the sampled token alone', () => {
    expect(create({}).sample(tenths(), { nTopLogprobs: 0 }).top).toEqual([]);
  });
});

describe('the distribution drawn from', () => {
  const nVocab = 300;
  const source = Float32Array.from({ length: nVocab }, (_, id) => Math.fround(3 * Math.sin(id * 1.7)));

  /** Pearson's statistic of 40,000 draws against the softmax over the tokens that survive; and its degrees. */
  function chiSquare(params: Partial<SamplingParams>, survives: (rank: number, cumulative: number) => boolean) {
    const temperature = params.temperature ?? 1;
    const ranked = Array.from(source, (logit, id) => ({ id, weight: Math.exp(logit / temperature) }));
    ranked.sort((a, b) => b.weight - a.weight);
    const all = ranked.reduce((sum, { weight }) => sum + weight, 0);
    let cumulative = 0;
    const kept = ranked.filter(({ weight }, rank) => {
      const keep = survives(rank, cumulative / all);
      cumulative += weight;
      return keep;
    });
    const total = kept.reduce((sum, { weight }) => sum + weight, 0);
    const counts = new Map<number, number>();
    const sampler = new Sampler({ ...greedy, temperature, ...params }, { nVocab, bannedIds: [] });
    const nDraws = 40_000;
    for (let i = 0; i < nDraws; i++) {
      const { id } = sampler.sample(source.slice(), quiet);
      counts.set(id, (counts.get(id) ?? 0) + 1);
    }
    const statistic = kept.reduce((sum, { id, weight }) => {
      const expected = (nDraws * weight) / total;
      return sum + ((counts.get(id) ?? 0) - expected) ** 2 / expected;
    }, 0);
    const strays = [...counts.keys()].filter((id) => !kept.some((candidate) => candidate.id === id));
    return { statistic, degrees: kept.length - 1, strays };
  }

  it.each([
    ['plain', { temperature: 1 }, () => true],
    ['hot', { temperature: 2.5 }, () => true],
    ['top_k', { temperature: 0.8, topK: 20 }, (rank: number) => rank < 20],
    ['top_p', { temperature: 1, topP: 0.8 }, (_: number, before: number) => before < 0.8],
  ])('matches the softmax: %s', (_, params, survives) => {
    const { statistic, degrees, strays } = chiSquare(params, survives);
    expect(strays).toEqual([]);
    // Mean n, variance 2n: five standard deviations.
    expect(statistic).toBeLessThan(degrees + 5 * Math.sqrt(2 * degrees));
  });

  it('is the same for the same seed, whoever shares the workspace', () => {
    const workspace = new SamplerWorkspace();
    const run = (seed: number, shared: boolean) => {
      const context = { nVocab, bannedIds: [], ...(shared ? { workspace } : {}) };
      const sampler = new Sampler({ ...greedy, temperature: 1, topP: 0.95, seed }, context);
      const other = new Sampler({ ...greedy, temperature: 1, topK: 5, seed: 9 }, { ...context, nVocab: 100 });
      return Array.from({ length: 40 }, () => {
        other.sample(source.slice(), { nTopLogprobs: 2 });
        return sampler.sample(source.slice(), quiet).id;
      });
    };
    expect(run(5, true)).toEqual(run(5, false));
    expect(run(5, true)).not.toEqual(run(6, true));
  });
});
