/** `cortex check-config`: the files read as `serve` reads them. */
import { relative } from 'node:path';
import { Command } from 'commander';
import type { CommandParts } from '../command-parts.ts';

interface CheckOptions {
  readonly config: string;
}

const checkConfig = async ({ env, out }: CommandParts, options: CheckOptions): Promise<void> => {
  const { readGatewayConfig } = await import('@cortex/gateway');
  const { cortex, models, modelsFile } = await readGatewayConfig({ file: options.config, env });
  const nAliases = Object.keys(models.aliases).length;
  const catalogue =
    modelsFile === null
      ? 'no catalogue'
      : `${models.models.length} models and ${nAliases} aliases in ${relative('', modelsFile)}`;
  const nodes = `${cortex.neurons.length} neurons, ${cortex.upstreams.length} upstreams, ${cortex.keys.length} keys`;
  out.line(`${options.config} is fine: ${nodes}, ${catalogue}`);
};

export const checkConfigCommand = (parts: CommandParts): Command =>
  new Command('check-config')
    .description('Read the settings as serve would, and say what is wrong with them.')
    .option('-c, --config <file>', 'its settings', 'cortex.toml')
    .addHelpText('after', '\nExample:\n  cortex check-config --config ./cortex.toml')
    .action((options: CheckOptions) => checkConfig(parts, options));
