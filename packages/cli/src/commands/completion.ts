/** `cortex completion`: a script that lets a shell complete commands, options, and the names of models. */
import { Argument, Command } from 'commander';
import { gatewayOf } from '../api/client-options.ts';
import type { CommandParts } from '../command-parts.ts';
import { bashCompletion } from '../completion/bash.ts';
import { completionFacts, modelsCommandName, type CommandFacts } from '../completion/completion-facts.ts';
import { fishCompletion } from '../completion/fish.ts';
import { zshCompletion } from '../completion/zsh.ts';
import { oneLine } from '../terminal/plain-text.ts';

const shells = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion } as const satisfies Record<
  string,
  (commands: readonly CommandFacts[]) => string
>;

const examples = `
Examples:
  eval "$(cortex completion bash)"           in ~/.bashrc
  eval "$(cortex completion zsh)"            in ~/.zshrc, after compinit
  cortex completion fish | source            in ~/.config/fish/config.fish`;

/** @param program whose commands are completed, as it is when this is run */
export const completionCommand = ({ out }: CommandParts, program: Command): Command =>
  new Command('completion')
    .description('Print a script that completes commands, options and models in a shell.')
    .addArgument(new Argument('<shell>', 'which').choices(Object.keys(shells)))
    .addHelpText('after', examples)
    .action((shell: keyof typeof shells) => out.write(shells[shell](completionFacts(program))));

/** Asked by those scripts at a press of the tab key: without a gateway there is nothing to offer, and nothing to say. */
export const completeCommand = ({ out, env }: CommandParts): Command =>
  new Command(modelsCommandName).action(async () => {
    const models = await gatewayOf({}, env)
      .models()
      .catch(() => []);
    for (const { id } of models) out.line(oneLine(id));
  });
