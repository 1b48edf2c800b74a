/** `cortex check-config`: the files read as `serve` reads them. */
import { relative } from 'node:path';
import { Command } from 'commander';
import type { CommandParts } from '../command-parts.ts';
import { counted } from '../terminal/quantities.ts';

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
      : `${counted(models.models.length, 'model')} and ${counted(nAliases, 'alias')} in ${relative('', modelsFile)}`;
  const { neurons, upstreams, keys } = cortex;
  const nodes = [counted(neurons.length, 'neuron'), counted(upstreams.length, 'upstream'), counted(keys.length, 'key')];
  out.line(`${options.config} is fine: ${nodes.join(', ')}, ${catalogue}`);
};

export const checkConfigCommand = (parts: CommandParts): Command =>
  new Command('check-config')
    .description('Read the settings as serve would, and say what is wrong with them.')
    .option('-c, --config <file>', 'its settings', 'cortex.toml')
    .addHelpText('after', '\nExample:\n  cortex check-config --config ./cortex.toml')
    .action((options: CheckOptions) => checkConfig(parts, options));
