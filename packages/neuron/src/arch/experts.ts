/** Weights of routed experts, from checkpoints that keep them one by one or fused over all experts. */
import {
  alongRows,
  byRows,
  type Split,
  type TensorNames,
  type WeightForm,
  type WeightSpec,
} from '../model/weight-spec.ts';

export interface ExpertShape {
  readonly hiddenSize: number;
  readonly ffSize: number;
  readonly nExperts: number;
}

/**
 * Router and stacked experts of one layer. `from` is the checkpoint's prefix (`….mlp`), `to` the weights' (`blk.3.ffn`).
 * Fused gate_up_proj [experts, 2·ff, hidden] has the gate's rows first.
 */
export const expertWeights = (from: string, to: string, shape: ExpertShape, names: TensorNames): WeightSpec[] => {
  const { hiddenSize, ffSize, nExperts } = shape;
  const router: WeightSpec = {
    name: `${to}_gate_inp.weight`,
    ne: [hiddenSize, nExperts],
    role: 'exact',
    parts: [{ name: `${from}.gate.weight`, shape: [nExperts, hiddenSize] }],
  };
  const stacked = (name: string, nIn: number, nOut: number, split: Split): Omit<WeightSpec, 'parts'> => ({
    name: `${to}_${name}_exps.weight`,
    ne: [nIn, nOut, nExperts],
    role: 'linear',
    split,
  });
  // Every device has a part of each expert.
  const unit = { name: 'feed-forward values of an expert', count: ffSize };
  const half = (source: string, which: 0 | 1): WeightForm => ({
    parts: [{ name: source, shape: [nExperts, 2 * ffSize, hiddenSize] }],
    rowOrder: Int32Array.from({ length: nExperts * ffSize }, (_, row) => {
      const expert = Math.floor(row / ffSize);
      return expert * 2 * ffSize + which * ffSize + (row % ffSize);
    }),
  });
  // GGUF files have them stacked, gate and up apart or fused.
  const gateUp = `${to}_gate_up_exps.weight`;
  const isFusedGguf = names.has(gateUp);
  const gate = {
    ...stacked('gate', hiddenSize, ffSize, byRows(unit)),
    ...(isFusedGguf ? { gguf: [half(gateUp, 0)] } : {}),
  };
  const up = {
    ...stacked('up', hiddenSize, ffSize, byRows(unit)),
    ...(isFusedGguf ? { gguf: [half(gateUp, 1)] } : {}),
  };
  const fused = `${from}.experts.gate_up_proj`;
  if (names.has(fused)) {
    return [
      router,
      { ...gate, ...half(fused, 0) },
      { ...up, ...half(fused, 1) },
      {
        ...stacked('down', ffSize, hiddenSize, alongRows(unit)),
        parts: [{ name: `${from}.experts.down_proj`, shape: [nExperts, hiddenSize, ffSize] }],
      },
    ];
  }
  const oneByOne = (projection: string, nIn: number, nOut: number) =>
    Array.from({ length: nExperts }, (_, expert) => ({
      name: `${from}.experts.${expert}.${projection}.weight`,
      shape: [nOut, nIn],
    }));
  return [
    router,
    { ...gate, parts: oneByOne('gate_proj', hiddenSize, ffSize) },
    { ...up, parts: oneByOne('up_proj', hiddenSize, ffSize) },
    { ...stacked('down', ffSize, hiddenSize, alongRows(unit)), parts: oneByOne('down_proj', ffSize, hiddenSize) },
  ];
};
