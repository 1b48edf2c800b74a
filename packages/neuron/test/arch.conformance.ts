/**
 * What every architecture must do behind `DeviceModel`, as one suite: the same tokens give the same logits however they
 * are cut, batched or placed. It compares the model with itself; the reference cases compare it with another program.
 */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CortexError } from '@cortex/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDevice } from '../src/model/device-host.ts';
import type {
  DeviceHost,
  DeviceModel,
  ImageInput,
  ModelOptions,
  ModelSequence,
  VisionPrompt,
} from '../src/model/device-model.ts';
import { Random } from '../src/sampling/random.ts';
import { mropePositions } from '../src/vision/mrope-positions.ts';
import type { GeneratedModel } from './generated-models.ts';
import { itTakesDraftsBack } from './draft.conformance.ts';
import { itGuesses } from './predictor.conformance.ts';
import { itKeepsPrefixes } from './prefix.conformance.ts';
import { PredictorReference } from './predictor-reference.ts';
import { writeCheckpoint } from './write-checkpoint.ts';

export interface ArchCase {
  readonly name: string;
  readonly model: GeneratedModel;
}

/** Logits are of the order of 1; kernels for one and for many columns add up in another order. */
const tolerance = 2e-4;
const chunks = [1, 7, 64] as const;
const nSlots = 5;

/** Largest difference; infinite where the lengths differ. */
const distance = (a: Float32Array, b: Float32Array): number =>
  a.length === b.length
    ? a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - (b[i] ?? Infinity))), 0)
    : Infinity;

/** Ordinary tokens: the generated models keep their special ones above 620. */
const textIds = (n: number, seed: number): Int32Array => {
  const random = new Random(seed);
  return Int32Array.from({ length: n }, () => Math.floor(random.next() * 600));
};

const opened = (model: DeviceModel, nTokensMax = 256): ModelSequence => {
  const sequence = model.open(nTokensMax);
  if (sequence === null) throw new Error('no slot is free');
  return sequence;
};

interface Forward {
  (sequence: ModelSequence, ids: Int32Array, offset: number): Float32Array;
}

/** Every token's logits, computed `chunk` tokens at a time in a sequence of its own. */
const logitsOf = (model: DeviceModel, ids: Int32Array, chunk: number, forward: Forward): Float32Array => {
  using sequence = opened(model);
  const logits = new Float32Array(ids.length * model.nLogits);
  for (let offset = 0; offset < ids.length; offset += chunk) {
    logits.set(forward(sequence, ids.slice(offset, offset + chunk), offset), offset * model.nLogits);
  }
  return logits;
};

const forwardAll =
  (model: DeviceModel): Forward =>
  (sequence, ids, offset) =>
    model.forward(sequence, ids, offset, 'all');

const lastRow = (model: DeviceModel, logits: Float32Array): Float32Array => logits.slice(-model.nLogits);

const describeText = (model: () => DeviceModel): void => {
  const ids = textIds(70, 1);
  let whole: Float32Array;
  beforeAll(() => {
    whole = logitsOf(model(), ids, ids.length, forwardAll(model()));
  });

  it('gives logits that tell tokens apart', () => {
    const rows = Array.from(ids, (_, i) => whole.subarray(i * model().nLogits, (i + 1) * model().nLogits));
    for (const row of rows) expect(Math.max(...row) - Math.min(...row)).toBeGreaterThan(1000 * tolerance);
    for (const row of rows.slice(1)) expect(distance(row, rows[0]!)).toBeGreaterThan(100 * tolerance);
  });

  it('gives the same logits for a prompt decoded token by token', () => {
    using sequence = opened(model());
    const logits = new Float32Array(whole.length);
    ids.forEach((id, i) => logits.set(model().decode([{ sequence, id }]), i * model().nLogits));
    expect(distance(logits, whole)).toBeLessThan(tolerance);
    expect(sequence.nPast).toBe(ids.length);
  });

  it.each(chunks)('gives the same logits in chunks of %i', (chunk) => {
    expect(distance(logitsOf(model(), ids, chunk, forwardAll(model())), whole)).toBeLessThan(tolerance);
  });

  it('gives each output form the rows that all of them have', () => {
    using sequence = opened(model());
    expect(model().forward(sequence, ids.slice(0, 30), 0, 'none')).toHaveLength(0);
    expect(distance(model().forward(sequence, ids.slice(30), 30, 'last'), lastRow(model(), whole))).toBeLessThan(
      tolerance,
    );
    using other = opened(model());
    expect(model().forward(other, ids, 0, 'hidden')).toHaveLength(model().hiddenSize);
  });

  it('gives a row of a batch what the row gives alone, whatever the lengths, slots and order', () => {
    const lengths = [3, 40, 17, 64, 9];
    const prompts = lengths.map((n, i) => textIds(n, 10 + i));
    const sequences = lengths.map(() => opened(model()));
    prompts.forEach((prompt, i) => model().forward(sequences[i]!, prompt, 0, 'none'));
    // Gaps between the slots, and an order that is not theirs.
    const batch = [4, 0, 2];
    for (const i of [1, 3]) sequences[i]?.[Symbol.dispose]();
    const next = [textIds(3, 20), textIds(3, 21), textIds(3, 22)];
    const got = [0, 1, 2].map((step) =>
      model()
        .decode(batch.map((i, row) => ({ sequence: sequences[i]!, id: next[row]?.[step] ?? 0 })))
        .slice(),
    );
    for (const i of batch) sequences[i]?.[Symbol.dispose]();
    batch.forEach((i, row) => {
      const alone = Int32Array.of(...(prompts[i] ?? []), ...(next[row] ?? []));
      const wanted = logitsOf(model(), alone, alone.length, forwardAll(model())).slice(-3 * model().nLogits);
      const rows = got.map((logits) => logits.slice(row * model().nLogits, (row + 1) * model().nLogits));
      rows.forEach((logits, step) =>
        expect(distance(logits, wanted.subarray(step * model().nLogits, (step + 1) * model().nLogits))).toBeLessThan(
          tolerance,
        ),
      );
    });
  });

  it('gives rows of a batch what they give alone where a short one and a long one end the cache', () => {
    const prompts = [textIds(5, 40), textIds(300, 41)];
    const next = (sequences: readonly ModelSequence[]): Float32Array =>
      model()
        .decode(sequences.map((sequence) => ({ sequence, id: 7 })))
        .slice();
    const alone = prompts.map((prompt) => {
      using sequence = opened(model(), 512);
      model().forward(sequence, prompt, 0, 'none');
      return next([sequence]);
    });
    using before = opened(model(), 512 * (nSlots - 1) - 256);
    using short = opened(model(), 256);
    using long = opened(model(), 512);
    const sequences = [short, long];
    sequences.forEach((sequence, i) => model().forward(sequence, prompts[i]!, 0, 'none'));
    const rows = next(sequences);
    expect(before.nPast).toBe(0);
    alone.forEach((wanted, i) =>
      expect(distance(rows.slice(i * model().nLogits, (i + 1) * model().nLogits), wanted)).toBeLessThan(tolerance),
    );
  });

  it('leaves the logits of each step where those of the one before were', () => {
    using a = opened(model());
    using b = opened(model());
    for (const sequence of [a, b]) model().forward(sequence, ids.slice(0, 9), 0, 'none');
    const step = (id: number): Float32Array => model().decode([b, a].map((sequence) => ({ sequence, id })));
    const first = step(3);
    const copy = first.slice();
    const second = step(4);
    expect(second.buffer).toBe(first.buffer);
    expect(distance(first, second)).toBe(0);
    expect(distance(first, copy)).toBeGreaterThan(100 * tolerance);
  });

  it('starts every slot anew after other sequences have used it', () => {
    const used = Array.from({ length: nSlots }, (_, i) => ({ sequence: opened(model()), ids: textIds(90, 30 + i) }));
    expect(model().open(16)).toBeNull();
    for (const { sequence, ids: own } of used) model().forward(sequence, own, 0, 'none');
    for (const { sequence } of used) sequence[Symbol.dispose]();
    const fresh = used.map(() => opened(model()));
    for (const sequence of fresh)
      expect(distance(model().forward(sequence, ids, 0, 'all'), whole)).toBeLessThan(tolerance);
    for (const sequence of fresh) sequence[Symbol.dispose]();
  });

  itKeepsPrefixes(
    model,
    () => ({ ids, forward: (sequence, from, to) => model().forward(sequence, ids.slice(from, to), from, 'last') }),
    tolerance,
  );

  itTakesDraftsBack(
    model,
    () => ids.slice(20, 60),
    (sequence) => model().forward(sequence, ids.slice(0, 20), 0, 'none'),
    tolerance,
  );

  it('refuses a step that does not follow, exceeds the room or comes after the end', () => {
    const sequence = opened(model(), 8);
    model().forward(sequence, ids.slice(0, 5), 0, 'none');
    expect(() => model().forward(sequence, ids.slice(0, 2), 4, 'last')).toThrow('a step at 4 after 5 tokens');
    expect(() => model().forward(sequence, ids.slice(0, 4), 5, 'last')).toThrow('4 tokens at 5 in a sequence of 8');
    sequence[Symbol.dispose]();
    expect(() => model().decode([{ sequence, id: 1 }])).toThrow('has been closed');
  });
};

const image = (h: number, w: number, seed: number): ImageInput => {
  const random = new Random(seed);
  const patches = Float32Array.from({ length: h * w * 768 }, () => 2 * random.next() - 1);
  return { grid: { h, w }, nTokens: (h * w) / 4, patches, contentHash: String(seed) };
};

/** Two images that touch, text on both sides, and a third image. */
const visionPrompt = (model: DeviceModel, images: readonly ImageInput[]): VisionPrompt => {
  const pad = model.imageTokenId ?? -1;
  const [a, b, c] = images.map(({ nTokens }) => new Int32Array(nTokens).fill(pad));
  const ids = Int32Array.of(...textIds(11, 40), ...a!, ...b!, ...textIds(20, 41), ...c!, ...textIds(9, 42));
  const grids = images.map(({ grid }) => ({ h: grid.h / 2, w: grid.w / 2 }));
  return { ids, positions: mropePositions(ids, pad, grids), embeds: images.map((each) => model.encodeImage(each)) };
};

const describeVision = (model: () => DeviceModel): void => {
  const images = [image(6, 8, 1), image(4, 4, 2), image(10, 2, 3)];
  let prompt: VisionPrompt;
  let whole: Float32Array;
  const withVision =
    (of: VisionPrompt = prompt): Forward =>
    (sequence, ids, offset) =>
      model().forwardWithVision(sequence, ids, offset, of, model().imageTokenId ?? -1, 'all');

  beforeAll(() => {
    prompt = visionPrompt(model(), images);
    whole = logitsOf(model(), prompt.ids, prompt.ids.length, withVision());
  });
  afterAll(() => {
    for (const embeds of prompt.embeds) if ('read' in embeds) embeds[Symbol.dispose]();
  });

  it.each(chunks)('gives the same logits in chunks of %i, also across images', (chunk) => {
    expect(distance(logitsOf(model(), prompt.ids, chunk, withVision()), whole)).toBeLessThan(tolerance);
  });

  it('sees which image is where', () => {
    const [a, b, c] = prompt.embeds;
    const turned = visionPrompt(model(), [images[0]!, image(4, 4, 9), images[2]!]);
    const differing = logitsOf(model(), prompt.ids, prompt.ids.length, withVision(turned));
    for (const embeds of turned.embeds) if ('read' in embeds) embeds[Symbol.dispose]();
    // Columns before the image that changed cannot know of it, those behind it must.
    const nBefore = (11 + a!.nTokens) * model().nLogits;
    expect(distance(differing.slice(0, nBefore), whole.slice(0, nBefore))).toBeLessThan(tolerance);
    expect(distance(lastRow(model(), differing), lastRow(model(), whole))).toBeGreaterThan(100 * tolerance);
    expect([a, b, c].map((embeds) => embeds?.nTokens)).toEqual([12, 4, 5]);
  });

  it('encodes an image to the same rows each time, and other images in between', () => {
    using first = model().encodeImage(images[0]!);
    using other = model().encodeImage(images[1]!);
    using again = model().encodeImage(images[0]!);
    expect(again.read()).toEqual(first.read());
    expect(first.read()).toHaveLength(12 * model().hiddenSize);
    expect(other.read()).toHaveLength(4 * model().hiddenSize);
  });

  it('encodes an image in pieces to the same rows, and one that is begun between them', () => {
    using atOnce = model().encodeImage(images[0]!);
    using encoding = model().beginImage(images[0]!);
    let nPieces = 1;
    let rows = encoding.advance(0);
    for (; rows === null; nPieces++) rows = encoding.advance(0);
    using pieced = rows;
    expect(nPieces).toBeGreaterThan(2);
    expect(pieced.read()).toEqual(atOnce.read());
    using interrupted = model().beginImage(images[0]!);
    expect(interrupted.advance(0)).toBeNull();
    using other = model().encodeImage(images[1]!);
    using between = model().encodeImage(images[1]!);
    using resumed = interrupted.advance(0);
    expect(resumed?.read()).toEqual(atOnce.read());
    expect(between.read()).toEqual(other.read());
    using _givenUp = model().beginImage(images[2]!);
  });

  it('decodes behind images at the positions they leave', () => {
    using inWhole = opened(model());
    using stepped = opened(model());
    const tail = textIds(4, 50);
    const positions = mropePositions(
      Int32Array.of(...prompt.ids, ...tail),
      model().imageTokenId ?? -1,
      images.map(({ grid }) => ({ h: grid.h / 2, w: grid.w / 2 })),
    );
    const longer = { ...prompt, ids: Int32Array.of(...prompt.ids, ...tail), positions };
    const wanted = withVision(longer)(inWhole, longer.ids, 0).slice(-tail.length * model().nLogits);
    withVision()(stepped, prompt.ids, 0);
    tail.forEach((id, i) =>
      expect(
        distance(
          model().decode([{ sequence: stepped, id }]),
          wanted.slice(i * model().nLogits, (i + 1) * model().nLogits),
        ),
      ).toBeLessThan(tolerance),
    );
  });

  it('decodes sequences with and without images in one batch', () => {
    using seeing = opened(model());
    using reading = opened(model());
    const text = textIds(33, 60);
    withVision()(seeing, prompt.ids, 0);
    model().forward(reading, text, 0, 'none');
    const both = model()
      .decode([
        { sequence: reading, id: 7 },
        { sequence: seeing, id: 8 },
      ])
      .slice();
    using alone = opened(model());
    withVision()(alone, prompt.ids, 0);
    expect(distance(both.slice(model().nLogits), model().decode([{ sequence: alone, id: 8 }]))).toBeLessThan(tolerance);
    const ids = Int32Array.of(...text, 7);
    const wanted = logitsOf(model(), ids, ids.length, forwardAll(model()));
    expect(distance(both.slice(0, model().nLogits), lastRow(model(), wanted))).toBeLessThan(tolerance);
  });

  itKeepsPrefixes(
    model,
    () => ({
      ids: prompt.ids,
      forward: (sequence, from, to) => withVision()(sequence, prompt.ids.slice(from, to), from),
    }),
    tolerance,
  );

  itTakesDraftsBack(
    model,
    () => textIds(40, 90),
    (sequence) => withVision()(sequence, prompt.ids, 0),
    tolerance,
  );

  it('needs no rows of images that a resumed past has behind it', () => {
    using sequence = opened(model());
    withVision()(sequence, prompt.ids.slice(0, 30), 0);
    const [, , last] = prompt.embeds;
    const rest = { ...prompt, embeds: [{ nTokens: 12 }, { nTokens: 4 }, last!] };
    const logits = withVision(rest)(sequence, prompt.ids.slice(30), 30);
    expect(distance(lastRow(model(), logits), lastRow(model(), whole))).toBeLessThan(tolerance);
    using early = opened(model());
    expect(() => withVision(rest)(early, prompt.ids, 0)).toThrow('image embeddings of another model');
  });

  it('answers a prompt without images as forward does', () => {
    const ids = textIds(50, 70);
    const empty = { ids, positions: mropePositions(ids, model().imageTokenId ?? -1, []), embeds: [] };
    const forward = logitsOf(model(), ids, ids.length, forwardAll(model()));
    expect(logitsOf(model(), ids, ids.length, withVision(empty))).toEqual(forward);
  });

  it('refuses image pads that are not as many as rows, with both numbers', () => {
    using sequence = opened(model());
    const fewer = { ...prompt, embeds: prompt.embeds.slice(0, 2) };
    expect(() => withVision(fewer)(sequence, prompt.ids, 0)).toThrow(
      'the prompt has 21 image pads, its images 16 rows',
    );
    const more = { ...prompt, embeds: [...prompt.embeds, prompt.embeds[0]!] };
    expect(() => withVision(more)(sequence, prompt.ids, 0)).toThrow('the prompt has 21 image pads, its images');
    // Nothing has been computed: the sequence can go on.
    expect(distance(withVision()(sequence, prompt.ids, 0), whole)).toBeLessThan(tolerance);
  });

  it('refuses patches that are not the grid they claim to be', () => {
    expect(() => model().encodeImage({ ...images[0]!, grid: { h: 8, w: 8 } })).toThrow('8×8 grid');
  });
};

const describeNoVision = (model: () => DeviceModel): void => {
  it('answers images with an error that names the model', () => {
    const unsupported = expect.objectContaining({
      name: CortexError.name,
      code: 'vision_unsupported',
      message: expect.stringContaining('acme/tiny') as string,
      facts: expect.objectContaining({ model_id: 'acme/tiny', suggestion: expect.any(String) as string }) as object,
    }) as Error;
    using sequence = opened(model());
    const ids = textIds(4, 80);
    const prompt = { ids, positions: mropePositions(ids, 632, []), embeds: [] };
    expect(() => model().encodeImage(image(4, 4, 1))).toThrow(unsupported);
    expect(() => model().forwardWithVision(sequence, ids, 0, prompt, 632, 'last')).toThrow(unsupported);
    expect(sequence.nPast).toBe(0);
    expect(model().imageTokenId).toBeNull();
  });
};

const describePredictor = (model: () => DeviceModel): void => {
  const ids = textIds(60, 90);
  itGuesses(
    model,
    () => ids.slice(20),
    (sequence) => model().forward(sequence, ids.slice(0, 20), 0, 'none'),
  );
};

const describePredictorBehindImages = (model: () => DeviceModel): void => {
  describe('behind images', () => {
    let prompt: VisionPrompt;
    beforeAll(() => {
      prompt = visionPrompt(model(), [image(6, 8, 1), image(4, 4, 2), image(10, 2, 3)]);
    });
    afterAll(() => {
      for (const embeds of prompt.embeds) if ('read' in embeds) embeds[Symbol.dispose]();
    });
    itGuesses(
      model,
      () => textIds(40, 91),
      (sequence) => model().forwardWithVision(sequence, prompt.ids, 0, prompt, model().imageTokenId ?? -1, 'none'),
    );
  });
};

const itGuessesByTheBook = (model: () => DeviceModel, dir: () => string): void => {
  it('guesses what follows from its weights in plain loops', () => {
    const reference = new PredictorReference(dir());
    const ids = textIds(14, 92);
    using sequence = opened(model());
    const hidden: Float32Array[] = [];
    for (let at = 0; at < 12; at++) {
      hidden.push(
        model()
          .forward(sequence, ids.slice(at, at + 1), at, 'hidden')
          .slice(),
      );
      const wanted = reference.guess(ids.slice(0, at + 2), hidden, 3);
      expect([...model().guess(sequence, ids[at + 1]!, 3)]).toEqual(wanted);
    }
  });
};

const itGuessesNothing = (model: () => DeviceModel): void => {
  it('are none without a predictor', () => {
    using sequence = opened(model());
    model().forward(sequence, textIds(9, 93), 0, 'last');
    expect(model().canGuess).toBe(false);
    expect(model().guess(sequence, 7, 4)).toHaveLength(0);
  });
};

/** @param name Null without a predictor. */
const suitesOfGuesses = (
  name: string | null,
  hasVision: boolean,
): readonly ((model: () => DeviceModel, dir: () => string) => void)[] => {
  if (name === null) return [itGuessesNothing];
  const behindImages = hasVision ? [describePredictorBehindImages] : [];
  // The reference is of dense models.
  const byTheBook = name.startsWith('qwen3_5_moe') ? [] : [itGuessesByTheBook];
  return [describePredictor, ...behindImages, ...byTheBook];
};

export const describeArch = ({ name, model: generated }: ArchCase): void => {
  describe(`architecture ${name}`, () => {
    let dir: string;
    let host: DeviceHost;
    let loaded: DeviceModel;
    const model = (): DeviceModel => loaded;
    beforeAll(async () => {
      dir = await mkdtemp(join(tmpdir(), 'arch-'));
      await writeCheckpoint(dir, generated);
      // One thread: on a busy machine two wait for each other at every operation of these small graphs.
      host = openDevice({ index: 0, threads: 1 });
      const options: ModelOptions = {
        modelId: 'acme/tiny',
        dir,
        weightType: 'f32',
        kvCacheType: 'f32',
        contextMax: 512,
        kvTokens: 512 * nSlots,
        nSlots,
        chunkMax: 512,
        draftMax: 16,
      };
      loaded = await host.loadModel(options, () => undefined);
    });
    afterAll(async () => {
      loaded[Symbol.dispose]();
      host[Symbol.dispose]();
      await rm(dir, { recursive: true });
    });

    it('says what it is', () => {
      const config = JSON.parse(readFileSync(join(dir, 'config.json'), 'utf8')) as { model_type: string };
      expect(config.model_type.replace(/_text$/, '')).toBe(name.split(' ')[0]);
      expect(model().hasVision).toBe(generated.hasVision);
      expect(model().nLogits).toBe(640);
      expect(model().contextMax).toBe(512);
    });
    describeText(model);
    const describeImages = generated.hasVision ? describeVision : describeNoVision;
    describe('images', () => {
      describeImages(model);
    });
    const guessing = generated.tensors.some(({ name: tensor }) => tensor.startsWith('mtp.')) ? name : null;
    describe('guesses', () => {
      suitesOfGuesses(guessing, generated.hasVision).forEach((suite) => suite(model, () => dir));
    });
  });
};
