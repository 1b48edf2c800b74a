/** Completion for bash, as a script. Pure. */
import { modelsCommandName, type CommandFacts } from './completion-facts.ts';

const optionsTaking = (commands: readonly CommandFacts[], takes: string): readonly string[] => [
  ...new Set(
    commands.flatMap(({ options }) => options.filter((option) => option.takes === takes).flatMap(({ names }) => names)),
  ),
];

const caseOf = ({ name, options, takesModel, choices }: CommandFacts): string => {
  const flags = options.flatMap(({ names }) => names).join(' ');
  const words = takesModel ? `$(cortex ${modelsCommandName} 2>/dev/null)` : choices.join(' ');
  return `    ${name}) flags="${flags}"; [[ $cur == -* ]] || words="${words}" ;;`;
};

export const bashCompletion = (commands: readonly CommandFacts[]): string => {
  const values = optionsTaking(commands, 'text').join('|');
  const files = [...optionsTaking(commands, 'file'), ...optionsTaking(commands, 'folder')].join('|');
  return `# bash completion of cortex. In ~/.bashrc: eval "$(cortex completion bash)"
_cortex() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} flags="" words=""
  COMPREPLY=()
  if (( COMP_CWORD == 1 )); then
    mapfile -t COMPREPLY < <(compgen -W "${commands.map(({ name }) => name).join(' ')} --help --version" -- "$cur")
    return
  fi
  case $prev in
    ${files}) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
    ${values}) return ;;
  esac
  case \${COMP_WORDS[1]} in
${commands.map(caseOf).join('\n')}
  esac
  if [[ $cur == -* ]]; then words=$flags; fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}
complete -o filenames -o nosort -F _cortex cortex
`;
};
