/** Completion for fish, as a script. Pure. */
import { modelsCommandName, type CommandFacts } from './completion-facts.ts';

const quoted = (text: string): string => `'${text.replaceAll(/['\\]/g, String.raw`\$&`)}'`;

const optionLines = ({ name, options }: CommandFacts): readonly string[] =>
  options.map(({ names, description, takes }) => {
    const flags = names
      .map((flag) => (flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`))
      .join(' ');
    const value = takes === 'nothing' ? '' : takes === 'text' ? ' -x' : ' -r -F';
    return `complete -c cortex -n '__fish_seen_subcommand_from ${name}' ${flags}${value} -d ${quoted(description)}`;
  });

const argumentLines = ({ name, takesModel, choices }: CommandFacts): readonly string[] => {
  const words = takesModel ? `(cortex ${modelsCommandName} 2>/dev/null)` : choices.join(' ');
  return words === '' ? [] : [`complete -c cortex -n '__fish_seen_subcommand_from ${name}' -a ${quoted(words)}`];
};

export const fishCompletion = (commands: readonly CommandFacts[]): string =>
  [
    '# fish completion of cortex. In ~/.config/fish/config.fish: cortex completion fish | source',
    'complete -c cortex -f',
    ...commands.map(
      ({ name, description }) => `complete -c cortex -n __fish_use_subcommand -a ${name} -d ${quoted(description)}`,
    ),
    ...commands.flatMap((command) => [...optionLines(command), ...argumentLines(command)]),
    '',
  ].join('\n');
