/** A vision tower's graph for one size of image: patches in, rows of the language model's width out. */
import { Context, ops, tensorTypes, type Graph, type Native, type Tensor } from '@cortex/ggml';
import type { TowerGrid, TowerInputs, VisionTower } from '../arch/arch.ts';

export class TowerGraph implements Disposable {
  /** To be written once the graph has memory. */
  readonly inputs: TowerInputs;
  readonly graph: Graph;
  readonly #ctx: Context;

  /** @param embeds f32 [hidden, nTokens]: where the rows are copied to. */
  constructor(
    native: Native,
    tower: VisionTower,
    parts: { readonly weight: (name: string) => Tensor; readonly embeds: Tensor },
    { h, w }: TowerGrid,
  ) {
    const nPatches = h * w;
    const ctx = new Context(native, { nTensorsMax: tower.nTensorsMax, nNodesMax: tower.nTensorsMax });
    this.#ctx = ctx;
    this.inputs = {
      patches: ctx.tensor(tensorTypes.f32, [tower.patchLength, nPatches]).named('patches').asInput(),
      positionEmbeds: ctx.tensor(tensorTypes.f32, [tower.hiddenSize, nPatches]).named('position_embeds').asInput(),
      positions: ctx
        .tensor(tensorTypes.i32, [4 * nPatches])
        .named('positions')
        .asInput(),
    };
    try {
      const output = tower.buildTower({ ctx, weight: parts.weight }, this.inputs);
      this.graph = ctx.graph();
      this.graph.expand(ops.copyInto(ctx, output, parts.embeds));
    } catch (error) {
      ctx[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#ctx[Symbol.dispose]();
  }
}
