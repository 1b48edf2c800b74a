/**
 * Causal attention over each sequence's own part of the KV cache, grouped queries (Ainslie et al. 2023). The step's
 * keys and values are written to the cache first, then read back with the past.
 */
import { ops, rowBytes, type Tensor } from '@cortex/ggml';
import type { BatchRow, GraphBuild, LayerCacheTensors, TextBatch } from '../arch/arch.ts';

export interface HeadShape {
  readonly headDim: number;
  readonly nHeads: number;
  readonly nHeadsKv: number;
}

const store = ({ ctx, graph }: GraphBuild, cache: Tensor, rows: Tensor, cells: Tensor): void =>
  graph.expand(ops.setRows(ctx, cache, rows, cells));

/** The cells of one sequence as heads: [headDim, nCells, nHeadsKv]. */
const cached = ({ ctx }: GraphBuild, cache: Tensor, row: BatchRow, { headDim, nHeadsKv }: HeadShape): Tensor =>
  ops.permute(
    ctx,
    ops.view(ctx, cache, [headDim, nHeadsKv, row.nCells], {
      nb1: rowBytes(cache.type, headDim),
      nb2: cache.nb[1],
      offset: row.firstCell * cache.nb[1],
    }),
    [0, 2, 1, 3],
  );

/** Columns of several sequences side by side again, by halves so that little is copied twice. */
export const joined = (build: Pick<GraphBuild, 'ctx'>, parts: readonly Tensor[]): Tensor => {
  const [first] = parts;
  if (first === undefined) throw new Error('a batch has at least one sequence');
  if (parts.length === 1) return first;
  const half = parts.length >> 1;
  return ops.concat(build.ctx, joined(build, parts.slice(0, half)), joined(build, parts.slice(half)), 1);
};

/** Writes k [headDim, nHeadsKv, n] with its positions applied, and v [headDim · nHeadsKv, n], to the step's cells. */
export const storeKeysValues = (
  build: GraphBuild,
  { k, v }: { readonly k: Tensor; readonly v: Tensor },
  { cells }: TextBatch,
  cache: LayerCacheTensors,
): void => {
  if (cache.kind !== 'attention') throw new Error('an attention layer was given a recurrent cache');
  store(build, cache.keys, ops.reshape(build.ctx, k, k.ne[0] * k.ne[1], k.ne[2]), cells);
  store(build, cache.values, v, cells);
};

/** q [headDim, nHeads, n] with its positions applied → [headDim · nHeads, n], over what has been stored. */
export const attendCached = (
  build: GraphBuild,
  q: Tensor,
  batch: TextBatch,
  cache: LayerCacheTensors,
  shape: HeadShape,
): Tensor => {
  if (cache.kind !== 'attention') throw new Error('an attention layer was given a recurrent cache');
  const { ctx } = build;
  const { headDim, nHeads } = shape;
  const outputs = batch.rows.map((row, b) => {
    const own = ops.view(ctx, q, [headDim, nHeads, batch.nTokens], {
      nb1: q.nb[1],
      nb2: q.nb[2],
      offset: b * batch.nTokens * q.nb[2],
    });
    const attended = ops.flashAttention(ctx, {
      q: ops.permute(ctx, own, [0, 2, 1, 3]), // [headDim, nTokens, nHeads]
      k: cached(build, cache.keys, row, shape),
      v: cached(build, cache.values, row, shape),
      mask: row.mask,
      scale: 1 / Math.sqrt(headDim),
    }); // [headDim, nHeads, nTokens]
    return ops.reshape(ctx, attended, headDim * nHeads, batch.nTokens);
  });
  return joined(build, outputs);
};
