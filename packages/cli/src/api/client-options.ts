/** How a command is told which gateway to ask: flags, then `CORTEX_URL` and `CORTEX_API_KEY`, then this machine's. */
import { ConfigError, endpointSchema } from '@cortex/core';
import type { Command } from 'commander';
import { GatewayApi } from './gateway-api.ts';

export interface ClientOptions {
  readonly url?: string;
  readonly apiKey?: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

export const urlDefault = 'http://127.0.0.1:31313';

export const withClientOptions = (command: Command): Command =>
  command
    .option('--url <url>', `the gateway (default: CORTEX_URL, else ${urlDefault})`)
    .option('--api-key <key>', 'the key it asks for (default: CORTEX_API_KEY)');

const filled = (text: string | undefined): string | undefined => (text === '' ? undefined : text);

/** @throws ConfigError when the address cannot be one. */
export const gatewayOf = (options: ClientOptions, env: Environment): GatewayApi => {
  const given = options.url ?? filled(env['CORTEX_URL']) ?? urlDefault;
  const url = endpointSchema.safeParse(given);
  if (!url.success) {
    const name = options.url === undefined ? 'CORTEX_URL' : '--url';
    throw new ConfigError([
      `${name}: ${url.error.issues[0]?.message ?? 'not an address'}, got ${JSON.stringify(given)}`,
    ]);
  }
  const apiKey = options.apiKey ?? filled(env['CORTEX_API_KEY']);
  // Clients of the OpenAI kind are given the address with /v1; here it is meant the same.
  const base = url.data.replace(/\/v1$/, '');
  return new GatewayApi({ url: base, ...(apiKey === undefined ? {} : { apiKey }) });
};
