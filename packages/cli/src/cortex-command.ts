/** The `cortex` command line: `serve` and `check-config`. */
import { relative } from 'node:path';
import { gatewayVersion, readGatewayConfig, startGateway, type GatewayConfig } from '@cortex/gateway';
import { Command } from 'commander';

export interface CortexCommandParts {
  readonly env: Readonly<Record<string, string | undefined>>;
  untilAskedToStop(): Promise<unknown>;
}

interface ConfigOption {
  readonly config: string;
}

const readFrom = (parts: CortexCommandParts, { config }: ConfigOption): Promise<GatewayConfig> =>
  readGatewayConfig({ file: config, env: parts.env });

const serve = async (parts: CortexCommandParts, options: ConfigOption): Promise<void> => {
  const gateway = await startGateway(await readFrom(parts, options));
  // Standard output is the log's.
  console.error(gateway.startup);
  await parts.untilAskedToStop();
  await gateway.close();
};

const checkConfig = async (parts: CortexCommandParts, options: ConfigOption): Promise<void> => {
  const { cortex, models, modelsFile } = await readFrom(parts, options);
  const nAliases = Object.keys(models.aliases).length;
  const catalogue =
    modelsFile === null
      ? 'no catalogue'
      : `${models.models.length} models and ${nAliases} aliases in ${relative('', modelsFile)}`;
  const nodes = `${cortex.neurons.length} neurons, ${cortex.upstreams.length} upstreams, ${cortex.keys.length} keys`;
  console.log(`${options.config} is fine: ${nodes}, ${catalogue}`);
};

export const cortexCommand = (parts: CortexCommandParts): Command => {
  const program = new Command('cortex')
    .description('One OpenAI- and Anthropic-compatible API over a fleet of GPU hosts.')
    .version(gatewayVersion().version)
    .showSuggestionAfterError()
    .exitOverride();

  program
    .command('serve')
    .description('Run the gateway until told to stop; running requests are let end.')
    .option('-c, --config <file>', 'its settings', 'cortex.toml')
    .addHelpText('after', '\nExample:\n  cortex serve --config /etc/cortex/cortex.toml')
    .action((options: ConfigOption) => serve(parts, options));

  program
    .command('check-config')
    .description('Read the settings as serve would, and say what is wrong with them.')
    .option('-c, --config <file>', 'its settings', 'cortex.toml')
    .addHelpText('after', '\nExample:\n  cortex check-config --config ./cortex.toml')
    .action((options: ConfigOption) => checkConfig(parts, options));

  return program;
};
