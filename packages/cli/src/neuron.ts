#!/usr/bin/env node
/** The `neuron` command. */
import { homedir } from 'node:os';
import { createGgmlEngine, endProcess } from '@cortex/neuron';
import { neuronCommand } from './neuron-command.ts';
import { isDebugging, runCommand, untilAskedToStop } from './run-command.ts';

const command = neuronCommand({
  env: process.env,
  homeDir: homedir(),
  createEngine: createGgmlEngine,
  untilAskedToStop: () => untilAskedToStop(endProcess),
});

await runCommand(command, process.argv, { exit: endProcess, debug: isDebugging(process.env) });
