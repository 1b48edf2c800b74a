import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import type { PixelJob } from './pixel-job.ts';
import { PixelPool } from './pixel-pool.ts';

/** Answers a job with its `meta` as the image; the words `die` and `wait` in its place do what they say. */
const program = `
  const { parentPort } = require('node:worker_threads');
  parentPort.on('message', ({ meta }) => {
    if (meta === 'die') throw new Error('out of memory');
    if (meta === 'exit') process.exit(3);
    if (meta !== 'wait') parentPort.postMessage({ kind: 'prepared', image: meta });
  });
`;

const job = (meta: string): PixelJob => ({ image: {}, meta }) as unknown as PixelJob;

let pool: PixelPool;
const names: string[] = [];
const start = (threadsMax: number): PixelPool => {
  names.length = 0;
  pool = new PixelPool({ threadsMax, queueMax: 10 }, (name) => {
    names.push(name);
    return new Worker(program, { eval: true, name });
  });
  return pool;
};
afterEach(() => pool.close());

describe('PixelPool', () => {
  it('starts threads as work asks for them, and no more than allowed', async () => {
    start(2);
    expect(names).toEqual([]);
    await pool.run(job('a'));
    expect(names).toEqual(['pixels-0']);
    expect(await Promise.all(['b', 'c', 'd', 'e'].map((meta) => pool.run(job(meta))))).toEqual(['b', 'c', 'd', 'e']);
    expect(names).toEqual(['pixels-0', 'pixels-1']);
  });

  it.each([
    ['die', /image thread died: out of memory/],
    ['exit', /image thread died: exit code 3/],
  ])('fails only the job of a thread that dies (%s), and starts another', async (end, message) => {
    start(1);
    const results = await Promise.allSettled([pool.run(job('a')), pool.run(job(end)), pool.run(job('b'))]);
    expect(results).toMatchObject([
      { status: 'fulfilled', value: 'a' },
      { status: 'rejected', reason: { code: 'internal_error', message: expect.stringMatching(message) as string } },
      { status: 'fulfilled', value: 'b' },
    ]);
    expect(names).toEqual(['pixels-0', 'pixels-1']);
  });

  it('lets a waiting job leave the queue and an abandoned one keep only its own thread', async () => {
    start(2);
    const client = new AbortController();
    const running = pool.run(job('wait'), client.signal);
    const other = pool.run(job('wait'));
    const waiting = pool.run(job('a'), client.signal);
    const settled = Promise.allSettled([running, waiting, other]);
    client.abort(new Error('left'));
    await expect(running).rejects.toThrow('left');
    await expect(waiting).rejects.toThrow('left');
    await pool.close();
    expect((await settled).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
  });
});
