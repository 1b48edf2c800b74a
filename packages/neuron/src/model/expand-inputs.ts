/**
 * A graph's inputs, first in its memory. ggml begins tensors at multiples of 32 bytes; with an odd number of such before
 * them all results would straddle cache lines, and AMX products of Q8_0 take a third longer.
 */
import { tensorTypes, type Context, type Graph, type Tensor } from '@cortex/ggml';
import { roundUp } from './step-inputs.ts';

const tensorAlignment = 32;
const cacheLine = 64;

/** An input that a step happens not to need gets memory all the same: it will be written. Makes at most one tensor. */
export const expandInputs = (ctx: Context, graph: Graph, inputs: readonly Tensor[]): void => {
  for (const input of inputs) graph.expand(input);
  const nBytes = inputs.reduce((sum, input) => sum + roundUp(input.nBytes, tensorAlignment), 0);
  if (nBytes % cacheLine !== 0) graph.expand(ctx.tensor(tensorTypes.i32, [1]).named('padding').asInput());
};
