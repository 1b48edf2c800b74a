/**
 * `npm run soak`: mixed traffic against one real neuron for half an hour, unless told otherwise: text and pictures,
 * streams and whole answers, tools and schemas, embeddings, mistakes, clients that leave, models that come and go. Ends
 * with 1 when a request is unaccounted for, a slot is lost or memory grows.
 */
import { parseArgs } from 'node:util';
import { median } from './median.ts';
import type { Ledger } from './soak/ledger.ts';
import type { Reading } from './soak/process-readings.ts';
import { runSoak, type SoakResult } from './soak/run-soak.ts';

const usage = 'npm run soak -- [--minutes N] [--clients N] [--seed N]';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    clients: { type: 'string', default: '14' },
    seed: { type: 'string', default: '1' },
  },
});
const [minutes, nClients, seed] = [values.minutes, values.clients, values.seed].map(Number) as [number, number, number];

const line = (reading: Reading, ledger: Ledger): string =>
  [
    `${reading.atSecs.toFixed(0)} s`,
    `${ledger.nAll} requests`,
    `RSS ${reading.rssMb.toFixed(0)}`,
    `heap ${reading.heapMb.toFixed(0)}`,
    `external ${reading.externalMb.toFixed(0)}`,
    `native ${reading.nativeMb.toFixed(1)} MiB in ${reading.nativeHandles}`,
    `${reading.nFds} fds`,
    `${reading.nThreads} threads`,
    `loop p99 ${reading.loopP99Ms.toFixed(0)} ms`,
  ].join(', ');

/** Medians of ten parts of the run. */
const byTenths = (readings: readonly Reading[], of: (reading: Reading) => number): string =>
  Array.from({ length: 10 }, (_, i) => {
    const part = readings.slice((i * readings.length) / 10, ((i + 1) * readings.length) / 10).map(of);
    return median(part).toFixed(0);
  }).join(', ');

const report = ({ ledger, readings, empty, faults }: SoakResult): string =>
  [
    `${ledger.nAll} requests: ${ledger.nDone} answered, ${ledger.nErrors} refused, ${ledger.nCancelled} left by their clients`,
    `kinds: ${[...ledger.kinds].map(([kind, n]) => `${n} ${kind}`).join(', ')}`,
    `refusals: ${[...ledger.errors].map(([code, n]) => `${n} ${code}`).join(', ')}`,
    `${ledger.promptTokens} prompt tokens, ${ledger.cachedTokens} of them cached; ${ledger.completionTokens} generated`,
    `${ledger.nCompared} greedy answers were the same as before`,
    ...(readings.length < 10 ? [] : [`RSS by tenths of the run: ${byTenths(readings, ({ rssMb }) => rssMb)}`]),
    `with nothing loaded, before: ${line(empty.before, ledger)}`,
    `with nothing loaded, after:  ${line(empty.after, ledger)}`,
    ...(faults.length === 0 ? ['nothing leaked, nothing was lost'] : faults.map((fault) => `FAULT ${fault}`)),
  ].join('\n');

if (!(minutes > 0 && Number.isInteger(nClients) && nClients > 0 && Number.isInteger(seed))) {
  console.error(usage);
  process.exitCode = 2;
} else {
  const onReading = (reading: Reading, ledger: Ledger): void => console.log(line(reading, ledger));
  const result = await runSoak({ secs: minutes * 60, nClients, seed, isBuilt: true, onReading });
  console.log(report(result));
  if (result.faults.length > 0) process.exitCode = 1;
}
