/** Of a command line, what a shell has to know to complete it. Pure. */
import type { Command } from 'commander';

export interface CommandFacts {
  readonly name: string;
  readonly description: string;
  readonly options: readonly OptionFacts[];
  /** Its first argument is a model. */
  readonly takesModel: boolean;
  /** Its first argument is one of these. */
  readonly choices: readonly string[];
}

interface OptionFacts {
  /** `--image`, `-i`. */
  readonly names: readonly string[];
  readonly description: string;
  readonly takes: 'nothing' | 'file' | 'folder' | 'text';
}

const takesOf = (flags: string): OptionFacts['takes'] => {
  const value = /<(\w+)>/.exec(flags)?.[1];
  if (value === undefined) return 'nothing';
  return value === 'file' ? 'file' : value === 'dir' ? 'folder' : 'text';
};

const factsOf = (command: Command): CommandFacts => {
  const [first] = command.registeredArguments;
  return {
    name: command.name(),
    description: command.description(),
    takesModel: first?.name() === 'model',
    choices: first?.argChoices ?? [],
    options: [...command.options, { long: '--help', short: '-h', flags: '-h, --help', description: 'its help' }].map(
      (option) => ({
        names: [option.long, option.short].filter((name) => name !== undefined && name !== null),
        description: option.description,
        takes: takesOf(option.flags),
      }),
    ),
  };
};

/** The commands that people are shown. */
export const completionFacts = (program: Command): readonly CommandFacts[] =>
  program
    .createHelp()
    .visibleCommands(program)
    .map((command) => factsOf(command));

/** Prints the names of the models, one a line. */
export const modelsCommandName = 'complete-models';
