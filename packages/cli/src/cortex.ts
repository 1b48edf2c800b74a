#!/usr/bin/env node
/** The `cortex` program: the command line over this process's environment, streams, signals and exit code. */
import { homedir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { cortexCommand } from './cortex-command.ts';
import { interruption, isDebugging, onInterrupt, runCommand, untilAskedToStop } from './run-command.ts';
import { terminalOver } from './terminal/terminal.ts';

const { env, stdin, stdout, stderr } = process;

const command = cortexCommand({
  env,
  homeDir: homedir(),
  program: fileURLToPath(import.meta.url),
  stdin,
  stdout,
  out: terminalOver(stdout, env),
  err: terminalOver(stderr, env),
  untilAskedToStop,
  interruption,
  onInterrupt,
});

await runCommand(command, process.argv, { debug: isDebugging(env) });
