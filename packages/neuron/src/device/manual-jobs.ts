/**
 * Jobs that drive one image or one sequence by hand, through the same model calls that serve requests. A sequence
 * lives from its first `prefill` to its `reset`, or to its model's unload.
 */
import { CortexError } from '@cortex/core';
import { forwardChunk } from './forward-chunk.ts';
import type { LoadedModel, ManualSequence } from './loaded-model.ts';
import { PromptImages } from './prompt-images.ts';
import type { DeviceJob } from './protocol.ts';

type JobOf<K extends DeviceJob['kind']> = Extract<DeviceJob, { kind: K }>;

const open = ({ model, prefixes, manual }: LoadedModel, job: JobOf<'prefill'>): ManualSequence => {
  const room = prefixes.openBlank(job.nTokensMax);
  if (room === null) throw new CortexError('overloaded', `there is no room for a sequence of ${job.nTokensMax} tokens`);
  const images = job.vision === null ? null : new PromptImages(job.vision.promptIds, job.vision, model.imageTokenId);
  const sequence = { room, images };
  manual.set(job.sequence, sequence);
  return sequence;
};

const joined = (parts: readonly Float32Array[]): Float32Array => {
  const all = new Float32Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
};

const checkOffset = (sequence: ManualSequence, job: JobOf<'prefill'>): void => {
  const { nPast, nTokensMax } = sequence.room;
  if (job.offset !== nPast) {
    throw new CortexError('invalid_request', `${job.sequence} holds ${nPast} tokens, not ${job.offset}`);
  }
  if (nPast + job.ids.length > nTokensMax) {
    throw new CortexError('context_length_exceeded', `${nPast + job.ids.length} tokens; ${nTokensMax} fit`);
  }
};

/** Returns the rows asked for; a prompt longer than a chunk is run in several. */
export const prefillByHand = (loaded: LoadedModel, job: JobOf<'prefill'>): Float32Array => {
  const { model, chunkMax } = loaded;
  const sequence = loaded.manual.get(job.sequence) ?? open(loaded, job);
  checkOffset(sequence, job);
  sequence.images?.encodeAll(model, job.offset);
  const parts: Float32Array[] = [];
  for (let from = 0; from < job.ids.length; from += chunkMax) {
    const ids = job.ids.subarray(from, from + chunkMax);
    const isLast = from + ids.length === job.ids.length;
    const output = isLast || job.output === 'all' ? job.output : 'none';
    const rows = forwardChunk(model, sequence.room, ids, job.offset + from, sequence.images, output);
    // Rows of one call are overwritten by the next.
    if (output !== 'none') parts.push(rows.slice());
  }
  if (job.vision !== null && sequence.room.nPast >= job.vision.promptIds.length) {
    sequence.images?.[Symbol.dispose]();
    sequence.images = null;
  }
  return joined(parts);
};

/** Logits after one more token. */
export const decodeByHand = ({ model, manual }: LoadedModel, job: JobOf<'decode'>): Float32Array => {
  const sequence = manual.get(job.sequence);
  if (sequence === undefined) {
    throw new CortexError('invalid_request', `there is no sequence ${job.sequence}: prefill it first`);
  }
  const { nPast, nTokensMax } = sequence.room;
  if (nPast >= nTokensMax)
    throw new CortexError('context_length_exceeded', `the sequence is full: ${nTokensMax} tokens`);
  return model.decode([{ sequence: sequence.room, id: job.id }]).slice(0, model.nLogits);
};

/** The image's rows, [nTokens, hidden]. */
export const encodeByHand = ({ model }: LoadedModel, job: JobOf<'encode_image'>): Float32Array => {
  using embeds = model.encodeImage(job.image);
  return embeds.read();
};
