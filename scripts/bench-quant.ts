/**
 * `npm run bench quant -- [DIR] [--type T]…`: what each number type of the weights costs in exactness and spares in memory, on the
 * fixture and on the bundled model (or on the checkpoint DIR, by its samples), and how many questions the bundled model
 * still answers right. Everything beside f32 on the CPU.
 */
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { quantNames } from '@cortex/core';
import { openDevice } from '../packages/neuron/src/model/device-host.ts';
import { quantErrors, type QuantProbe } from '../packages/neuron/src/verify/quant-error.ts';
import { referenceProbes, sampleProbes } from '../packages/neuron/src/verify/quant-probes.ts';
import { nPictures, rightAnswers } from './bench-quant/right-answers.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const allTypes = quantNames.filter((name) => name !== 'auto' && name !== 'f32');
const kvTypes = ['f16', 'q8_0'] as const;

type Type = (typeof allTypes)[number];

const report = async (
  title: string,
  dir: string,
  probes: readonly QuantProbe[],
  types: readonly Type[],
): Promise<void> => {
  const nScored = probes.reduce((sum, { ids, firstScored }) => sum + ids.length - firstScored, 0);
  console.log(`${title}: ${probes.length} prompts, ${nScored} predictions`);
  console.log('  type       MiB  load ms   max |Δ|    cosine   KL (nats)   NLL gap  same top');
  using host = openDevice({ index: 0, threads: availableParallelism() });
  const each = [...types.map((weightType) => ({ weightType })), ...kvTypes.map((kvCacheType) => ({ kvCacheType }))];
  for await (const error of quantErrors(host, dir, probes, each)) {
    const cells = [
      (error.bytes / 2 ** 20).toFixed(1).padStart(6),
      error.loadMs.toFixed(0).padStart(8),
      error.maxAbs.toExponential(1).padStart(9),
      error.cosine.toFixed(6).padStart(9),
      error.divergence.toExponential(2).padStart(11),
      error.nllGap.toFixed(4).padStart(9),
      `${(100 * error.sameTop).toFixed(1)} %`.padStart(9),
    ];
    const name = error.weightType === 'f32' ? `kv ${error.kvCacheType}` : error.weightType;
    console.log(`  ${name.padEnd(7)}${cells.join(' ')}`);
  }
};

const percent = (share: number | undefined): string => `${(100 * (share ?? NaN)).toFixed(0)} %`.padStart(7);

const reportAnswers = async (types: readonly Type[]): Promise<void> => {
  console.log(`shapes-vl: a question of each kind about ${nPictures} pictures, answered right`);
  let heads: readonly string[] | null = null;
  for await (const { type, right } of rightAnswers(`${root}models`, 'shapes-vl', ['f32', ...types])) {
    if (heads === null) {
      heads = Object.keys(right);
      console.log(`  type  ${heads.map((kind) => kind.padStart(7)).join('')}`);
    }
    console.log(`  ${type.padEnd(6)}${heads.map((kind) => percent(right[kind])).join('')}`);
  }
};

export const run = async (args: readonly string[]): Promise<void> => {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: { type: { type: 'string', multiple: true } },
    allowPositionals: true,
  });
  const types = allTypes.filter((name) => values.type === undefined || values.type.includes(name));
  if (types.length < (values.type?.length ?? 0)) throw new Error(`types are ${allTypes.join(', ')}`);
  const [dir] = positionals;
  if (dir !== undefined) return report(path.basename(dir), dir, await sampleProbes(dir), types);
  const fixtures = `${root}fixtures`;
  const model = 'qwen3_5-vl-tiny';
  const references = await referenceProbes(fixtures, model);
  await report(`${model} (random weights)`, `${fixtures}/models/${model}`, references, types);
  const bundled = `${root}models/shapes-vl`;
  await report('shapes-vl (questions about its samples)', bundled, await sampleProbes(bundled), types);
  await reportAnswers(types);
};
