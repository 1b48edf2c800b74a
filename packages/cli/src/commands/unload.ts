/** `cortex unload`: a model out of memory. */
import { ConfigError } from '@cortex/core';
import { Command } from 'commander';
import { gatewayOf, withClientOptions, type ClientOptions } from '../api/client-options.ts';
import type { CommandParts } from '../command-parts.ts';
import { exampleModel } from '../example-model.ts';

interface UnloadOptions extends ClientOptions {
  readonly node?: string;
  readonly wait?: true;
  readonly force?: true;
}

const unload = async (parts: CommandParts, model: string, options: UnloadOptions): Promise<void> => {
  const { node, wait, force } = options;
  if (wait === true && force === true) throw new ConfigError(['--wait and --force exclude each other']);
  const mode = force === true ? 'force' : wait === true ? 'wait' : 'refuse';
  const gateway = gatewayOf(options, parts.env);
  const nodes = await gateway.unload(model, { mode, ...(node === undefined ? {} : { node }) });
  parts.out.line(nodes.length === 0 ? `${model} is not loaded` : `${model} is unloaded from ${nodes.join(', ')}`);
};

export const unloadCommand = (parts: CommandParts): Command =>
  withClientOptions(new Command('unload'))
    .description('Unload a model everywhere. Refused while requests run on it, unless told otherwise.')
    .argument('<model>', 'as cortex models lists it')
    .option('-n, --node <name>', 'only there')
    .option('--wait', 'let running requests end first')
    .option('--force', 'end running requests')
    .addHelpText(
      'after',
      `\nExamples:\n  cortex unload ${exampleModel}\n  cortex unload ${exampleModel} --node beast --wait`,
    )
    .action((model: string, options: UnloadOptions) => unload(parts, model, options));
