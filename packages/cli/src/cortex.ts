#!/usr/bin/env node
/** The `cortex` command: reads arguments, environment and signals, and leaves the work to the gateway. */
import { relative } from 'node:path';
import { ConfigError } from '@cortex/core';
import { gatewayVersion, readGatewayConfig, startGateway, type GatewayConfig } from '@cortex/gateway';
import { Command } from 'commander';

const exitCodes = { failed: 1, badConfig: 2, interrupted: 130 } as const;

const readFrom = (file: string): Promise<GatewayConfig> => readGatewayConfig({ file, env: process.env });

/** Resolves at the first SIGINT or SIGTERM; a second one ends the process at once. */
const untilAskedToStop = (): Promise<NodeJS.Signals> =>
  new Promise((resolve) => {
    const stop = (signal: NodeJS.Signals): void => {
      process.once('SIGINT', () => process.exit(exitCodes.interrupted));
      process.once('SIGTERM', () => process.exit(exitCodes.interrupted));
      resolve(signal);
    };
    process.once('SIGINT', stop);
    process.once('SIGTERM', stop);
  });

const serve = async (options: { readonly config: string }): Promise<void> => {
  const gateway = await startGateway(await readFrom(options.config));
  await untilAskedToStop();
  await gateway.close();
};

const checkConfig = async (options: { readonly config: string }): Promise<void> => {
  const { cortex, models, modelsFile } = await readFrom(options.config);
  const nAliases = Object.keys(models.aliases).length;
  const catalogue =
    modelsFile === null
      ? 'no catalogue'
      : `${models.models.length} models and ${nAliases} aliases in ${relative('', modelsFile)}`;
  const nodes = `${cortex.neurons.length} neurons, ${cortex.upstreams.length} upstreams, ${cortex.keys.length} keys`;
  console.log(`${options.config} is fine: ${nodes}, ${catalogue}`);
};

/** What went wrong, for a person: never a stack. */
const explain = (thrown: unknown): { readonly text: string; readonly code: number } => {
  if (thrown instanceof ConfigError) return { text: thrown.problems.join('\n'), code: exitCodes.badConfig };
  if (!(thrown instanceof Error)) return { text: String(thrown), code: exitCodes.failed };
  const { code } = thrown as NodeJS.ErrnoException;
  const { address, port } = thrown as { readonly address?: string; readonly port?: number };
  const where = `cannot listen on ${address ?? '?'}:${port ?? '?'}`;
  if (code === 'EADDRINUSE') return { text: `${where}: something else already does`, code: exitCodes.failed };
  if (code === 'EACCES' || code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND')
    return { text: `${where}: ${thrown.message}`, code: exitCodes.failed };
  return { text: thrown.message, code: exitCodes.failed };
};

const program = new Command('cortex')
  .description('One OpenAI- and Anthropic-compatible API over a fleet of GPU hosts.')
  .version(gatewayVersion().version)
  .showSuggestionAfterError();

program
  .command('serve')
  .description('Run the gateway until it is told to stop; running requests are let end.')
  .option('-c, --config <file>', 'its cortex.toml', 'cortex.toml')
  .addHelpText('after', '\nExample:\n  cortex serve --config /etc/cortex/cortex.toml')
  .action(serve);

program
  .command('check-config')
  .description('Read the config as serve would, and say what is wrong with it.')
  .option('-c, --config <file>', 'its cortex.toml', 'cortex.toml')
  .addHelpText('after', '\nExample:\n  cortex check-config --config ./cortex.toml')
  .action(checkConfig);

try {
  await program.parseAsync();
} catch (thrown) {
  const { text, code } = explain(thrown);
  console.error(text);
  process.exitCode = code;
}
