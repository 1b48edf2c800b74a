/**
 * How far to guess with a model's predictor: as far as it pays by what its guesses have cost and how often they were
 * right, place by place. Shared by a model's sequences, since a predictor is about as good in one text as in another.
 */
import type { DraftOutcome, Pace } from './draft-pace.ts';

/** Weight of the latest step in what steps take. */
const msWeight = 0.3;
/** Of the latest guess in how often guesses are right, once many have been seen. */
const rightWeight = 0.05;
/** What is thought of a predictor before it has guessed. */
const rightAtFirst = 0.8;
/** Steps without a guess after guesses that did not pay; doubled each time. */
const restStart = 16;
const restMax = 1024;
/** Guesses before one rests. */
const trialsMin = 4;
/** After as many, what steps take is found out anew: texts grow, and a moment may have been a busy one. */
const renewEvery = 64;

/** How often guesses at one place of a draft are right, of those whose turn came. */
interface Place {
  right: number;
  nSeen: number;
}

export class PredictorPace implements Pace {
  readonly #draftMax: number;
  readonly #places: Place[];
  /** Of steps with as many guesses; 0: plain ones. */
  readonly #ms: (number | undefined)[] = [];
  #rest = restStart;
  #nResting = 0;
  #nTrials = 0;
  #nGuesses = 0;

  constructor(draftMax: number) {
    this.#draftMax = draftMax;
    this.#places = Array.from({ length: draftMax }, () => ({ right: rightAtFirst, nSeen: 0 }));
  }

  get nDraft(): number {
    if (this.#draftMax === 0 || this.#ms[0] === undefined || this.#nResting > 0) return 0;
    return Math.max(1, this.#best());
  }

  notePlain(ms: number): void {
    this.#noteMs(0, ms);
    this.noteOther();
  }

  noteOther(): void {
    this.#nResting = Math.max(0, this.#nResting - 1);
  }

  noteDraft({ nDrafted, nRight, ms }: DraftOutcome): void {
    this.#noteMs(nDrafted, ms);
    for (const [i, place] of this.#places.slice(0, Math.min(nRight + 1, nDrafted)).entries()) {
      place.nSeen += 1;
      place.right += Math.max(rightWeight, 1 / (place.nSeen + 1)) * ((i < nRight ? 1 : 0) - place.right);
    }
    this.#nTrials += 1;
    this.#nGuesses += 1;
    if (this.#nGuesses % renewEvery === 0) this.#renew(nDrafted);
    if (this.#best() > 0) {
      this.#rest = restStart;
      return;
    }
    if (this.#nTrials < trialsMin) return;
    this.#nTrials = 0;
    this.#nResting = this.#rest;
    this.#rest = Math.min(this.#rest * 2, restMax);
  }

  #renew(nDrafted: number): void {
    this.#ms.forEach((_, n) => {
      if (n > 0 && n !== nDrafted) this.#ms[n] = undefined;
    });
    this.#nResting = 1;
  }

  #noteMs(nDrafted: number, ms: number): void {
    const known = this.#ms[nDrafted];
    this.#ms[nDrafted] = known === undefined ? ms : known + msWeight * (ms - known);
  }

  /** What a step with `n` guesses takes: as seen, or in line with the nearest that were. */
  #msOf(n: number): number {
    const known = this.#ms[n];
    if (known !== undefined) return known;
    const below = this.#ms.findLastIndex((ms, i) => i < n && ms !== undefined);
    const above = this.#ms.findIndex((ms, i) => i > n && ms !== undefined);
    const from = this.#ms[below] ?? 0;
    if (above > 0) return from + ((n - below) / (above - below)) * ((this.#ms[above] ?? 0) - from);
    const slope = below > 0 ? (from - (this.#ms[0] ?? 0)) / below : 0;
    return from + (n - below) * slope;
  }

  /** The number of guesses with the most tokens a millisecond, at most one more than has been tried. */
  #best(): number {
    let [best, bestRate] = [0, 1 / this.#msOf(0)];
    let [nTokens, reached] = [1, 1];
    for (const [i, { right }] of this.#places.slice(0, this.#ms.length).entries()) {
      reached *= right;
      nTokens += reached;
      const rate = nTokens / this.#msOf(i + 1);
      if (rate > bestRate) [best, bestRate] = [i + 1, rate];
    }
    return best;
  }
}
