/** Completion for zsh, as a script. Pure. */
import { modelsCommandName, type CommandFacts } from './completion-facts.ts';

/** Within single quotes; brackets and colons mean something to `_arguments`. */
const quoted = (text: string): string => text.replaceAll("'", String.raw`'\''`).replaceAll(/[[\]:]/g, String.raw`\$&`);

const takers: Readonly<Record<string, string>> = {
  nothing: '',
  file: ':file:_files',
  folder: ':folder:_files -/',
  text: ':value:',
};

const caseOf = ({ name, options, takesModel, choices }: CommandFacts): string => {
  const flags = options.flatMap(({ names, description, takes }) =>
    names.map((flag) => `'*${flag}[${quoted(description)}]${takers[takes] ?? ''}'`),
  );
  const first = takesModel
    ? ["'1:model:_cortex_models'"]
    : choices.length > 0
      ? [`'1:which:(${choices.join(' ')})'`]
      : [];
  return `    ${name}) _arguments ${[...flags, ...first].join(' ')} ;;`;
};

export const zshCompletion = (commands: readonly CommandFacts[]): string => `#compdef cortex
# zsh completion of cortex. In ~/.zshrc, after compinit: eval "$(cortex completion zsh)"
_cortex_models() {
  local -a models
  models=(\${(f)"$(cortex ${modelsCommandName} 2>/dev/null)"})
  compadd -a models
}
_cortex() {
  local -a commands
  commands=(
${commands.map(({ name, description }) => `    '${name}:${quoted(description)}'`).join('\n')}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
${commands.map(caseOf).join('\n')}
  esac
}
compdef _cortex cortex
`;
