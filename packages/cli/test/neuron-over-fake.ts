/** The `neuron` command as a process, over an engine without weights. */
import { homedir } from 'node:os';
import { FakeHarness } from '../../neuron/test/fake-harness.ts';
import { neuronCommand } from '../src/neuron-command.ts';
import { runCommand, untilAskedToStop } from '../src/run-command.ts';

const harness = new FakeHarness();

await runCommand(
  neuronCommand({
    env: process.env,
    homeDir: homedir(),
    createEngine: async () => ({ harness, ggml: { version: '0', commit: 'none' }, backends: ['fake'] }),
    untilAskedToStop,
  }),
  process.argv,
);
