/** Writes a checkpoint with random weights: `npx tsx --conditions=source scripts/make-checkpoint.ts KIND DIR`. */
import { parseArgs } from 'node:util';
import {
  qwen3Shaped06b,
  qwen35Shaped08b,
  tinyQwen3,
  tinyQwen35,
  tinyQwen35Moe,
  tinyQwen3Moe,
  type GeneratedModel,
} from '../packages/neuron/test/generated-models.ts';
import { writeCheckpoint } from '../packages/neuron/test/write-checkpoint.ts';

const kinds: Readonly<Record<string, () => GeneratedModel>> = {
  'qwen3-tiny': tinyQwen3,
  'qwen3-moe-tiny': tinyQwen3Moe,
  'qwen3_5-tiny': () => tinyQwen35({ vision: false }),
  'qwen3_5-vl-tiny': () => tinyQwen35({ vision: true }),
  'qwen3_5-moe-tiny': () => tinyQwen35Moe({ vision: false }),
  'qwen3_5-moe-vl-tiny': () => tinyQwen35Moe({ vision: true }),
  'qwen3-0.6b': qwen3Shaped06b,
  'qwen3_5-0.8b': qwen35Shaped08b,
};

const usage = `make-checkpoint [--dtype F32|F16|BF16] [--seed N] [--shards N] KIND DIR
KIND is one of: ${Object.keys(kinds).join(', ')}
The type is F32 unless given, BF16 for the two large ones.`;

const main = async (): Promise<void> => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      dtype: { type: 'string' },
      seed: { type: 'string', default: '1' },
      shards: { type: 'string', default: '1' },
    },
  });
  const [kind = '', dir = ''] = positionals;
  const make = Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
  const dtype = values.dtype ?? (kind.endsWith('b') ? 'BF16' : 'F32');
  const [seed, nShards] = [Number(values.seed), Number(values.shards)];
  const isDtype = dtype === 'F32' || dtype === 'F16' || dtype === 'BF16';
  const areCounts = Number.isInteger(seed) && seed >= 0 && seed < 2 ** 21 && Number.isInteger(nShards) && nShards >= 1;
  if (make === undefined || positionals.length !== 2 || !isDtype || !areCounts) throw new Error(usage);
  await writeCheckpoint(dir, make(), { dtype, seed, nShards });
};

try {
  await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
