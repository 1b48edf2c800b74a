/**
 * Where guesses at what a sequence says next are taken from: a repetition in its text, and the checkpoint's own predictor
 * where there is one. The first that has something to say is heard.
 */
import type { DeviceModel, ModelSequence } from '../model/device-model.ts';
import { DraftPace, type DraftOutcome, type Pace } from './draft-pace.ts';
import { promptLookup } from './prompt-lookup.ts';

/** A shorter repetition is less to go by than a predictor. */
const matchMinBesidePredictor = 6;

export interface DraftSource {
  readonly pace: Pace;
  /** Up to `nMax` tokens, often none. */
  guess(sequence: GuessedSequence, nMax: number): Int32Array;
}

export interface GuessedSequence {
  /** All of its text. */
  readonly ids: Int32Array;
  /** Holds all of it but the last token. */
  readonly room: ModelSequence;
  readonly lastId: number;
}

export interface Guess {
  readonly ids: Int32Array;
  readonly source: DraftSource;
}

const repetitions = (draftMax: number, matchMin?: number): DraftSource => ({
  pace: new DraftPace(draftMax),
  guess: ({ ids }, nMax) => promptLookup(ids, nMax, matchMin),
});

export class DraftSources {
  readonly #sources: readonly DraftSource[];

  /** @param predictorPace What is known of the model's predictor, whoever asked it. */
  constructor(model: DeviceModel, draftMax: number, predictorPace: Pace) {
    this.#sources = model.canGuess
      ? [
          repetitions(draftMax, matchMinBesidePredictor),
          { pace: predictorPace, guess: ({ room, lastId }, nMax) => model.guess(room, lastId, nMax) },
        ]
      : [repetitions(draftMax)];
  }

  /** Null where there is no guess, or none that would pay. */
  guess(sequence: GuessedSequence, nMax: number): Guess | null {
    for (const source of this.#sources) {
      const n = Math.min(source.pace.nDraft, nMax);
      const ids = n < 1 ? null : source.guess(sequence, n);
      if (ids !== null && ids.length > 0) return { ids, source };
    }
    return null;
  }

  notePlain(ms: number): void {
    for (const { pace } of this.#sources) pace.notePlain(ms);
  }

  noteDraft({ source }: Guess, outcome: DraftOutcome): void {
    for (const each of this.#sources) {
      if (each === source) each.pace.noteDraft(outcome);
      else each.pace.noteOther();
    }
  }
}
