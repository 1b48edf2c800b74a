/** `cortex serve`: the gateway alone, over the nodes of its file. */
import { existsSync } from 'node:fs';
import { ConfigError } from '@cortex/core';
import { Command } from 'commander';
import type { CommandParts } from '../command-parts.ts';

interface ServeOptions {
  readonly config: string;
}

const withoutFile = (file: string): string =>
  `${file}: no such file. It names the nodes; at the least

[[neurons]]
name = "here"
endpoint = "http://127.0.0.1:13131"

For this machine alone, "cortex up" needs no file.`;

const serve = async ({ env, untilAskedToStop }: CommandParts, { config }: ServeOptions): Promise<void> => {
  if (!existsSync(config)) throw new ConfigError([withoutFile(config)]);
  const { readGatewayConfig, startGateway } = await import('@cortex/gateway');
  const gateway = await startGateway(await readGatewayConfig({ file: config, env }));
  // Standard output is the log's.
  console.error(gateway.startup);
  await untilAskedToStop();
  await gateway.close();
};

export const serveCommand = (parts: CommandParts): Command =>
  new Command('serve')
    .description('Run the gateway until told to stop; running requests may finish first.')
    .option('-c, --config <file>', 'its settings', 'cortex.toml')
    .addHelpText('after', '\nExample:\n  cortex serve --config /etc/cortex/cortex.toml')
    .action((options: ServeOptions) => serve(parts, options));
