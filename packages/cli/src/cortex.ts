#!/usr/bin/env node
/** The `cortex` program: the command line over this process's environment, signals and exit code. */
import { cortexCommand } from './cortex-command.ts';
import { runCommand, untilAskedToStop } from './run-command.ts';

await runCommand(cortexCommand({ env: process.env, untilAskedToStop }), process.argv);
