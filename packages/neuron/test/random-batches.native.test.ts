/**
 * Sequences of any length come, grow in batches and by drafts, and go, in a cache too small for all: each row of a batch is
 * what it is alone. The order is drawn, the same at every run.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openDevice } from '../src/model/device-host.ts';
import type { DeviceModel, ModelSequence } from '../src/model/device-model.ts';
import { Random } from '../src/sampling/random.ts';
import { tinyQwen3, tinyQwen35 } from './generated-models.ts';
import { optionsOf, relativeError } from './model-exercise.ts';
import { writeCheckpoint } from './write-checkpoint.ts';

const nSteps = 800;
const nSlots = 6;
const chunkMax = 256;
const draftMax = 8;
const tolerance = 1e-4;

interface Live {
  readonly sequence: ModelSequence;
  readonly nMax: number;
  readonly ids: number[];
}

const feed = (model: DeviceModel, sequence: ModelSequence, ids: readonly number[]): Float32Array => {
  let logits = new Float32Array(0);
  for (let from = 0; from < ids.length; from += chunkMax) {
    const chunk = Int32Array.from(ids.slice(from, from + chunkMax));
    logits = model.forward(sequence, chunk, from, 'last').slice();
  }
  return logits;
};

class Crowd {
  readonly #model: DeviceModel;
  readonly #random: Random;
  readonly #live: Live[] = [];
  /** How far rows of batches were from what they are alone. */
  readonly errors: number[] = [];

  constructor(model: DeviceModel, seed: number) {
    this.#model = model;
    this.#random = new Random(seed);
  }

  step(): void {
    const lot = this.#random.next();
    if (lot < 0.15) this.#come();
    else if (lot < 0.22) this.#go();
    else if (lot < 0.3) this.#draft();
    else this.#decode();
  }

  #below(n: number): number {
    return Math.floor(this.#random.next() * n);
  }

  #idsOf(n: number): number[] {
    return Array.from({ length: n }, () => this.#below(600));
  }

  /** Short ones and long ones; who finds no room takes somebody's. */
  #come(): void {
    const nMax = this.#random.next() < 0.5 ? 2 + this.#below(254) : 256 + this.#below(900);
    const sequence = this.#model.open(nMax);
    if (sequence === null) return this.#go();
    const ids = this.#idsOf(1 + this.#below(nMax));
    feed(this.#model, sequence, ids);
    this.#live.push({ sequence, nMax, ids });
  }

  #go(): void {
    const [gone] = this.#live.splice(this.#below(this.#live.length), 1);
    gone?.sequence[Symbol.dispose]();
  }

  #draft(): void {
    const live = this.#live[this.#below(this.#live.length)];
    const ids = this.#idsOf(Math.min(2 + this.#below(draftMax - 2), (live?.nMax ?? 0) - (live?.ids.length ?? 0)));
    if (live === undefined || ids.length < 2) return;
    this.#model.draft(live.sequence, Int32Array.from(ids));
    const n = 1 + this.#below(ids.length);
    this.#model.keep(live.sequence, n);
    live.ids.push(...ids.slice(0, n));
  }

  #decode(): void {
    const rows = this.#live.filter(({ ids, nMax }) => ids.length < nMax && this.#random.next() < 0.8);
    if (rows.length === 0) return;
    // In any order: it need not be that of their slots.
    if (this.#random.next() < 0.5) rows.reverse();
    const next = this.#idsOf(rows.length);
    const logits = this.#model.decode(rows.map(({ sequence }, i) => ({ sequence, id: next[i] ?? 0 }))).slice();
    for (const [i, { ids }] of rows.entries()) ids.push(next[i] ?? 0);
    if (this.#random.next() < 0.05) this.#compare(rows, logits);
  }

  #compare(rows: readonly Live[], logits: Float32Array): void {
    const { nLogits } = this.#model;
    const i = this.#below(rows.length);
    const ids = rows[i]?.ids ?? [];
    using alone = this.#model.open(ids.length);
    if (alone === null) return;
    const wanted = feed(this.#model, alone, ids);
    this.errors.push(relativeError(logits.slice(i * nLogits, (i + 1) * nLogits), wanted));
  }
}

describe.each([
  { name: 'qwen3', generated: tinyQwen3() },
  { name: 'qwen3_5', generated: tinyQwen35({ vision: false }) },
])('$name', ({ generated }) => {
  it('gives rows of batches what they give alone, whoever else comes and goes', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'batches-'));
    try {
      await writeCheckpoint(dir, generated);
      using host = openDevice({ index: 0, threads: 1 });
      const cache = { kvCacheType: 'f32', contextMax: 2048, kvTokens: 2560, nSlots, chunkMax, draftMax } as const;
      using model = await host.loadModel(optionsOf(dir, cache), () => undefined);
      const crowd = new Crowd(model, 1);
      for (let i = 0; i < nSteps; i++) crowd.step();
      expect(crowd.errors.length).toBeGreaterThan(10);
      expect(Math.max(...crowd.errors)).toBeLessThan(tolerance);
    } finally {
      await rm(dir, { recursive: true });
    }
  }, 60_000);
});
