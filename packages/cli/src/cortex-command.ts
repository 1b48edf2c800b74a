/** The `cortex` command line. A new command is a file in `commands/` and a line here. */
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import type { CommandParts } from './command-parts.ts';
import { benchCommand } from './commands/bench.ts';
import { chatCommand } from './commands/chat.ts';
import { checkConfigCommand } from './commands/check-config.ts';
import { completeCommand, completionCommand } from './commands/completion.ts';
import { doctorCommand, probeCommand } from './commands/doctor.ts';
import { loadCommand } from './commands/load.ts';
import { modelsCommand } from './commands/models.ts';
import { pullCommand } from './commands/pull.ts';
import { serveCommand } from './commands/serve.ts';
import { statusCommand } from './commands/status.ts';
import { unloadCommand } from './commands/unload.ts';
import { upCommand } from './commands/up.ts';

const commands: readonly ((parts: CommandParts) => Command)[] = [
  upCommand,
  serveCommand,
  statusCommand,
  modelsCommand,
  loadCommand,
  unloadCommand,
  pullCommand,
  chatCommand,
  benchCommand,
  doctorCommand,
  checkConfigCommand,
];

/** For programs, not shown to people. */
const hidden: readonly ((parts: CommandParts) => Command)[] = [probeCommand, completeCommand];

const version = (): string => {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { readonly version: string }).version;
};

const after = `
Examples:
  cortex up                        a gateway and a neuron on this machine
  cortex chat                      talk to the model that is loaded
  cortex status --watch            what the fleet is doing

status, models, load, unload, chat and bench ask the gateway at --url,
CORTEX_URL or http://127.0.0.1:31313, with the key of --api-key or
CORTEX_API_KEY. NO_COLOR switches colours off.

Exit codes: 0 done, 1 failed, 2 wrong arguments or settings, 130 interrupted.`;

export const cortexCommand = (parts: CommandParts): Command => {
  const program = new Command('cortex')
    .description('One OpenAI- and Anthropic-compatible API over a fleet of GPU hosts.')
    .version(version())
    .helpCommand(false)
    .addHelpText('after', after)
    .exitOverride();
  for (const make of commands) program.addCommand(make(parts));
  program.addCommand(completionCommand(parts, program));
  for (const make of hidden) program.addCommand(make(parts), { hidden: true });
  // Commands made elsewhere do not inherit these.
  for (const command of [program, ...program.commands]) command.exitOverride().showSuggestionAfterError();
  return program;
};
