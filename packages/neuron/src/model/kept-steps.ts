/**
 * Graphs of small steps, kept for the next steps of the same shape: to build one takes as long as a GPU computes. They share
 * one allocator's memory, which is reserved for the largest of them: each writes its inputs anew, and none outlives a growth.
 */
import type { GraphAllocator } from '@cortex/ggml';
import { stepKey, type StepShape, type TextStep } from './text-step.ts';

/** Drafts come in a few lengths, and from either of two slots. */
const stepsMax = 12;

export class KeptSteps implements Disposable {
  readonly #allocator: GraphAllocator;
  readonly #build: (shape: StepShape) => TextStep;
  /** The latest used last. */
  readonly #steps = new Map<string, TextStep>();

  constructor(allocator: GraphAllocator, build: (shape: StepShape) => TextStep) {
    this.#allocator = allocator;
    this.#build = build;
  }

  get(shape: StepShape): TextStep {
    const key = stepKey(shape);
    const known = this.#steps.get(key);
    const step = known ?? this.#place(shape);
    this.#steps.delete(key);
    this.#steps.set(key, step);
    const [oldest] = this.#steps.keys();
    if (this.#steps.size > stepsMax && oldest !== undefined) this.#drop(oldest);
    return step;
  }

  #place(shape: StepShape): TextStep {
    const step = this.#build(shape);
    const { nBytes } = this.#allocator;
    try {
      step.allocate(this.#allocator);
    } catch (error) {
      step[Symbol.dispose]();
      throw error;
    }
    // The memory of the others is elsewhere now, and freed.
    if (this.#allocator.nBytes !== nBytes) this[Symbol.dispose]();
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
