/** The gated feed-forward block: down(silu(gate x) · up x) (Shazeer 2020). */
import { ops, type Tensor } from '@cortex/ggml';
import type { GraphBuild } from '../arch/arch.ts';

/** x [hidden, n] → [hidden, n]; weights `<prefix>_gate`, `_up`, `_down` with `suffix`. */
export const gatedMlp = ({ ctx, weight }: GraphBuild, x: Tensor, prefix: string, suffix = ''): Tensor => {
  const gate = ops.mulMat(ctx, weight(`${prefix}_gate${suffix}.weight`), x); // [ff, n]
  const up = ops.mulMat(ctx, weight(`${prefix}_up${suffix}.weight`), x);
  return ops.mulMat(ctx, weight(`${prefix}_down${suffix}.weight`), ops.swigluSplit(ctx, gate, up));
};
