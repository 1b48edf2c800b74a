/** The `neuron` command line over any engine: `serve` and `check-config`. */
import type { Override } from '@cortex/core';
import { neuronVersion, readNeuronConfig, startNeuron } from '@cortex/neuron';
import type { EngineFactory, NeuronConfigFile, NeuronEnvironment } from '@cortex/neuron';
import { Command } from 'commander';
import { exampleModel } from './example-model.ts';
import { repeatableOption } from './repeatable-option.ts';
import { counted } from './terminal/quantities.ts';

export interface NeuronCommandParts extends NeuronEnvironment {
  readonly createEngine: EngineFactory;
  untilAskedToStop(): Promise<unknown>;
}

interface ServeOptions {
  readonly config?: string;
  readonly port?: string;
  readonly modelDir?: readonly string[];
  readonly load?: readonly string[];
}

/** The schema judges the value: a port that is no number is refused in its words. */
const portFlag = (port: string | undefined): readonly Override[] =>
  port === undefined ? [] : [{ name: '--port', path: ['port'], value: /^\d+$/.test(port) ? Number(port) : port }];

const readFrom = (parts: NeuronCommandParts, options: ServeOptions): Promise<NeuronConfigFile> =>
  readNeuronConfig({
    file: options.config ?? null,
    env: parts.env,
    homeDir: parts.homeDir,
    flags: portFlag(options.port),
    modelDirs: options.modelDir ?? [],
    load: options.load ?? [],
  });

const serve = async (parts: NeuronCommandParts, options: ServeOptions): Promise<void> => {
  const { config } = await readFrom(parts, options);
  const neuron = await startNeuron(config, parts, parts.createEngine);
  // Standard output is the log's.
  console.error(neuron.startup);
  await parts.untilAskedToStop();
  await neuron.close();
};

const checkConfig = async (parts: NeuronCommandParts, options: { readonly config?: string }): Promise<void> => {
  const { config, file } = await readFrom(parts, options);
  const models = [
    counted(config.model_dirs.length, 'model dir'),
    counted(config.default_models.length, 'default model'),
  ];
  console.log(
    file === null ? 'there is no neuron.toml here; the defaults apply' : `${file} is fine: ${models.join(', ')}`,
  );
};

const configOption = ['-c, --config <file>', 'its settings (default: neuron.toml, if there is one)'] as const;

export const neuronCommand = (parts: NeuronCommandParts): Command => {
  const program = new Command('neuron')
    .description('Serves models from this host, in its own process.')
    .version(neuronVersion())
    .showSuggestionAfterError()
    .exitOverride();

  program
    .command('serve')
    .description('Run until told to stop; running requests may finish first.')
    .option(...configOption)
    .option('-p, --port <port>', 'listen on this port instead')
    .addOption(repeatableOption('-m, --model-dir <dir>', 'look for models here too'))
    .addOption(repeatableOption('-l, --load <id>', 'load this model at start'))
    .addHelpText('after', `\nExample:\n  neuron serve --model-dir ./models --load ${exampleModel}`)
    .action((options: ServeOptions) => serve(parts, options));

  program
    .command('check-config')
    .description('Read the settings as serve would, and say what is wrong with them.')
    .option(...configOption)
    .addHelpText('after', '\nExample:\n  neuron check-config --config ./neuron.toml')
    .action((options: { readonly config?: string }) => checkConfig(parts, options));

  return program;
};
