import { describe, expect, it } from 'vitest';
import { fakeEosId, fakeGenerateSpec, greedy, type FakeModelPlan } from '../../test/fake-device-host.ts';
import { Bench, causesOf, idsOf } from '../../test/run-loop-bench.ts';
import { compileConstraint } from '../sampling/grammar/compile-constraint.ts';
import type { GenerateEvent, GenerateSpec } from './protocol.ts';

/** 10, 11, … 15, 10, 11, … A step takes time, so that fewer steps are worth something. */
const looping: Partial<FakeModelPlan> = { contextMax: 200, kvTokens: 800, stepMs: 2, after: { 15: 10 } };

const answer = async (
  draftMax: number,
  spec: Partial<Omit<GenerateSpec, 'promptIds'>>,
  plan: Partial<FakeModelPlan> = {},
): Promise<{ readonly bench: Bench; readonly events: readonly GenerateEvent[] }> => {
  const bench = await Bench.with({ ...looping, ...plan }, 100, { draftMax, prefixHostBytesMax: 10_000 });
  return { bench, events: await bench.eventsOf(bench.generate(fakeGenerateSpec('m', [10], spec))) };
};

const drafts = (bench: Bench): number => bench.model().calls.filter((call) => call.startsWith('draft')).length;

const tokensOf = (events: readonly GenerateEvent[]) => events.filter(({ kind }) => kind === 'token');

describe('an answer that repeats itself', () => {
  it('takes fewer steps, and is the same', async () => {
    const [plain, ahead] = await Promise.all([0, 8].map((draftMax) => answer(draftMax, { tokensMax: 80 })));
    expect(idsOf(ahead!.events)).toEqual(idsOf(plain!.events));
    expect(drafts(plain!.bench)).toBe(0);
    expect(ahead!.bench.model().calls.length).toBeLessThan(plain!.bench.model().calls.length / 2);
    expect(ahead!.events.at(-1)).toMatchObject({ kind: 'done', nGenerated: 80 });
  });

  it('is the same when it is sampled with a seed, penalties and log-probabilities', async () => {
    const sampling = { ...greedy, temperature: 3, seed: 5, frequencyPenalty: 0.2, topK: 4 };
    const spec = { choices: [{ sampling }], tokensMax: 120, nTopLogprobs: 2 };
    const [plain, ahead] = await Promise.all([0, 8].map((draftMax) => answer(draftMax, spec)));
    expect(tokensOf(ahead!.events)).toEqual(tokensOf(plain!.events));
    expect(drafts(ahead!.bench)).toBeGreaterThan(0);
  });

  it('is the same where its form is set', async () => {
    const constraint = compileConstraint({
      kind: 'json_schema',
      schema: { const: 'abab'.repeat(8) },
      startAfter: null,
    });
    const [plain, ahead] = await Promise.all([0, 8].map((draftMax) => answer(draftMax, { constraint, tokensMax: 80 })));
    expect(idsOf(ahead!.events)).toEqual(idsOf(plain!.events));
    expect(causesOf(ahead!.events)).toEqual(['eos']);
    expect(drafts(ahead!.bench)).toBeGreaterThan(0);
  });

  it('ends where it would have ended: at its limit, at the end of its room, at an end token', async () => {
    for (const tokensMax of [37, 38, 39, 40, 41]) {
      expect(idsOf((await answer(8, { tokensMax })).events)).toHaveLength(tokensMax);
    }
    const [plain, ahead] = await Promise.all(
      [0, 8].map((draftMax) => answer(draftMax, { tokensMax: 999 }, { contextMax: 50 })),
    );
    expect(idsOf(ahead!.events)).toEqual(idsOf(plain!.events));
    const eosIds = [fakeEosId, 14];
    expect(idsOf((await answer(8, { tokensMax: 50, eosIds })).events)).toEqual([11, 12, 13]);
  });

  it('leaves what it computed, and no more, to the next prompt', async () => {
    const { bench, events } = await answer(8, { tokensMax: 60 });
    const ids = [10, ...idsOf(events), 99, 98];
    const next = await bench.eventsOf(bench.generate(fakeGenerateSpec('m', ids, { tokensMax: 1 })));
    expect(next.at(-1)).toMatchObject({ nCachedTokens: 60 });
    expect(idsOf(next)).toEqual([99]);
  });

  it('takes fewer steps with a predictor, though nothing repeats, and is the same', async () => {
    const plan = { after: {}, contextMax: 250, foresees: 2 };
    const [plain, ahead] = await Promise.all([0, 8].map((draftMax) => answer(draftMax, { tokensMax: 100 }, plan)));
    expect(idsOf(ahead!.events)).toEqual(idsOf(plain!.events));
    expect(drafts(plain!.bench)).toBe(0);
    expect(drafts(ahead!.bench)).toBeLessThan(60);
    const done = ahead!.events.at(-1);
    if (done?.kind !== 'done') throw new Error('the generation did not end');
    expect(done.nDraftedRight).toBeGreaterThan(40);
    expect(done.nDrafted).toBeGreaterThanOrEqual(done.nDraftedRight);
  });

  it('goes on one token at a time while others are being answered', async () => {
    const bench = await Bench.with(looping, 100, { draftMax: 8 });
    const both = [10, 12].map((id) => bench.generate(fakeGenerateSpec('m', [id], { tokensMax: 40 })));
    await Promise.all(both.map((jobId) => bench.eventsOf(jobId)));
    expect(drafts(bench)).toBe(0);
  });
});
