/**
 * `npm run bench serving`: a neuron as its clients meet it. What HTTP adds to the engine, many streams at once, a
 * conversation's second turn, a stream beside a long prompt, memory; and for each whether its bar is reached.
 */
import { parseArgs } from 'node:util';
import { defaultThreads } from '../packages/neuron/src/harness/compute-threads.ts';
import { benchModel, shapeNames, type Shape } from './bench-llama/bench-models.ts';
import { asJson, tableRow, type Measurement } from './bench-llama/measurement.ts';
import { partNames, servingRuns } from './bench-serving/serving-runs.ts';

const usage = `npm run bench serving -- [--model ${shapeNames.join('|')}] [--part ${partNames.join('|')}] [--runs N] [--threads N] [--json]`;

export const run = async (args: readonly string[]): Promise<void> => {
  const { values } = parseArgs({
    args: [...args],
    options: {
      model: { type: 'string', multiple: true },
      part: { type: 'string', multiple: true },
      runs: { type: 'string', default: '5' },
      threads: { type: 'string', default: String(defaultThreads()) },
      json: { type: 'boolean', default: false },
    },
  });
  const shapes = shapeNames.filter((name: Shape) => values.model?.includes(name) ?? true);
  const parts = partNames.filter((name) => values.part?.includes(name) ?? true);
  const [nRuns, threads] = [Number(values.runs), Number(values.threads)];
  if (
    shapes.length * parts.length === 0 ||
    !(Number.isInteger(nRuns) && nRuns > 0) ||
    !(Number.isInteger(threads) && threads > 0)
  )
    throw new Error(usage);
  const measurements: Measurement[] = [];
  for (const shape of shapes) {
    for await (const row of servingRuns(await benchModel(shape, 'q4_K'), { threads, nRuns }, parts)) {
      measurements.push(row);
      if (!values.json) console.log(Object.values(tableRow(row)).join('  '));
    }
  }
  if (values.json) console.log(asJson(measurements));
  else console.table(measurements.map(tableRow));
};
