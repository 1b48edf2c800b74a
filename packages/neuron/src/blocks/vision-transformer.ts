/**
 * A vision transformer over one image's patches with a learned position table, two-axis rotary positions, full
 * attention, and a merger that makes one token of each square of patches (Hugging Face `Qwen3_5VisionModel`).
 */
import { ops, type Context, type Tensor } from '@cortex/ggml';
import type { GraphBuild, TowerInputs } from '../arch/arch.ts';
import { layerNorm } from './norm.ts';

export interface VisionTransformerShape {
  readonly depth: number;
  readonly hiddenSize: number;
  readonly nHeads: number;
  readonly mergeSize: number;
  readonly ropeTheta: number;
}

type Build = Pick<GraphBuild, 'ctx' | 'weight'>;

const normEps = 1e-6;

const linear = ({ ctx, weight }: Build, x: Tensor, name: string): Tensor =>
  ops.add(ctx, ops.mulMat(ctx, weight(`${name}.weight`), x), weight(`${name}.bias`));

const norm = ({ ctx, weight }: Build, x: Tensor, name: string): Tensor =>
  layerNorm(ctx, x, weight(`${name}.weight`), weight(`${name}.bias`), normEps);

const rotated = (ctx: Context, x: Tensor, positions: Tensor, { ropeTheta }: VisionTransformerShape): Tensor => {
  const quarter = x.ne[0] / 4;
  return ops.rope(ctx, x, positions, {
    mode: 'vision',
    nDims: x.ne[0] / 2,
    sections: [quarter, quarter, quarter, quarter],
    freqBase: ropeTheta,
  });
};

/** x [hidden, n] → [hidden, n]: every patch looks at every other. */
const attention = (build: Build, x: Tensor, positions: Tensor, name: string, shape: VisionTransformerShape): Tensor => {
  const { ctx } = build;
  const { hiddenSize, nHeads } = shape;
  const headDim = hiddenSize / nHeads;
  const n = x.ne[1];
  const qkv = linear(build, x, `${name}.attn_qkv`); // [3·hidden, n], rows q | k | v
  const part = (i: number): Tensor =>
    ops.view(ctx, qkv, [headDim, nHeads, n], { nb1: headDim * 4, nb2: qkv.nb[1], offset: i * hiddenSize * 4 });
  const attended = ops.flashAttention(ctx, {
    q: ops.permute(ctx, rotated(ctx, part(0), positions, shape), [0, 2, 1, 3]),
    k: ops.permute(ctx, rotated(ctx, part(1), positions, shape), [0, 2, 1, 3]),
    v: ops.permute(ctx, part(2), [0, 2, 1, 3]),
    mask: null,
    scale: 1 / Math.sqrt(headDim),
  });
  return linear(build, ops.reshape(ctx, attended, hiddenSize, n), `${name}.attn_out`);
};

/** → [language model's hidden, nPatches / mergeSize²] */
export const visionTransformer = (build: Build, inputs: TowerInputs, shape: VisionTransformerShape): Tensor => {
  const { ctx } = build;
  const nPatches = inputs.patches.ne[1];
  let x = ops.add(ctx, linear(build, inputs.patches, 'v.patch_embd'), inputs.positionEmbeds);
  for (let i = 0; i < shape.depth; i++) {
    const name = `v.blk.${i}`;
    x = ops.add(ctx, x, attention(build, norm(build, x, `${name}.ln1`), inputs.positions, name, shape));
    const wide = ops.geluTanh(ctx, linear(build, norm(build, x, `${name}.ln2`), `${name}.ffn_up`));
    x = ops.add(ctx, x, linear(build, wide, `${name}.ffn_down`));
    x.named(`v_out-${i}`);
  }
  // Rows come in merge-block order, so a square's patches are neighbours already.
  const square = shape.mergeSize ** 2;
  const merged = ops.reshape(ctx, norm(build, x, 'v.post_ln'), shape.hiddenSize * square, nPatches / square);
  return linear(build, ops.geluErf(ctx, linear(build, merged, 'mm.0')), 'mm.2');
};
