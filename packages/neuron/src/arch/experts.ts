/** Weights of routed experts, from checkpoints that keep them one by one or fused over all experts. */
import type { TensorNames, WeightSpec } from '../model/weight-spec.ts';

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
    precision: 'exact',
    parts: [{ name: `${from}.gate.weight`, shape: [nExperts, hiddenSize] }],
  };
  const stacked = (name: string, nIn: number, nOut: number): Omit<WeightSpec, 'parts'> => ({
    name: `${to}_${name}_exps.weight`,
    ne: [nIn, nOut, nExperts],
    precision: 'matrix',
  });
  if (names.has(`${from}.experts.gate_up_proj`)) {
    const fused = [{ name: `${from}.experts.gate_up_proj`, shape: [nExperts, 2 * ffSize, hiddenSize] }];
    const halves = (half: 0 | 1) =>
      Int32Array.from({ length: nExperts * ffSize }, (_, row) => {
        const expert = Math.floor(row / ffSize);
        return expert * 2 * ffSize + half * ffSize + (row % ffSize);
      });
    return [
      router,
      { ...stacked('gate', hiddenSize, ffSize), parts: fused, rowOrder: halves(0) },
      { ...stacked('up', hiddenSize, ffSize), parts: fused, rowOrder: halves(1) },
      {
        ...stacked('down', ffSize, hiddenSize),
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
    { ...stacked('gate', hiddenSize, ffSize), parts: oneByOne('gate_proj', hiddenSize, ffSize) },
    { ...stacked('up', hiddenSize, ffSize), parts: oneByOne('up_proj', hiddenSize, ffSize) },
    { ...stacked('down', ffSize, hiddenSize), parts: oneByOne('down_proj', ffSize, hiddenSize) },
  ];
};
