/**
 * Runs one scheduled step and what follows from it: logits become tokens, sequences move on or end. Nothing is thrown:
 * a failure ends the generations it concerns and no other.
 */
import type { LoadedModel } from './loaded-model.ts';
import { forwardChunk } from './forward-chunk.ts';
import type { Guess } from './draft-sources.ts';
import type { Step } from './scheduler.ts';
import type { Sequence } from './sequence.ts';

const timed = <T>(run: () => T): { readonly value: T; readonly ms: number } => {
  const start = performance.now();
  const value = run();
  return { value, ms: performance.now() - start };
};

const guarded = (sequence: Sequence, run: () => void): void => {
  try {
    run();
  } catch (error) {
    sequence.generation.fail(error);
  }
};

const encodeImage = (model: LoadedModel, sequence: Sequence): void => {
  const { images } = sequence.generation;
  const { ms } = timed(() => images?.encodeNext(model.model, sequence.nPrefilled, model.spec.prefillStepMs));
  sequence.generation.notePrefill(ms);
};

const prefill = (model: LoadedModel, sequence: Sequence, nTokens: number): void => {
  const { generation } = sequence;
  const offset = sequence.nPrefilled;
  const ids = generation.spec.promptIds.subarray(offset, offset + nTokens);
  const isLast = nTokens === sequence.nPromptLeft;
  const output = sequence.isForHidden ? 'hidden' : 'last';
  const { value: row, ms } = timed(() => {
    return forwardChunk(model.model, sequence.room, ids, offset, generation.images, isLast ? output : 'none');
  });
  sequence.prefilled(nTokens);
  model.prefillRate.add(nTokens, ms);
  model.chunkPace.note(nTokens, ms);
  generation.notePrefill(ms);
  if (!isLast) return;
  model.prefilling.shift();
  const goesOn = sequence.isForHidden ? sequence.finishHidden(row) : sequence.sampleNext(row);
  if (goesOn) model.decoding.push(sequence);
};

/** One stream alone may run ahead on a guess; in a batch the weights' reading is shared already. */
const decodeAhead = (model: LoadedModel, sequence: Sequence, guess: Guess, guessMs: number): void => {
  const nLogits = model.model.nLogits;
  const { room } = sequence;
  const { ids } = guess;
  const drafted = timed(() => model.model.draft(room, Int32Array.of(sequence.lastId, ...ids)));
  const logits = drafted.value;
  const ms = guessMs + drafted.ms;
  sequence.generation.noteDecode(ms);
  let nRight = 0;
  for (let row = 0; row <= ids.length; row++) {
    model.model.keep(room, row + 1);
    // Sampled as it would have been alone: a guess only decides whether the next row is of any use.
    const goesOn = sequence.sampleNext(logits.subarray(row * nLogits, (row + 1) * nLogits));
    if (!goesOn || row === ids.length || sequence.lastId !== ids[row]) break;
    nRight += 1;
  }
  sequence.noteDraft(guess, { nDrafted: ids.length, nRight, ms });
  model.decodeRate.add(nRight + 1, ms);
};

const decode = (model: LoadedModel): void => {
  const { decoding } = model;
  const [first] = decoding;
  if (decoding.length === 1 && first !== undefined) {
    const { value: guess, ms } = timed(() => first.guess());
    if (guess !== null) return guarded(first, () => decodeAhead(model, first, guess, ms));
  }
  const nLogits = model.model.nLogits;
  const rows = decoding.map(({ room, lastId }) => ({ sequence: room, id: lastId }));
  const { value: logits, ms } = timed(() => model.model.decode(rows));
  model.decodeRate.add(rows.length, ms);
  if (decoding.length === 1) first?.notePlain(ms);
  for (const generation of new Set(decoding.map((sequence) => sequence.generation))) generation.noteDecode(ms);
  decoding.forEach((sequence, row) => {
    guarded(sequence, () => {
      // Another choice of the same request may have failed in this very step.
      if (!sequence.isFinished) sequence.sampleNext(logits.subarray(row * nLogits, (row + 1) * nLogits));
    });
  });
};

export const runStep = (step: Step<LoadedModel>): void => {
  const { model } = step;
  const [first] = model.prefilling;
  switch (step.kind) {
    case 'encode_image':
      if (first !== undefined) guarded(first, () => encodeImage(model, first));
      break;
    case 'prefill':
      if (first !== undefined) guarded(first, () => prefill(model, first, step.nTokens));
      break;
    case 'decode':
      try {
        decode(model);
      } catch (error) {
        for (const { generation } of model.decoding) generation.fail(error);
      }
      break;
  }
  // Another prompt's image would have to wait for one that is half-way through the tower.
  const isMidway = first?.generation.images?.isMidway === true;
  if (first !== undefined && step.kind !== 'decode' && !isMidway) model.served(first.caller);
  model.lastWasPrefill = step.kind !== 'decode';
  model.dropFinished();
};
