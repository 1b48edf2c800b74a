/**
 * The neuron of `cortex up`, a process of its own so that a crash of the GPU's driver leaves the gateway alone. It
 * lives no longer than its parent: when the channel between them closes, it ends, however the parent died.
 */
import { homedir } from 'node:os';
import { createGgmlEngine, endProcess, startNeuron, type Neuron } from '@cortex/neuron';
import type { FromNeuron, ToNeuron } from './up/neuron-messages.ts';

/** For what runs when the parent is gone: nobody is left to take an answer. */
const orphanGraceMs = 3000;

let neuron: Neuron | null = null;

const tell = (message: FromNeuron): void => {
  if (process.connected) process.send?.(message);
};

const start = async ({ config }: Extract<ToNeuron, { kind: 'start' }>): Promise<void> => {
  try {
    neuron = await startNeuron(config, { env: process.env, homeDir: homedir() }, createGgmlEngine);
    tell({ kind: 'listening', url: neuron.url });
  } catch (thrown) {
    tell({ kind: 'failed', message: thrown instanceof Error ? thrown.message : String(thrown) });
    // The message leaves before the process does.
    setImmediate(() => endProcess(1));
  }
};

const stop = async (graceMs?: number): Promise<void> => {
  await neuron?.close(graceMs).catch(() => undefined);
  endProcess(0);
};

process.on('message', (message: ToNeuron) => void (message.kind === 'start' ? start(message) : stop()));
process.on('disconnect', () => {
  setTimeout(() => endProcess(1), orphanGraceMs).unref();
  void stop(0);
});
process.on('SIGTERM', () => void stop());
// A terminal sends its Ctrl-C to both; the parent decides what it means.
process.on('SIGINT', () => undefined);
