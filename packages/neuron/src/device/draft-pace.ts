/**
 * Whether to guess ahead, and how far, for one sequence: a decision by what earlier guesses have cost and gained. Time
 * is the measure, not the share of right guesses: what a draft costs beside a plain step differs from device to device.
 */

/** What decides how far to guess by what came of it. */
export interface Pace {
  /** Tokens to guess now; 0: none. */
  readonly nDraft: number;
  /** After a step of one token for this sequence alone. */
  notePlain(ms: number): void;
  /** After a step with guesses of its own; `ms` counts what it took to make them. */
  noteDraft(outcome: DraftOutcome): void;
  /** After a step with guesses from elsewhere. */
  noteOther(): void;
}

export interface DraftOutcome {
  readonly nDrafted: number;
  /** Of them, right. */
  readonly nRight: number;
  readonly ms: number;
}

const draftStart = 4;
/** Weight of the latest outcome. */
const weight = 0.3;
/** Tokens without a guess after guesses that did not pay; doubled each time. */
const pauseStart = 16;
const pauseMax = 1024;
/** Outcomes before a gain is believed. */
const trialsMin = 2;

export class DraftPace implements Pace {
  readonly #draftMax: number;
  /** Of a plain step. */
  #plainMs: number | null = null;
  /** Times faster than plain steps. */
  #gain: number | null = null;
  #nTrials = 0;
  #nDraft: number;
  #pause = pauseStart;
  #nPaused = 0;

  constructor(draftMax: number) {
    this.#draftMax = draftMax;
    this.#nDraft = Math.min(draftStart, draftMax);
  }

  /** A plain step must have been seen first. */
  get nDraft(): number {
    return this.#plainMs === null || this.#nPaused > 0 ? 0 : this.#nDraft;
  }

  notePlain(ms: number): void {
    this.#plainMs = this.#plainMs === null ? ms : this.#plainMs + weight * (ms - this.#plainMs);
    this.noteOther();
  }

  noteOther(): void {
    this.#nPaused = Math.max(0, this.#nPaused - 1);
  }

  noteDraft({ nDrafted, nRight, ms }: DraftOutcome): void {
    const gain = ((nRight + 1) * (this.#plainMs ?? ms)) / ms;
    this.#gain = this.#gain === null ? gain : this.#gain + weight * (gain - this.#gain);
    this.#nTrials += 1;
    if (nRight === nDrafted) this.#nDraft = Math.min(this.#nDraft * 2, this.#draftMax);
    else this.#nDraft = Math.min(Math.max(nRight + 1, 2), this.#draftMax);
    if (this.#nTrials < trialsMin) return;
    if (this.#gain > 1) {
      this.#pause = pauseStart;
      return;
    }
    this.#nPaused = this.#pause;
    this.#pause = Math.min(this.#pause * 2, pauseMax);
    this.#gain = null;
    this.#nTrials = 0;
    this.#nDraft = Math.min(draftStart, this.#draftMax);
  }
}
