/** What is wrong with a config file or a command line, said to a person: never a stack, every problem at once. */

export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  /** One line each: `neuron.toml:3: port: expected number, received string`. */
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.problems = problems;
  }
}
