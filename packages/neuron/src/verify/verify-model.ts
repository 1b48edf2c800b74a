/**
 * Replays a reference model's cases through what serves requests: prompt thread, image preparation, and the device
 * worker's own jobs, once in whole and in odd chunks.
 */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { expandImagePadTokens } from '../chat/image-pads.ts';
import type { Device } from '../device/contract.ts';
import type { VisionInput } from '../device/protocol.ts';
import { loadPromptSide, type PromptSide } from '../harness/prompt-side.ts';
import { SafetensorsCheckpoint } from '../model/safetensors-checkpoint.ts';
import { mropePositions } from '../vision/mrope-positions.ts';
import { duplicateTemporal } from '../vision/patchify.ts';
import { planImageFile } from '../vision/plan-images.ts';
import { prepareImage, type PreparedImage } from '../vision/prepare-image.ts';
import { defaultVisionLimits } from '../vision/vision-limits.ts';
import { differenceOf, sameNumbers, worse, type Difference } from './compare.ts';
import { referenceCases, type ReferenceCase } from './reference.ts';
import { Findings, tolerances, type Verdict } from './verdict.ts';

const chunkSizes = [Infinity, 1, 7, 64] as const;
const continuationMax = 64;
const chunkMax = 4096;

const short = (value: number): string => value.toExponential(1);

interface Replay {
  readonly root: string;
  readonly model: string;
  readonly device: Device;
  readonly side: PromptSide;
  readonly limits: (typeof tolerances)[keyof typeof tolerances];
}

const prepareAll = async ({ root, side }: Replay, names: readonly string[]): Promise<PreparedImage[]> => {
  const { vision } = side;
  if (names.length > 0 && vision === null) throw new Error('the case has images and the model no tower');
  if (vision === null) return [];
  return Promise.all(
    names.map(async (name) => {
      const bytes = new Uint8Array(await readFile(path.join(root, 'images', name)));
      return prepareImage(await planImageFile(bytes, vision, defaultVisionLimits), vision);
    }),
  );
};

const flatGrids = (images: readonly PreparedImage[]): number[] => images.flatMap(({ grid }) => [1, grid.h, grid.w]);

/** Ids, positions, grids and pixels: exact. */
const checkInputs = (
  findings: Findings,
  { side }: Replay,
  { spec, tensors }: ReferenceCase,
  got: { text: string; ids: Int32Array; images: readonly PreparedImage[]; vision: VisionInput | null },
): void => {
  const wanted = (name: string): ArrayLike<number> => tensors.get(name)?.values ?? [];
  findings.check(got.text === spec.prompt, 'prompt');
  findings.check(
    sameNumbers(got.ids, wanted('input_ids')) && got.ids.length === spec.prompt_tokens,
    `${got.ids.length} tokens`,
  );
  if (got.vision === null) return;
  const { t, h, w, ropeDelta } = got.vision.positions;
  findings.check(sameNumbers(flatGrids(got.images), wanted('image_grid_thw')), 'grids');
  findings.check(
    sameNumbers([...t, ...h, ...w], wanted('position_ids')) && ropeDelta === (spec.rope_delta ?? ropeDelta),
    'positions',
  );
  const pixels = tensors.get('pixel_values');
  const [image] = got.images;
  if (pixels === undefined || image === undefined || side.vision === null) return;
  findings.check(sameNumbers(duplicateTemporal(image.patches, side.vision), pixels.values), 'pixels');
};

const checkEmbeds = async (
  findings: Findings,
  { device, model, limits }: Replay,
  images: readonly PreparedImage[],
  wanted: { readonly shape: readonly number[]; readonly values: ArrayLike<number> } | undefined,
): Promise<void> => {
  if (wanted === undefined) return;
  const parts: Float32Array[] = [];
  for (const image of images) parts.push(await device.run({ kind: 'encode_image', modelId: model, image }));
  const rows = Float32Array.from(parts.flatMap((part) => [...part]));
  const { maxAbs, cosine } = differenceOf(rows, wanted.values, wanted.shape[1] ?? 1);
  findings.check(
    rows.length === wanted.values.length && maxAbs <= limits.embeds && cosine >= limits.embedsCosine,
    `embeds |Δ| ${short(maxAbs)} cos ${cosine.toFixed(6)}`,
  );
};

/** Logits of every prompt token, computed `chunk` tokens at a time. */
const prefill = async (
  { device, model }: Replay,
  sequence: string,
  ids: Int32Array,
  vision: VisionInput | null,
  chunk: number,
): Promise<Float32Array> => {
  const parts: Float32Array[] = [];
  for (let offset = 0; offset < ids.length; offset += Math.min(chunk, ids.length)) {
    const rows = await device.run({
      kind: 'prefill',
      modelId: model,
      sequence,
      nTokensMax: ids.length + continuationMax,
      ids: ids.slice(offset, offset + Math.min(chunk, ids.length)),
      offset,
      // The worker keeps the images of a sequence it has opened.
      vision: vision === null || offset > 0 ? null : { ...vision, promptIds: ids },
      output: 'all',
    });
    parts.push(rows);
  }
  const all = new Float32Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
};

/** The two largest logits a server may choose from. */
const topTwo = (logits: Float32Array, banned: readonly number[]): { id: number; margin: number } => {
  let id = -1;
  let best = -Infinity;
  let second = -Infinity;
  logits.forEach((value, i) => {
    if (banned.includes(i)) return;
    if (value > best) {
      second = best;
      best = value;
      id = i;
    } else if (value > second) second = value;
  });
  return { id, margin: best - second };
};

/** Greedy decoding from the last row of `logits`, until the reference ends or a step is too close to call. */
const checkContinuation = async (
  findings: Findings,
  { device, model, side }: Replay,
  sequence: string,
  logits: Float32Array,
  { wanted, tolerance }: { readonly wanted: ArrayLike<number>; readonly tolerance: number },
): Promise<void> => {
  let row = logits;
  for (let i = 0; i < wanted.length; i++) {
    const { id, margin } = topTwo(row, side.bannedIds);
    if (id !== wanted[i]) {
      const close = margin <= 2 * tolerance;
      findings.check(close, `continuation ${i}/${wanted.length}, margin ${short(margin)}`);
      return;
    }
    if (i + 1 < wanted.length) row = await device.run({ kind: 'decode', modelId: model, sequence, id });
  }
  findings.check(true, `continuation ${wanted.length}/${wanted.length}`);
};

const replayCase = async (replay: Replay, reference: ReferenceCase): Promise<Verdict> => {
  const { device, model, side, limits } = replay;
  const { spec, tensors } = reference;
  const findings = new Findings(`${model}/${reference.name}`);
  const images = await prepareAll(replay, spec.images);
  const prompt = await side.thread.build({
    messages: spec.messages,
    tools: spec.tools ?? [],
    addGenerationPrompt: true,
    kwargs: spec.template_kwargs ?? {},
  });
  const pad = side.vision?.imageTokenId ?? -1;
  const nTokens = images.map((image) => image.nTokens);
  const ids = images.length === 0 ? prompt.ids : expandImagePadTokens(prompt.ids, pad, nTokens);
  const grids = images.map(({ mergedGrid }) => mergedGrid);
  const vision = images.length === 0 ? null : { positions: mropePositions(ids, pad, grids), images };
  checkInputs(findings, replay, reference, { text: prompt.text, ids, images, vision });
  await checkEmbeds(findings, replay, images, tensors.get('image_embeds'));

  const wanted = tensors.get('logits');
  if (wanted === undefined) throw new Error(`${model}/${reference.name} has no logits`);
  const nVocab = wanted.shape[1] ?? 1;
  const tolerance = images.length === 0 ? limits.textLogits : limits.imageLogits;
  let chunked: Difference = { maxAbs: 0, cosine: 1 };
  for (const chunk of chunkSizes) {
    const sequence = `${reference.name} by ${chunk}`;
    const logits = await prefill(replay, sequence, ids, vision, chunk);
    const difference = differenceOf(logits, wanted.values, nVocab);
    if (chunk === Infinity) {
      findings.check(
        difference.maxAbs <= tolerance && difference.cosine >= limits.logitsCosine,
        `logits |Δ| ${short(difference.maxAbs)} cos ${difference.cosine.toFixed(6)}`,
      );
      // Where the logits have no bound of their own, what they are off by here says how close is too close to call.
      const closeness = Number.isFinite(tolerance) ? tolerance : difference.maxAbs;
      const continuation = { wanted: tensors.get('continuation')?.values ?? [], tolerance: closeness };
      await checkContinuation(findings, replay, sequence, logits.slice(-nVocab), continuation);
    } else chunked = worse(chunked, difference);
    await device.run({ kind: 'reset', modelId: model, sequence });
  }
  findings.check(
    chunked.maxAbs <= tolerance && chunked.cosine >= limits.logitsCosine,
    `in chunks of ${chunkSizes.slice(1).join(', ')} |Δ| ${short(chunked.maxAbs)}`,
  );
  return findings.verdict;
};

/** Precision that the checkpoint itself has. */
const precisionOf = async (dir: string): Promise<keyof typeof tolerances> => {
  using checkpoint = await SafetensorsCheckpoint.open(dir);
  return checkpoint.names.some((name) => name.endsWith('proj.weight') && checkpoint.tensor(name).type.name !== 'f32')
    ? 'half'
    : 'f32';
};

/** One verdict a case. Loads the model on `device` and unloads it. */
export async function* verifyModel(root: string, model: string, device: Device): AsyncGenerator<Verdict> {
  const dir = path.join(root, 'models', model);
  const limits = tolerances[await precisionOf(dir)];
  const side = await loadPromptSide(dir, model);
  try {
    await device.load(
      {
        modelId: model,
        dir,
        weightType: 'auto',
        kvCacheType: 'f32',
        contextMax: null,
        kvTokens: null,
        nSlots: 2,
        chunkMax,
        vocabulary: side.thread.vocabulary.data,
        trie: null,
        prefixHostBytesMax: null,
        prefillStepMs: 1000,
        bannedIds: side.bannedIds,
      },
      () => {},
    );
    for (const reference of await referenceCases(root, model)) {
      yield await replayCase({ root, model, device, side, limits }, reference);
    }
    await device.run({ kind: 'unload', modelId: model });
  } finally {
    await side.thread.close();
  }
}
