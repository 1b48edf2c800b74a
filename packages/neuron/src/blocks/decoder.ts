/**
 * The frame of every pre-norm decoder: embed (image rows spliced in), then per layer mixer and feed-forward with
 * residuals, then the final norm of the wanted columns.
 */
import { ops, type Tensor } from '@cortex/ggml';
import type { GraphBuild, LayerCacheTensors, TextBatch } from '../arch/arch.ts';
import { rmsNorm } from './norm.ts';

export interface DecoderLayer {
  /** Names of the two norms' weights. */
  readonly mixerNorm: string;
  readonly feedForwardNorm: string;
  mix(build: GraphBuild, x: Tensor, batch: TextBatch, cache: LayerCacheTensors): Tensor;
  feedForward(build: GraphBuild, x: Tensor): Tensor;
}

const embed = ({ ctx, graph, weight }: GraphBuild, batch: TextBatch): Tensor => {
  const table = weight('token_embd.weight');
  let x = ops.getRows(ctx, table, batch.ids); // [hidden, n]
  for (const { rows, columns } of batch.splices) {
    x = ops.setRows(ctx, x, rows, columns);
    graph.pin(x, table);
  }
  return x;
};

/** What looks at the embeddings and the normed final hidden states of all columns, [hidden, n] each. */
export type Follower = (build: GraphBuild, batch: TextBatch, embeds: Tensor, hidden: Tensor) => void;

/** The normed final hidden states of `batch.outputs`, or null when none is wanted: then only the caches matter. */
export const decoder = (
  build: GraphBuild,
  batch: TextBatch,
  { layers, normEps, follow }: { layers: readonly DecoderLayer[]; normEps: number; follow?: Follower | undefined },
): Tensor | null => {
  const { ctx, graph, weight, caches } = build;
  const embeds = embed(build, batch);
  const isFollowed = follow !== undefined && batch.before !== null;
  const chosen = (columns: Tensor): Tensor =>
    batch.outputs === null || batch.outputs === 'none' ? columns : ops.getRows(ctx, columns, batch.outputs);
  let x = embeds;
  for (const [i, layer] of layers.entries()) {
    const cache = caches[i];
    if (cache === undefined) throw new Error(`layer ${i} has no cache`);
    const isLast = i === layers.length - 1;
    const mixed = layer.mix(build, rmsNorm(ctx, x, weight(layer.mixerNorm), normEps), batch, cache);
    if (isLast && batch.outputs === 'none' && !isFollowed) return null;
    x = ops.add(ctx, x, mixed);
    // Past the last mixer columns no longer meet: only the wanted ones go on.
    if (isLast && !isFollowed) x = chosen(x);
    x = ops.add(ctx, x, layer.feedForward(build, rmsNorm(ctx, x, weight(layer.feedForwardNorm), normEps)));
    x.named(`l_out-${i}`);
    // Of what comes before only this goes on to the next device.
    graph.pin(x, weight(layer.feedForwardNorm));
  }
  const hidden = rmsNorm(ctx, x, weight('output_norm.weight'), normEps);
  if (!isFollowed) return hidden;
  follow(build, batch, embeds, hidden);
  return batch.outputs === 'none' ? null : chosen(hidden);
};

/** hidden [hidden, m] → logits [nVocab, m] */
export const languageHead = ({ ctx, weight }: GraphBuild, hidden: Tensor): Tensor =>
  ops.mulMat(ctx, weight('output.weight'), hidden);
