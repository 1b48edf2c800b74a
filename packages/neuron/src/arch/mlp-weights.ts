/** Weights of the gated feed-forward block, as every architecture here names them. */
import { alongRows, byRows, matrix, type WeightSpec } from '../model/weight-spec.ts';

/** `from` is the checkpoint's prefix (`….mlp`), `to` the weights' (`blk.3.ffn`). */
export const gatedMlpWeights = (
  from: string,
  to: string,
  { hiddenSize, ffSize }: { readonly hiddenSize: number; readonly ffSize: number },
): WeightSpec[] => {
  const unit = { name: 'feed-forward values', count: ffSize };
  return [
    matrix(`${to}_gate.weight`, `${from}.gate_proj.weight`, hiddenSize, ffSize, byRows(unit)),
    matrix(`${to}_up.weight`, `${from}.up_proj.weight`, hiddenSize, ffSize, byRows(unit)),
    matrix(`${to}_down.weight`, `${from}.down_proj.weight`, ffSize, hiddenSize, alongRows(unit)),
  ];
};
