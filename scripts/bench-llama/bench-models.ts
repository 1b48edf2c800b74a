/** The models that are measured: published shapes with random weights, made once and kept under `.cache/bench`. */
import { existsSync, renameSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { qwen35Counting08b, qwen35Shaped08b, qwen3Shaped06b } from '../../packages/neuron/test/generated-models.ts';
import { writeCheckpoint } from '../../packages/neuron/test/write-checkpoint.ts';
import { writeGguf } from '../../packages/neuron/test/write-gguf.ts';

const cache = fileURLToPath(new URL('../../.cache/bench/', import.meta.url));

const shapes = {
  'qwen3-0.6b': qwen3Shaped06b,
  'qwen3_5-0.8b': () => qwen35Shaped08b(),
  /** Knows what follows, and foretells it: not for comparisons. */
  'qwen3_5-0.8b-counting': qwen35Counting08b,
} as const;
export type Shape = keyof typeof shapes;
export const shapeNames = ['qwen3-0.6b', 'qwen3_5-0.8b'] as const satisfies readonly Shape[];

export const typeNames = ['q4_K', 'q8_0'] as const;
export type BenchType = (typeof typeNames)[number];

export interface BenchModel {
  readonly name: string;
  readonly gguf: string;
}

export const benchModel = async (shape: Shape, type: BenchType): Promise<BenchModel> => {
  const dir = `${cache}${shape}`;
  const gguf = `${cache}${shape}-${type}.gguf`;
  if (!existsSync(`${dir}/model.safetensors`)) {
    console.error(`making ${dir} …`);
    await writeCheckpoint(dir, shapes[shape](), { dtype: 'BF16' });
  }
  if (!existsSync(gguf)) {
    console.error(`making ${gguf}, a minute or two …`);
    // Under its name only when it is whole.
    writeGguf(dir, `${gguf}.partial`, { type });
    renameSync(`${gguf}.partial`, gguf);
  }
  return { name: `${shape} ${type}`, gguf };
};
