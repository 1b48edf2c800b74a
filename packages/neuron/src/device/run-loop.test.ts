import { describe, expect, it } from 'vitest';
import { fakeEosId, fakeGenerateSpec, fakeImage, fakeLoadSpec, greedy, oddImage } from '../../test/fake-device-host.ts';
import { compileConstraint } from '../sampling/grammar/compile-constraint.ts';
import { Bench, causesOf, idsOf, withImages } from '../../test/run-loop-bench.ts';

const prompt = (length: number, lastId = 0): number[] => [...Array.from({ length: length - 1 }, () => 0), lastId];
describe('a generation', () => {
  it('prefills in chunks, decodes, and accounts for itself', async () => {
    const bench = await Bench.with();
    const events = await bench.eventsOf(bench.generate(fakeGenerateSpec('m', prompt(20, 50), { tokensMax: 3 })));
    expect(bench.model().calls).toEqual([
      'forward 0+8 none',
      'forward 8+8 none',
      'forward 16+4 last',
      'decode 1',
      'decode 1',
    ]);
    expect(events.map(({ kind }) => kind)).toEqual([
      'admitted',
      'prefill',
      'prefill',
      'prefill',
      'token',
      'token',
      'token',
      'finished',
      'done',
    ]);
    expect(idsOf(events)).toEqual([51, 52, 53]);
    expect(events[2]).toEqual({ kind: 'prefill', done: 16, total: 20 });
    expect(events.at(-1)).toMatchObject({ nPromptTokens: 20, nCachedTokens: 0, nGenerated: 3 });
    expect(bench.model().sequences.size).toBe(0);
  });

  it('ends a choice at an end token, which it keeps to itself', async () => {
    const bench = await Bench.with({ after: { 51: fakeEosId } });
    const events = await bench.eventsOf(bench.generate(fakeGenerateSpec('m', [50], { tokensMax: 30 })));
    expect(idsOf(events)).toEqual([51]);
    expect(causesOf(events)).toEqual(['eos']);
  });

  it('ends a choice when its room is full', async () => {
    const bench = await Bench.with({ contextMax: 10 });
    const events = await bench.eventsOf(bench.generate(fakeGenerateSpec('m', prompt(8, 50), { tokensMax: 99 })));
    expect(idsOf(events)).toEqual([51, 52, 53]);
    expect(causesOf(events)).toEqual(['length']);
    const whole = await bench.eventsOf(bench.generate(fakeGenerateSpec('m', prompt(10, 50), { tokensMax: 99 })));
    expect(idsOf(whole)).toEqual([51]);
  });

  it('samples no token when none is asked for', async () => {
    const bench = await Bench.with();
    const events = await bench.eventsOf(bench.generate(fakeGenerateSpec('m', [1], { tokensMax: 0 })));
    expect(idsOf(events)).toEqual([]);
    expect(causesOf(events)).toEqual(['length']);
  });

  it('refuses a prompt one token over the context, before any work', async () => {
    const bench = await Bench.with({ contextMax: 10 });
    const refused = bench.eventsOf(bench.generate(fakeGenerateSpec('m', prompt(11))));
    await expect(refused).rejects.toMatchObject({ code: 'context_length_exceeded', facts: { limit: 10, got: 11 } });
    for (const spec of [fakeGenerateSpec('m', []), fakeGenerateSpec('m', [1], { choices: [] })]) {
      await expect(bench.eventsOf(bench.generate(spec))).rejects.toMatchObject({ code: 'invalid_request' });
    }
    expect(bench.model().calls).toEqual([]);
  });

  it('decodes its choices together, each by its own sampler', async () => {
    const bench = await Bench.with();
    const biased = { ...greedy, logitBias: [[99, 100]] as const };
    const choices = [{ sampling: greedy }, { sampling: biased }];
    const events = await bench.eventsOf(bench.generate(fakeGenerateSpec('m', [50], { choices, tokensMax: 3 })));
    expect(idsOf(events, 0)).toEqual([51, 52, 53]);
    expect(idsOf(events, 1)).toEqual([99, 99, 99]);
    expect(bench.model().calls.filter((call) => call === 'decode 2')).not.toHaveLength(0);
  });

  it('posts once a step, however many choices there are', async () => {
    const bench = await Bench.with();
    const choices = [{ sampling: greedy }, { sampling: greedy }, { sampling: greedy }];
    const jobId = bench.generate(fakeGenerateSpec('m', [50], { choices, tokensMax: 5 }));
    await bench.eventsOf(jobId);
    const nPosts = bench.posted.filter((message) => message.kind === 'events').length;
    expect(nPosts).toBeLessThanOrEqual(bench.model().calls.length);
  });

  it('reports log-probabilities when asked', async () => {
    const bench = await Bench.with();
    const events = await bench.eventsOf(bench.generate(fakeGenerateSpec('m', [50], { tokensMax: 1, nTopLogprobs: 2 })));
    const [token] = events.flatMap((event) => (event.kind === 'token' ? [event.token] : []));
    expect(token?.top.map(({ id }) => id)).toEqual([51, 0]);
    expect(token?.logprob).toBe(token?.top[0]?.logprob);
  });

  it('stops a choice on request and lets the others go on', async () => {
    const bench = await Bench.with({ after: { 9: 9 } });
    const choices = [{ sampling: greedy }, { sampling: greedy }];
    const jobId = bench.generate(fakeGenerateSpec('m', [9], { choices, tokensMax: 12 }));
    bench.onTake = () => {
      if (idsOf(bench.events(jobId), 0).length !== 4) return;
      bench.onTake = () => {};
      bench.send({ kind: 'stop_choice', jobId, choice: 0 });
    };
    const events = await bench.eventsOf(jobId);
    expect(idsOf(events, 0)).toHaveLength(4);
    expect(idsOf(events, 1)).toHaveLength(12);
    expect(causesOf(events)).toEqual(['stopped', 'length']);
  });

  it('is gone before the next step when it is cancelled', async () => {
    const bench = await Bench.with({ after: { 9: 9 }, nSlots: 1 });
    const jobId = bench.generate(fakeGenerateSpec('m', [9], { tokensMax: 60 }));
    const next = bench.generate(fakeGenerateSpec('m', [50], { tokensMax: 1 }));
    let nCalls = 0;
    bench.onTake = () => {
      if (idsOf(bench.events(jobId)).length !== 4) return;
      bench.onTake = () => {};
      nCalls = bench.model().calls.length;
      bench.send({ kind: 'cancel', jobId });
    };
    await bench.eventsOf(next);
    expect(bench.model().calls.slice(nCalls)).toEqual(['forward 0+1 last']);
    expect(idsOf(bench.events(jobId))).toHaveLength(4);
    expect(bench.model().sequences.size).toBe(0);
  });
});

describe('constrained output', () => {
  it('ends once it is complete and nothing but an end may follow', async () => {
    const bench = await Bench.with();
    const constraint = compileConstraint({
      kind: 'json_schema',
      schema: { const: 'ab' },
      startAfter: null,
    });
    const events = await bench.eventsOf(bench.generate(fakeGenerateSpec('m', [50], { constraint, tokensMax: 30 })));
    expect(String.fromCharCode(...idsOf(events)).trim()).toBe('"ab"');
    expect(causesOf(events)).toEqual(['eos']);
  });
});

describe('reasoning', () => {
  it('is ended where its budget is spent, in the middle of what was guessed too', async () => {
    const bench = await Bench.with();
    const thinking = { tokensMax: 2, opening: null, endings: [[70]] } as const;
    const events = await bench.eventsOf(bench.generate(fakeGenerateSpec('m', [50], { thinking, tokensMax: 5 })));
    expect(idsOf(events)).toEqual([51, 52, 70, 71, 72]);
  });
});

describe('images', () => {
  it('are encoded once for all choices, before the prompt, and freed after it', async () => {
    const bench = await Bench.with();
    const { ids, vision } = withImages('a', 'b');
    const choices = [{ sampling: greedy }, { sampling: greedy }];
    const events = await bench.eventsOf(bench.generate(fakeGenerateSpec('m', ids, { vision, choices, tokensMax: 2 })));
    const calls = bench.model().calls.filter((call) => !call.startsWith('decode'));
    expect(calls).toEqual(['encode a', 'encode b', 'forward 0+7 last', 'forward 0+7 last']);
    expect(idsOf(events, 1)).toEqual([6, 7]);
    expect(bench.model().nEmbeds).toBe(0);
  });

  it('are freed when their request is cancelled before its prompt is done', async () => {
    const bench = await Bench.with();
    const { ids, vision } = withImages('a', 'b');
    const jobId = bench.generate(fakeGenerateSpec('m', ids, { vision }));
    bench.onTake = () => {
      if (bench.model().nEmbeds !== 1) return;
      bench.onTake = () => {};
      bench.send({ kind: 'cancel', jobId });
    };
    await bench.eventsOf(bench.generate(fakeGenerateSpec('m', [1])));
    expect(bench.model().calls).not.toContain('encode b');
    expect(bench.model().nEmbeds).toBe(0);
  });

  it('are freed when their request is cancelled half-way through the tower', async () => {
    const bench = await Bench.with({ imagePieces: 3 });
    const { ids, vision } = withImages('a');
    const jobId = bench.generate(fakeGenerateSpec('m', ids, { vision }));
    bench.onTake = () => {
      if (bench.model().calls.length !== 2) return;
      bench.onTake = () => {};
      bench.send({ kind: 'cancel', jobId });
    };
    await bench.eventsOf(bench.generate(fakeGenerateSpec('m', [1], { tokensMax: 1 })));
    expect(bench.model().calls).toEqual(['encode a', 'encode a', 'forward 0+1 last']);
    expect(bench.model().nEmbeds).toBe(0);
  });

  it('fail their own request on a model without a tower', async () => {
    const bench = await Bench.with({ hasVision: false });
    const { ids, vision } = withImages('a');
    await expect(bench.eventsOf(bench.generate(fakeGenerateSpec('m', ids, { vision })))).rejects.toMatchObject({
      code: 'vision_unsupported',
    });
    const image = bench.job({ kind: 'encode_image', modelId: 'm', image: fakeImage('a') });
    await expect(image).rejects.toMatchObject({ code: 'vision_unsupported' });
    expect(bench.model().sequences.size).toBe(0);
  });

  it('fail their own request where the tower makes another number of tokens', async () => {
    const bench = await Bench.with();
    const { ids, vision } = withImages('a', oddImage);
    const refused = bench.eventsOf(bench.generate(fakeGenerateSpec('m', ids, { vision })));
    await expect(refused).rejects.toThrow('the tower made 3 tokens of an image planned as 2');
    expect(bench.model().nEmbeds).toBe(0);
    expect(bench.model().sequences.size).toBe(0);
  });
});

describe('scheduling', () => {
  it('lets a running answer have a token for every piece of an image, and no other prompt', async () => {
    const bench = await Bench.with({ after: { 9: 9 }, imagePieces: 3 });
    const { ids, vision } = withImages('a');
    const running = bench.generate(fakeGenerateSpec('m', [9], { tokensMax: 6 }));
    const pictured = bench.generate(
      fakeGenerateSpec('m', ids, { vision, tokensMax: 1, caller: { client: 'one', priority: 0 } }),
    );
    const other = bench.generate(fakeGenerateSpec('m', [1], { tokensMax: 1, caller: { client: 'two', priority: 0 } }));
    await Promise.all([running, pictured, other].map((jobId) => bench.eventsOf(jobId)));
    const [first, ...rest] = bench.model().calls;
    expect(first).toBe('forward 0+1 last');
    expect(rest.slice(0, 6)).toEqual(['decode 1', 'encode a', 'decode 1', 'encode a', 'decode 1', 'encode a']);
  });

  it('lets a running answer have a token for every chunk of another prompt', async () => {
    const bench = await Bench.with({ after: { 9: 9 } });
    const running = bench.generate(fakeGenerateSpec('m', [9], { tokensMax: 40 }));
    bench.onTake = () => {
      if (idsOf(bench.events(running)).length !== 3) return;
      bench.onTake = () => {};
      bench.generate(fakeGenerateSpec('m', prompt(32, 50), { tokensMax: 1 }));
    };
    await bench.eventsOf(running);
    const { calls } = bench.model();
    const first = calls.indexOf('forward 0+8 none');
    expect(calls.slice(first, first + 7)).toEqual([
      'forward 0+8 none',
      'decode 1',
      'forward 8+8 none',
      'decode 1',
      'forward 16+8 none',
      'decode 1',
      'forward 24+8 last',
    ]);
  });

  it('admits in order: none overtakes one that needs more room', async () => {
    const bench = await Bench.with({ kvTokens: 20 });
    const first = bench.generate(fakeGenerateSpec('m', prompt(8), { tokensMax: 4 }));
    const large = bench.generate(fakeGenerateSpec('m', prompt(8), { tokensMax: 8 }));
    const small = bench.generate(fakeGenerateSpec('m', [1], { tokensMax: 1 }));
    await Promise.all([first, large, small].map((jobId) => bench.eventsOf(jobId)));
    const order = bench.posted.flatMap((message) =>
      message.kind === 'events' && message.events.some(({ kind }) => kind === 'admitted') ? [message.jobId] : [],
    );
    expect(order).toEqual([first, large, small]);
    const doneAt = bench.posted.findIndex(
      (m) => m.kind === 'events' && m.jobId === first && m.events.at(-1)?.kind === 'done',
    );
    const largeAt = bench.posted.findIndex((m) => m.kind === 'events' && m.jobId === large);
    expect(largeAt).toBeGreaterThan(doneAt);
  });

  it('computes prompts of several clients by turns, and begins with those who have least', async () => {
    const bench = await Bench.with({ nSlots: 3 });
    const ask = (client: string, length: number): number =>
      bench.generate(fakeGenerateSpec('m', prompt(length), { caller: { client, priority: 0 }, tokensMax: 1 }));
    const jobs = [ask('a', 40), ask('a', 40), ask('a', 40), ask('b', 9)];
    const doneAt = async (jobId: number): Promise<number> => {
      await bench.eventsOf(jobId);
      return bench.posted.findIndex(
        (message) => message.kind === 'events' && message.jobId === jobId && message.events.at(-1)?.kind === 'done',
      );
    };
    const [first, , , other] = await Promise.all(jobs.map((jobId) => doneAt(jobId)));
    expect(other).toBeLessThan(first!);
  });

  it('computes an urgent prompt before what is left of another, also of the same client', async () => {
    const bench = await Bench.with();
    const ask = (priority: number, length: number): number =>
      bench.generate(fakeGenerateSpec('m', prompt(length), { caller: { client: 'a', priority }, tokensMax: 1 }));
    const long = ask(0, 60);
    bench.onTake = () => {
      if (bench.model().calls.length !== 2) return;
      bench.onTake = () => {};
      ask(3, 12);
    };
    await bench.eventsOf(long);
    const starts = bench.model().calls.map((call) => call.split(' ')[1]);
    expect(starts.slice(0, 5)).toEqual(['0+8', '8+8', '0+8', '8+4', '16+8']);
  });

  it('answers overloaded when too many wait', async () => {
    const bench = await Bench.with({}, 2);
    const choices = [{ sampling: greedy }, { sampling: greedy }, { sampling: greedy }];
    const refused = bench.eventsOf(bench.generate(fakeGenerateSpec('m', [1], { choices })));
    await expect(refused).rejects.toMatchObject({ code: 'overloaded' });
  });

  it('goes on stepping while another model loads, and takes turns with it after', async () => {
    const bench = await Bench.with({ after: { 9: 9 }, stepMs: 1, contextMax: 600, kvTokens: 600 });
    const running = bench.generate(fakeGenerateSpec('m', [9], { tokensMax: 500 }));
    await bench.job({ kind: 'load', spec: fakeLoadSpec('n', { loadMs: 20 }) });
    const nDuringLoad = idsOf(bench.events(running)).length;
    const other = await bench.eventsOf(bench.generate(fakeGenerateSpec('n', [50], { tokensMax: 4 })));
    const nAfter = idsOf(bench.events(running)).length;
    expect(idsOf(other)).toEqual([51, 52, 53, 54]);
    // Neither waited for the other to end.
    expect(nDuringLoad).toBeGreaterThan(0);
    expect(nAfter).toBeGreaterThan(nDuringLoad);
    expect(nAfter).toBeLessThan(500);
    bench.send({ kind: 'cancel', jobId: running });
  });

  it('counts what runs and waits', async () => {
    const bench = await Bench.with({ nSlots: 1 });
    const jobs = [1, 2, 3].map((id) => bench.generate(fakeGenerateSpec('m', [id])));
    await Promise.all(jobs.map((jobId) => bench.eventsOf(jobId)));
    const counts = bench.posted.flatMap((message) => (message.kind === 'activity' ? message.models : []));
    expect(counts).toContainEqual(expect.objectContaining({ modelId: 'm', inFlight: 1, queueDepth: 2 }));
    await bench.job({ kind: 'memory' });
    const last = bench.posted.findLast((message) => message.kind === 'activity')?.models[0];
    expect(last).toMatchObject({ inFlight: 0, queueDepth: 0 });
    expect(last?.tokSPrefill).toBeGreaterThan(0);
  });
});

const hidden = (ids: readonly number[]) => fakeGenerateSpec('m', ids, { output: 'hidden', tokensMax: 0 });

describe('a hidden state', () => {
  it('is what a prompt ends in, in its turn among answers, and leaves nothing behind', async () => {
    const bench = await Bench.with({ after: { 9: 9 } }, 100, { prefixHostBytesMax: 1000 });
    const running = bench.generate(fakeGenerateSpec('m', [9], { tokensMax: 40 }));
    let asked = -1;
    bench.onTake = () => {
      if (idsOf(bench.events(running)).length !== 3) return;
      bench.onTake = () => {};
      asked = bench.generate(hidden(prompt(20, 50)));
    };
    await bench.eventsOf(running);
    const { calls } = bench.model();
    const first = calls.indexOf('forward 0+8 none');
    expect(calls.slice(first, first + 5)).toEqual([
      'forward 0+8 none',
      'decode 1',
      'forward 8+8 none',
      'decode 1',
      'forward 16+4 hidden',
    ]);
    const events = await bench.eventsOf(asked);
    expect(events).toContainEqual({ kind: 'hidden', choice: 0, vector: new Float32Array([50, 50]) });
    expect(events.at(-1)).toMatchObject({ kind: 'done', nPromptTokens: 20, nGenerated: 0, nCachedTokens: 0 });
    // What the answer computed is kept, the hidden state's prompt is not.
    expect([...bench.model().kept.parked].map(({ nTokens }) => nTokens)).toEqual([40]);
  });

  it('is the same whatever is kept: nothing is taken over for it', async () => {
    const bench = await Bench.with({}, 100, { prefixHostBytesMax: 1000 });
    await bench.eventsOf(bench.generate(fakeGenerateSpec('m', prompt(30, 50))));
    await bench.eventsOf(bench.generate(hidden(prompt(30, 50))));
    expect(bench.model().calls.slice(-4)).toEqual([
      'forward 0+8 none',
      'forward 8+8 none',
      'forward 16+8 none',
      'forward 24+6 hidden',
    ]);
  });
});

describe('failures', () => {
  it('of sampling end their own request only', async () => {
    const bench = await Bench.with({ failures: { 9: 'nan' } });
    const [bad, good] = [bench.generate(fakeGenerateSpec('m', [8])), bench.generate(fakeGenerateSpec('m', [50]))];
    await expect(bench.eventsOf(bad)).rejects.toMatchObject({ code: 'internal_error' });
    expect(idsOf(await bench.eventsOf(good))).toEqual([51, 52, 53, 54]);
  });

  it('of a step end the requests in it, and free their room', async () => {
    const bench = await Bench.with({ failures: { 9: 'throw', 30: 'throw' } });
    await expect(bench.eventsOf(bench.generate(fakeGenerateSpec('m', [9])))).rejects.toThrow('token 9 fails');
    const both = [bench.generate(fakeGenerateSpec('m', [28])), bench.generate(fakeGenerateSpec('m', [60]))];
    await Promise.all(both.map((jobId) => expect(bench.eventsOf(jobId)).rejects.toThrow('token 30 fails')));
    expect(bench.model().sequences.size).toBe(0);
    expect(idsOf(await bench.eventsOf(bench.generate(fakeGenerateSpec('m', [50]))))).toHaveLength(4);
  });

  it('of a request that cannot be sampled come before any work', async () => {
    const bench = await Bench.with();
    const choices = [{ sampling: { ...greedy, logitBias: [[9999, 1]] as const } }];
    const refused = bench.eventsOf(bench.generate(fakeGenerateSpec('m', [1], { choices })));
    await expect(refused).rejects.toMatchObject({ code: 'invalid_request', param: 'logit_bias' });
    expect(bench.model().calls).toEqual([]);
  });
});

describe('jobs by hand', () => {
  const ids = Int32Array.from(prompt(20, 40));
  const base = { kind: 'prefill', modelId: 'm', sequence: 's', nTokensMax: 32, vision: null } as const;

  it('prefill in chunks the model takes, and give the rows asked for', async () => {
    const bench = await Bench.with();
    const rows = (await bench.job({ ...base, ids, offset: 0, output: 'all' })) as Float32Array;
    const { nLogits } = bench.model();
    expect(rows).toHaveLength(20 * nLogits);
    expect(rows.indexOf(10, 19 * nLogits)).toBe(19 * nLogits + 41);
    expect(bench.model().calls).toEqual(['forward 0+8 all', 'forward 8+8 all', 'forward 16+4 all']);
    expect(await bench.job({ ...base, ids: ids.subarray(0, 1), offset: 20, output: 'none' })).toHaveLength(0);
    expect(await bench.job({ ...base, ids: ids.subarray(0, 1), offset: 21, output: 'hidden' })).toHaveLength(2);
  });

  it('refuse what does not continue the sequence, or does not fit', async () => {
    const bench = await Bench.with();
    await bench.job({ ...base, ids, offset: 0, output: 'none' });
    await expect(bench.job({ ...base, ids, offset: 3, output: 'none' })).rejects.toMatchObject({
      code: 'invalid_request',
    });
    await expect(bench.job({ ...base, ids, offset: 20, output: 'none' })).rejects.toMatchObject({
      code: 'context_length_exceeded',
    });
    const large = bench.job({ ...base, sequence: 't', nTokensMax: 999, ids, offset: 0, output: 'none' });
    await expect(large).rejects.toMatchObject({ code: 'overloaded' });
  });

  it('keep the images of a prompt until its last token', async () => {
    const bench = await Bench.with();
    const { ids: all, vision } = withImages('a', 'b');
    const promptIds = Int32Array.from(all);
    const job = { ...base, vision: { ...vision!, promptIds } };
    await bench.job({ ...job, ids: promptIds.subarray(0, 4), offset: 0, output: 'none' });
    expect(bench.model().nEmbeds).toBe(2);
    await bench.job({ ...job, ids: promptIds.subarray(4), offset: 4, output: 'last' });
    expect(bench.model().nEmbeds).toBe(0);
    expect(bench.model().calls.filter((call) => call.startsWith('encode'))).toHaveLength(2);
  });

  it('free their room at reset, for a request that waits for it', async () => {
    const bench = await Bench.with({ nSlots: 1 });
    await bench.job({ ...base, ids, offset: 0, output: 'none' });
    const waiting = bench.generate(fakeGenerateSpec('m', [50]));
    await bench.job({ kind: 'memory' });
    expect(bench.events(waiting)).toEqual([]);
    await bench.job({ kind: 'reset', modelId: 'm', sequence: 's' });
    expect(idsOf(await bench.eventsOf(waiting))).toEqual([51, 52, 53, 54]);
  });
});

describe('the end', () => {
  it('of a model ends what runs on it and frees it', async () => {
    const bench = await Bench.with({ after: { 9: 9 }, stepMs: 1 });
    const jobId = bench.generate(fakeGenerateSpec('m', [9], { tokensMax: 60 }));
    await bench.job({ kind: 'unload', modelId: 'm' });
    await expect(bench.eventsOf(jobId)).rejects.toMatchObject({ code: 'overloaded' });
    expect(bench.model()).toMatchObject({ isDisposed: true });
    expect(bench.model().sequences.size).toBe(0);
    await expect(bench.job({ kind: 'load', spec: fakeLoadSpec('m') })).resolves.toMatchObject({ nSlots: 4 });
    await expect(bench.job({ kind: 'load', spec: fakeLoadSpec('m') })).rejects.toMatchObject({
      code: 'model_load_failed',
    });
  });

  it('of the device waits for a load under way, and frees everything', async () => {
    const bench = await Bench.with();
    const load = bench.job({ kind: 'load', spec: fakeLoadSpec('n', { loadMs: 20 }) });
    await bench.job({ kind: 'shutdown' });
    expect(bench.host.isDisposed).toBe(false);
    await expect(load).rejects.toMatchObject({ code: 'overloaded' });
    await bench.ended;
    expect([bench.host.isDisposed, bench.model('m').isDisposed, bench.model('n').isDisposed]).toEqual([
      true,
      true,
      true,
    ]);
  });
});
