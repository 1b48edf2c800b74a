/**
 * Causal attention over each sequence's own part of the KV cache, grouped queries (Ainslie et al. 2023). The step's
 * keys and values are written to the cache first, then read back with the past.
 */
import { ops, rowBytes, type Tensor } from '@cortex/ggml';
import type { AttendedRows, GraphBuild, LayerCacheTensors, TextBatch } from '../arch/arch.ts';

export interface HeadShape {
  readonly headDim: number;
  readonly nHeads: number;
  readonly nHeadsKv: number;
}

const store = ({ ctx, graph }: GraphBuild, cache: Tensor, rows: Tensor, cells: Tensor): void =>
  graph.expand(ops.setRows(ctx, cache, rows, cells));

/** The sequences' cells as heads: [headDim, nCells, nHeadsKv, nRows]. */
const cached = ({ ctx }: GraphBuild, cache: Tensor, run: AttendedRows, { headDim, nHeadsKv }: HeadShape): Tensor =>
  ops.permute(
    ctx,
    ops.view(ctx, cache, [headDim, nHeadsKv, run.nCells, run.nRows], {
      nb1: rowBytes(cache.type, headDim),
      nb2: cache.nb[1],
      nb3: run.stride * cache.nb[1],
      offset: run.firstCell * cache.nb[1],
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
  let firstColumn = 0;
  const outputs = batch.attended.map((run) => {
    const own = ops.view(ctx, q, [headDim, nHeads, batch.nTokens, run.nRows], {
      nb1: q.nb[1],
      nb2: q.nb[2],
      nb3: batch.nTokens * q.nb[2],
      offset: firstColumn * q.nb[2],
    });
    const nColumns = batch.nTokens * run.nRows;
    firstColumn += nColumns;
    const attended = ops.flashAttention(ctx, {
      q: ops.permute(ctx, own, [0, 2, 1, 3]), // [headDim, nTokens, nHeads, nRows]
      k: cached(build, cache.keys, run, shape),
      v: cached(build, cache.values, run, shape),
      mask: run.mask,
      scale: 1 / Math.sqrt(headDim),
    }); // [headDim, nHeads, nTokens, nRows]
    return ops.reshape(ctx, attended, headDim * nHeads, nColumns);
  });
  return joined(build, outputs);
};
