/**
 * `npm run bench llama`: this engine against llama.cpp itself (node-llama-cpp's build of it, the same kernels) on the same
 * weights, in alternating runs. Medians, and for each whether its bar is reached.
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { howToInstall, isInstalled } from '../packages/neuron/test/peer/llama-addon.ts';
import { benchModel, shapeNames, typeNames } from './bench-llama/bench-models.ts';
import { engineRuns, kvNames } from './bench-llama/engine-runs.ts';
import { asJson, tableRow, type Measurement } from './bench-llama/measurement.ts';

const usage = `npm run bench llama -- [--model ${shapeNames.join('|')}] [--type ${typeNames.join('|')}] [--kv ${kvNames.join('|')}] [--runs N] [--threads N] [--json]`;

const chosen = <T extends string>(known: readonly T[], given: readonly string[] | undefined): readonly T[] =>
  given === undefined ? known : known.filter((name) => given.includes(name));

const isCount = (n: number): boolean => Number.isInteger(n) && n >= 1;

const optionsOf = (args: readonly string[]) => {
  const { values } = parseArgs({
    args: [...args],
    options: {
      model: { type: 'string', multiple: true },
      type: { type: 'string', multiple: true },
      kv: { type: 'string', default: 'auto' },
      runs: { type: 'string', default: '5' },
      threads: { type: 'string', default: String(availableParallelism()) },
      json: { type: 'boolean', default: false },
    },
  });
  return {
    shapes: chosen(shapeNames, values.model),
    types: chosen(typeNames, values.type),
    kv: kvNames.find((name) => name === values.kv),
    nRuns: Number(values.runs),
    threads: Number(values.threads),
    isJson: values.json,
  };
};

export const run = async (args: readonly string[]): Promise<void> => {
  const { shapes, types, kv, nRuns, threads, isJson } = optionsOf(args);
  const isMeant = shapes.length > 0 && types.length > 0 && isCount(nRuns) && isCount(threads);
  if (!isMeant || kv === undefined) throw new Error(usage);
  if (!isInstalled()) throw new Error(`llama.cpp is not installed here: ${howToInstall}`);
  const measurements: Measurement[] = [];
  for (const shape of shapes) {
    for (const type of types) {
      const rows = await engineRuns(await benchModel(shape, type), { threads, nRuns, kv });
      measurements.push(...rows);
      if (!isJson) console.table(rows.map(tableRow));
    }
  }
  if (isJson) console.log(asJson(measurements));
};
