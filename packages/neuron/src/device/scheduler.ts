/**
 * Which step a device takes next: a pure decision over what its models have to do. Models take turns; within a model
 * prompts are prefilled in order of admission, and running sequences decode after every chunk of prefill, so that a
 * long prompt slows a running stream by at most one chunk a token.
 */

export interface PrefillState {
  /** Images of its prompt that are not encoded yet. */
  readonly nImagesLeft: number;
  /** Prompt tokens not computed yet, at least 1. */
  readonly nPromptLeft: number;
  /** Tokens up to where a step has to end, at least 1; Infinity when it may end anywhere. */
  readonly nUntilBoundary: number;
}

export interface ModelState {
  /** Admitted sequences whose prompt is not complete, oldest first. */
  readonly prefilling: readonly PrefillState[];
  readonly decoding: readonly unknown[];
  /** Whether its last step was of a prompt, a chunk or an image. */
  readonly lastWasPrefill: boolean;
  /** Tokens in a chunk, at most. */
  readonly chunkMax: number;
  /** The same while sequences are running: they wait for as long as the chunk takes. */
  readonly chunkMaxBetween: number;
}

export type Step<M extends ModelState> =
  /** The next image of the oldest prompt. */
  | { readonly kind: 'encode_image'; readonly model: M }
  /** The next `nTokens` of the oldest prompt. */
  | { readonly kind: 'prefill'; readonly model: M; readonly nTokens: number }
  /** One token for each running sequence. */
  | { readonly kind: 'decode'; readonly model: M };

const stepOf = <M extends ModelState>(model: M): Step<M> | null => {
  const [oldest] = model.prefilling;
  const isRunning = model.decoding.length > 0;
  if (oldest === undefined || (isRunning && model.lastWasPrefill)) return isRunning ? { kind: 'decode', model } : null;
  if (oldest.nImagesLeft > 0) return { kind: 'encode_image', model };
  const chunkMax = isRunning ? Math.min(model.chunkMax, model.chunkMaxBetween) : model.chunkMax;
  return { kind: 'prefill', model, nTokens: Math.min(oldest.nPromptLeft, oldest.nUntilBoundary, chunkMax) };
};

/** `last` is the model of the step before; those after it come first. Null when there is nothing to do. */
export const nextStep = <M extends ModelState>(models: readonly M[], last: M | null): Step<M> | null => {
  const iLast = last === null ? -1 : models.indexOf(last);
  for (let turn = 1; turn <= models.length; turn++) {
    const model = models[(iLast + turn) % models.length];
    const step = model === undefined ? null : stepOf(model);
    if (step !== null) return step;
  }
  return null;
};
