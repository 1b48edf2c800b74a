/**
 * Which step a device takes next: a pure decision over what its models have to do. Models take turns; within a model
 * the first prompt is prefilled, and running sequences decode after every chunk of it, so that a long prompt slows a
 * running stream, of this model or of another, by at most one chunk, or one piece of an image, a token and model.
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
  /** Admitted sequences whose prompt is not complete, the next one first. */
  readonly prefilling: readonly PrefillState[];
  readonly decoding: readonly unknown[];
  /** Whether its last step was of a prompt, a chunk or an image. */
  readonly lastWasPrefill: boolean;
  /** Tokens in a chunk, at most. */
  readonly chunkMax: number;
  /** The same while sequences run on the device: they wait for as long as the chunk takes. */
  readonly chunkMaxBetween: number;
}

export type Step<M extends ModelState> =
  /** A piece of the next image of the first prompt. */
  | { readonly kind: 'encode_image'; readonly model: M }
  /** The next `nTokens` of the first prompt. */
  | { readonly kind: 'prefill'; readonly model: M; readonly nTokens: number }
  /** One token for each running sequence. */
  | { readonly kind: 'decode'; readonly model: M };

const stepOf = <M extends ModelState>(model: M, isAnyRunning: boolean): Step<M> | null => {
  const [first] = model.prefilling;
  const isRunning = model.decoding.length > 0;
  if (first === undefined || (isRunning && model.lastWasPrefill)) return isRunning ? { kind: 'decode', model } : null;
  if (first.nImagesLeft > 0) return { kind: 'encode_image', model };
  const chunkMax = isAnyRunning ? Math.min(model.chunkMax, model.chunkMaxBetween) : model.chunkMax;
  return { kind: 'prefill', model, nTokens: Math.min(first.nPromptLeft, first.nUntilBoundary, chunkMax) };
};

/** `last` is the model of the step before; those after it come first. Null when there is nothing to do. */
export const nextStep = <M extends ModelState>(models: readonly M[], last: M | null): Step<M> | null => {
  const isAnyRunning = models.some(({ decoding }) => decoding.length > 0);
  const iLast = last === null ? -1 : models.indexOf(last);
  for (let turn = 1; turn <= models.length; turn++) {
    const model = models[(iLast + turn) % models.length];
    const step = model === undefined ? null : stepOf(model, isAnyRunning);
    if (step !== null) return step;
  }
  return null;
};
