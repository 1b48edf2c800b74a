import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FakeHost, fakeLoadSpec, type FakeModel, type FakeModelPlan } from '../../../test/fake-device-host.ts';
import { PrefixCache, type RunningPrefix } from './prefix-cache.ts';
import { PrefixText } from './prefix-text.ts';

const endOfTurn = 1;
const isControl = (id: number): boolean => id === endOfTurn;

interface Bench {
  readonly model: FakeModel;
  readonly cache: PrefixCache;
  /** Opens and computes a whole prompt, stopping at its boundaries. */
  run(ids: readonly number[], nTokensMax?: number): RunningPrefix;
}

const computeTo = (model: FakeModel, cache: PrefixCache, running: RunningPrefix, end: number): void => {
  while (running.room.nPast < end) {
    const from = running.room.nPast;
    const n = Math.min(end - from, cache.nUntilBoundary(running));
    model.forward(running.room, running.text.ids.slice(from, from + n), from, 'none');
    cache.computed(running);
  }
};

const bench = async (plan: Partial<FakeModelPlan> = {}, hostBytesMax: number | null = 10_000): Promise<Bench> => {
  const host = new FakeHost();
  await host.loadModel(fakeLoadSpec('m', { contextMax: 5000, kvTokens: 5000, nSlots: 3, ...plan }), () => {});
  const model = host.models.get('m')!;
  const cache = new PrefixCache(model, { hostBytesMax, isControl });
  return {
    model,
    cache,
    run: (ids, nTokensMax = ids.length + 50) => {
      const running = cache.open(new PrefixText(Int32Array.from(ids)), nTokensMax);
      if (running === null) throw new Error('no room');
      computeTo(model, cache, running, ids.length);
      return running;
    },
  };
};

/** `n` tokens of text that only this seed has, an end of turn behind them. */
const turn = (seed: number, n = 99): readonly number[] => [...Array.from({ length: n }, () => 10 + seed), endOfTurn];

const answer = ({ model }: Bench, running: RunningPrefix, ids: readonly number[]): void => {
  for (const id of ids) {
    running.text.push(id);
    model.decode([{ sequence: running.room, id }]);
  }
};

const recurrent = { stateBytes: 10 } as const;

describe.each([
  { name: 'an attention-only model', plan: {} },
  { name: 'a recurrent model', plan: recurrent },
])('prefixes of $name', ({ plan }) => {
  it('serve the next turn of a conversation in place', async () => {
    const at = await bench(plan);
    const first = at.run([...turn(1), ...turn(2), 5, 6]);
    answer(at, first, [7, 8]);
    at.cache.close(first, true);
    at.model.calls.length = 0;
    const second = at.run([...turn(1), ...turn(2), 5, 9, ...turn(3), 5]);
    expect(second.nCached).toBe(plan === recurrent ? 200 : 201);
    expect(at.model.calls.slice(0, 2)).toEqual(['reopen', `resume ${second.nCached}`]);
    expect(at.cache.nKept).toBe(0);
  });

  it('are shared by prompts that begin alike, while the first is still running', async () => {
    const at = await bench(plan);
    const first = at.run([...turn(1), ...turn(2), 5]);
    const second = at.run([...turn(1), ...turn(3), 5]);
    expect(second.nCached).toBe(100);
    expect(at.model.calls).not.toContain('reopen');
    at.cache.close(first, true);
    at.cache.close(second, true);
    const third = at.run([...turn(1), ...turn(4), 5]);
    expect(third.nCached).toBe(100);
    expect(at.cache.nKept).toBe(2);
  });

  it('found late are copied before the first step', async () => {
    const at = await bench(plan);
    const ids = [...turn(1), ...turn(2), 5];
    const [first, second] = [1, 2].map(() => at.cache.open(new PrefixText(Int32Array.from(ids)), 300)!);
    computeTo(at.model, at.cache, first!, ids.length);
    at.cache.begin(second!);
    expect(second!.nCached).toBe(plan === recurrent ? 200 : 200);
    expect(second!.room.nPast).toBe(second!.nCached);
    // Only worth it once.
    const { nCached } = second!;
    at.cache.begin(second!);
    expect(second!.nCached).toBe(nCached);
  });

  it('go to the host when others need their cells, and come back from there', async () => {
    const at = await bench({ ...plan, kvTokens: 400 });
    at.cache.close(at.run([...turn(1), ...turn(2), 5], 300), true);
    at.cache.close(at.run([...turn(3), ...turn(4), 5], 300), true);
    expect(at.model.kept.parked.size).toBe(1);
    expect(at.cache.hostBytes).toBeGreaterThanOrEqual(200);
    const again = at.run([...turn(1), ...turn(2), 5, 5], 300);
    expect(again.nCached).toBeGreaterThanOrEqual(200);
  });

  it('are given up where the host has no memory for them', async () => {
    const at = await bench({ ...plan, kvTokens: 300 });
    at.cache.close(at.run([...turn(1), 5], 150), true);
    at.model.kept.isHostFull = true;
    at.cache.close(at.run([...turn(2), 5], 290), true);
    expect(at.model.kept.onHost.size).toBe(0);
    expect(at.cache.hostBytes).toBe(0);
    expect(at.run([...turn(1), 6], 290).nCached).toBe(0);
  });

  it('are taken over where they lie though they leave no room for a copy', async () => {
    const at = await bench({ ...plan, kvTokens: 400 }, plan === recurrent ? 20 : 0);
    at.cache.close(at.run([...turn(1), ...turn(2), 5], 250), true);
    const again = at.run([...turn(1), ...turn(2), 5, 6, 7], 400);
    expect(again.nCached).toBeGreaterThanOrEqual(200);
    expect(at.model.calls).toContain('reopen');
  });

  it('of what was cancelled halfway are kept as far as they go', async () => {
    const at = await bench(plan);
    const ids = [...turn(1), ...turn(2), ...turn(3), 5];
    const running = at.cache.open(new PrefixText(Int32Array.from(ids)), 400)!;
    computeTo(at.model, at.cache, running, 250);
    at.cache.close(running, true);
    expect(at.run(ids).nCached).toBe(250);
  });

  it('of what has failed are not kept', async () => {
    const at = await bench(plan);
    at.cache.close(at.run([...turn(1), 5]), false);
    expect([at.cache.nKept, at.model.kept.onHost.size, at.model.sequences.size]).toEqual([0, 0, 0]);
  });

  it('are not kept at all when that is off', async () => {
    const at = await bench(plan, null);
    at.cache.close(at.run([...turn(1), 5]), true);
    expect(at.run([...turn(1), 5]).nCached).toBe(0);
    expect([at.cache.nKept, at.model.kept.onHost.size]).toEqual([0, 0]);
  });

  it('never take from a running sequence what it has, nor give room that is not there', async () => {
    const at = await bench({ ...plan, kvTokens: 300 });
    const running = at.run([...turn(1), 5], 200);
    expect(at.cache.open(new PrefixText(Int32Array.from([...turn(1), 5])), 200)).toBeNull();
    expect(running.room.nPast).toBe(101);
    expect(at.cache.openBlank(200)).toBeNull();
    at.cache.close(running, true);
    expect(at.cache.openBlank(300)).not.toBeNull();
  });
});

describe('states', () => {
  it('of a prefix that others have too are saved once', async () => {
    const at = await bench(recurrent);
    const ids = [...turn(1), ...turn(2), 5];
    const [first, second] = [1, 2].map(() => at.cache.open(new PrefixText(Int32Array.from(ids)), 300)!);
    computeTo(at.model, at.cache, first!, ids.length);
    computeTo(at.model, at.cache, second!, ids.length);
    expect(at.model.kept.onHost.size).toBe(2);
    at.cache.close(first!, true);
    at.cache.close(second!, false);
    expect(at.model.kept.onHost.size).toBe(2);
  });

  it('beyond the budget push out the least recently used, and with them what nothing can go on from', async () => {
    const at = await bench(recurrent, 20);
    for (const seed of [1, 2, 3]) at.cache.close(at.run([...turn(seed), 5]), true);
    expect(at.cache.hostBytes).toBe(20);
    expect(at.cache.nKept).toBe(2);
    expect(at.run([...turn(1), 5]).nCached).toBe(0);
  });
});

interface Act {
  readonly kind: 'open' | 'compute' | 'answer' | 'close' | 'fail' | 'begin';
  readonly n: number;
  readonly turns: readonly number[];
}

/** Whatever happens: pasts are of the right tokens (the fake model checks states and cells), budgets hold, nothing leaks. */
const brokenRules = async (plan: Partial<FakeModelPlan>, hostBytesMax: number, acts: readonly Act[]) => {
  const at = await bench({ kvTokens: 600, ...plan }, hostBytesMax);
  const { model, cache } = at;
  const open: RunningPrefix[] = [];
  const broken: string[] = [];
  const must = (holds: boolean, rule: string): void => void (holds || broken.push(rule));
  const pick = (n: number): RunningPrefix | undefined => open[n % Math.max(open.length, 1)];
  for (const { kind, n, turns } of acts) {
    const running = pick(n);
    if (kind === 'open') {
      const ids = Int32Array.from([...turns.flatMap((seed) => turn(seed, 30)), 5]);
      const opened = cache.open(new PrefixText(ids), ids.length + 20);
      if (opened !== null) {
        must(opened.nCached < ids.length, 'a token is left to run');
        must(opened.room.nPast === opened.nCached, 'what is cached is there');
        open.push(opened);
      }
    } else if (running !== undefined) {
      const { nPrompt, room, text } = running;
      if (kind === 'begin' && room.nPast === running.nCached) cache.begin(running);
      if (kind === 'compute') computeTo(model, cache, running, Math.min(nPrompt, room.nPast + n));
      if (kind === 'answer' && room.nPast === text.length && room.nPast < room.nTokensMax)
        answer(at, running, [40 + (n % 3)]);
      if (kind === 'close' || kind === 'fail') {
        cache.close(running, kind === 'close');
        open.splice(open.indexOf(running), 1);
      }
    }
    for (const { room, text } of open) {
      const { ids } = room as unknown as { readonly ids: readonly number[] };
      must(String(ids) === String(text.ids.slice(0, room.nPast)), 'cells are of the text');
    }
    must(cache.hostBytes <= hostBytesMax, 'the budget holds');
    must(model.nFree >= 0, 'cells are not given twice');
  }
  for (const running of open) cache.close(running, false);
  cache[Symbol.dispose]();
  must(model.kept.parked.size + model.kept.onHost.size + model.sequences.size === 0, 'everything is given back');
  return broken;
};

describe('a prefix cache', () => {
  const act = fc.record({
    kind: fc.constantFrom(
      'open' as const,
      'open' as const,
      'compute' as const,
      'compute' as const,
      'answer' as const,
      'close' as const,
      'fail' as const,
      'begin' as const,
    ),
    n: fc.integer({ min: 0, max: 200 }),
    turns: fc.array(fc.integer({ min: 1, max: 2 }), { minLength: 1, maxLength: 5 }),
  });

  it.each([
    { name: 'attention only', plan: {} },
    { name: 'recurrent', plan: recurrent },
  ])('mixes no pasts, keeps its budget and leaks nothing, whatever happens ($name)', async ({ plan }) => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(0, 40, 400), fc.array(act, { maxLength: 60 }), async (hostBytesMax, acts) => {
        expect(await brokenRules(plan, hostBytesMax, acts)).toEqual([]);
      }),
    );
  });
});
