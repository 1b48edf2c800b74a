/** What of the machine does not change while the daemon runs: read once, at start. */
import { findCudaRuntime } from './cuda-runtime.ts';
import type { SystemFacts } from './discover.ts';
import { readHost } from './host.ts';
import { readPciCards } from './pci-cards.ts';
import { runProgram } from './run-program.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** Never throws: what cannot be read is not there. */
export const readSystem = async (env: Environment): Promise<Omit<SystemFacts, 'gpus'>> => {
  const [host, cards] = await Promise.all([readHost(), readPciCards()]);
  // Without a card there is nothing that the libraries would serve.
  const isWanted = process.platform === 'linux' && cards.some(({ vendor }) => vendor === 'nvidia');
  return {
    host,
    cards,
    runtime: isWanted ? await findCudaRuntime({ run: runProgram, env }) : null,
    visibleDevices: env['CUDA_VISIBLE_DEVICES'] ?? null,
  };
};
