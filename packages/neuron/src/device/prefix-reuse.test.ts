import { describe, expect, it } from 'vitest';
import { fakeGenerateSpec, greedy, type FakeModelPlan } from '../../test/fake-device-host.ts';
import { Bench, idsOf, withImages } from '../../test/run-loop-bench.ts';
import type { GenerateEvent } from './protocol.ts';

const keeping = (plan: Partial<FakeModelPlan> = {}): Promise<Bench> =>
  Bench.with({ contextMax: 600, kvTokens: 600, ...plan }, 100, { prefixHostBytesMax: 10_000 });

const cachedOf = (events: readonly GenerateEvent[]): number | undefined =>
  events.flatMap((event) => (event.kind === 'done' ? [event.nCachedTokens] : []))[0];

const system = Array.from({ length: 40 }, (_, i) => i);

describe('a second turn', () => {
  it.each([0, 8])('computes only what is new, and says so (states of %i bytes)', async (stateBytes) => {
    const bench = await keeping({ stateBytes });
    const first = await bench.eventsOf(bench.generate(fakeGenerateSpec('m', [...system, 50])));
    expect([idsOf(first), cachedOf(first)]).toEqual([[51, 52, 53, 54], 0]);
    bench.model().calls.length = 0;
    const next = [...system, 50, 51, 52, 53, 54, 60, 70];
    const second = await bench.eventsOf(bench.generate(fakeGenerateSpec('m', next)));
    expect(idsOf(second)).toEqual([71, 72, 73, 74]);
    // The last token of an answer is sampled but not computed.
    expect(cachedOf(second)).toBe(44);
    expect(bench.model().calls[0]).toBe('reopen');
    const prefill = second.find(({ kind }) => kind === 'prefill');
    expect(prefill).toEqual({ kind: 'prefill', done: 47, total: 47 });
  });

  it('is a cold run when nothing may be kept', async () => {
    const bench = await Bench.with({ contextMax: 600, kvTokens: 600 });
    for (const expected of [0, 0]) {
      const events = await bench.eventsOf(bench.generate(fakeGenerateSpec('m', [...system, 50])));
      expect(cachedOf(events)).toBe(expected);
    }
    expect(bench.model().kept.parked.size).toBe(0);
  });
});

describe('images behind a reused prefix', () => {
  it('are not encoded again, others are', async () => {
    const bench = await keeping();
    const head = withImages('a', 'b', 'c', 'd', 'e', 'f');
    await bench.eventsOf(bench.generate(fakeGenerateSpec('m', head.ids, { vision: head.vision })));
    bench.model().calls.length = 0;
    const again = withImages('a', 'b', 'c', 'd', 'e', 'f', 'g');
    const events = await bench.eventsOf(bench.generate(fakeGenerateSpec('m', again.ids, { vision: again.vision })));
    expect(cachedOf(events)).toBe(18);
    expect(bench.model().calls.filter((call) => call.startsWith('encode'))).toEqual(['encode g']);
    expect(bench.model().nEmbeds).toBe(0);
  });

  it('end it where one of them is another, though its pads are the same', async () => {
    const bench = await keeping();
    const [one, other] = [withImages('a', 'b', 'c', 'd', 'e', 'f', 'g'), withImages('a', 'b', 'c', 'd', 'e', 'f', 'x')];
    await bench.eventsOf(bench.generate(fakeGenerateSpec('m', one.ids, { vision: one.vision })));
    const events = await bench.eventsOf(bench.generate(fakeGenerateSpec('m', other.ids, { vision: other.vision })));
    expect(cachedOf(events)).toBe(19);
    expect(bench.model().calls.filter((call) => call === 'encode x')).toHaveLength(1);
  });
});

describe('choices of one request', () => {
  it('share the prompt of the first', async () => {
    const bench = await keeping();
    const choices = [{ sampling: greedy }, { sampling: greedy }, { sampling: greedy }];
    const ids = [...system, ...system, 50];
    const events = await bench.eventsOf(bench.generate(fakeGenerateSpec('m', ids, { choices, tokensMax: 2 })));
    expect([0, 1, 2].map((choice) => idsOf(events, choice))).toEqual([
      [51, 52],
      [51, 52],
      [51, 52],
    ]);
    // None of it was known before: the prompt is counted once, and so is what was computed of it.
    expect(cachedOf(events)).toBe(0);
    const nComputed = bench
      .model()
      .calls.flatMap((call) => /^forward \d+\+(\d+)/.exec(call)?.[1] ?? [])
      .reduce((sum, n) => sum + Number(n), 0);
    expect(nComputed).toBe(81 + 1 + 1);
  });
});

describe('a prefix in the way', () => {
  it('makes room for a request that needs it', async () => {
    const bench = await keeping({ kvTokens: 80, contextMax: 80 });
    await bench.eventsOf(bench.generate(fakeGenerateSpec('m', [...system, 50])));
    const events = await bench.eventsOf(bench.generate(fakeGenerateSpec('m', [90], { tokensMax: 79 })));
    expect(idsOf(events)).toHaveLength(79);
    const back = await bench.eventsOf(bench.generate(fakeGenerateSpec('m', [...system, 50])));
    expect(cachedOf(back)).toBe(40);
  });

  it('makes room for a sequence driven by hand', async () => {
    const bench = await keeping({ kvTokens: 80, contextMax: 80 });
    await bench.eventsOf(bench.generate(fakeGenerateSpec('m', [...system, 50])));
    const ids = Int32Array.of(1);
    const job = { kind: 'prefill', modelId: 'm', sequence: 's', nTokensMax: 80, ids, offset: 0, vision: null } as const;
    await expect(bench.job({ ...job, output: 'last' })).resolves.toHaveLength(bench.model().nLogits);
  });
});

describe('a prompt that is cancelled halfway', () => {
  it('leaves what it computed to one that waits already', async () => {
    const bench = await keeping();
    const ids = [...system, ...system, 50];
    const jobId = bench.generate(fakeGenerateSpec('m', ids));
    bench.onTake = () => {
      if (!bench.model().calls.includes('forward 32+8 none')) return;
      bench.onTake = () => {};
      bench.send({ kind: 'cancel', jobId });
    };
    const events = await bench.eventsOf(bench.generate(fakeGenerateSpec('m', ids)));
    expect(cachedOf(events)).toBe(40);
    expect(idsOf(events)).toEqual([51, 52, 53, 54]);
  });
});
