/**
 * Graphs of small steps, kept for the next steps of the same shape: to build one takes as long as a GPU computes. They share
 * one runner's memory, which is reserved for the largest of them: each writes its inputs anew, and none outlives a growth.
 */
import type { GraphRunner } from '@cortex/ggml';
import { stepKey, type StepShape, type TextStep } from './text-step.ts';

/** Drafts come in a few lengths, and from either of two slots. */
const stepsMax = 12;

export class KeptSteps implements Disposable {
  readonly #runner: GraphRunner;
  readonly #build: (shape: StepShape) => TextStep;
  readonly #displacing: GraphRunner | null;
  #nDisplaced = 0;
  /** The latest used last. */
  readonly #steps = new Map<string, TextStep>();

  /**
   * @param displacing of a group of devices, which can compute only the graph that was placed last, wherever: what is kept
   * is so until this other runner places one.
   */
  constructor(runner: GraphRunner, build: (shape: StepShape) => TextStep, displacing: GraphRunner | null = null) {
    this.#runner = runner;
    this.#build = build;
    this.#displacing = displacing;
  }

  get(shape: StepShape): TextStep {
    const nDisplaced = this.#displacing?.nPlaced ?? 0;
    if (nDisplaced !== this.#nDisplaced) this[Symbol.dispose]();
    this.#nDisplaced = nDisplaced;
    const key = stepKey(shape);
    const known = this.#steps.get(key);
    const step = known ?? this.#place(shape);
    this.#steps.delete(key);
    this.#steps.set(key, step);
    const [oldest] = this.#steps.keys();
    const most = Math.min(stepsMax, this.#runner.placedMax);
    if (this.#steps.size > most && oldest !== undefined) this.#drop(oldest);
    return step;
  }

  #place(shape: StepShape): TextStep {
    const step = this.#build(shape);
    const { nBytes } = this.#runner;
    try {
      step.allocate(this.#runner);
    } catch (error) {
      step[Symbol.dispose]();
      throw error;
    }
    // The memory of the others is elsewhere now, and freed.
    if (this.#runner.nBytes !== nBytes) this[Symbol.dispose]();
    return step;
  }

  #drop(key: string): void {
    this.#steps.get(key)?.[Symbol.dispose]();
    this.#steps.delete(key);
  }

  [Symbol.dispose](): void {
    for (const key of this.#steps.keys()) this.#drop(key);
  }
}
