/** `cortex status`: the fleet as it is, once or again and again. */
import { setTimeout as delay } from 'node:timers/promises';
import { Command } from 'commander';
import { gatewayOf, withClientOptions, type ClientOptions } from '../api/client-options.ts';
import type { CommandParts } from '../command-parts.ts';
import { statusLines } from './status-report.ts';

interface StatusOptions extends ClientOptions {
  readonly json?: true;
  readonly watch?: true;
}

const watchMs = 1000;
const home = '\u001B[H';
const clearBelow = '\u001B[J';
const clearLine = '\u001B[K';
const clearAll = '\u001B[2J';

const status = async (parts: CommandParts, options: StatusOptions): Promise<void> => {
  const { out } = parts;
  const gateway = gatewayOf(options, parts.env);
  const { url } = gateway.endpoint;
  const print = async (signal?: AbortSignal): Promise<void> => {
    const fleet = await gateway.fleet(signal);
    if (options.json === true) return out.line(JSON.stringify(fleet, null, options.watch === true ? 0 : 2));
    const lines = statusLines(fleet, url, out);
    if (options.watch !== true || !out.isTty) return out.line(lines.join('\n'));
    // Written over what stood there, so that nothing flickers.
    return out.write(`${home}${lines.map((line) => line + clearLine).join('\n')}\n${clearBelow}`);
  };
  if (options.watch !== true) return print();
  const stopped = parts.interruption();
  if (out.isTty && options.json !== true) out.write(clearAll);
  while (!stopped.aborted) {
    await print(stopped);
    await delay(watchMs, undefined, { signal: stopped }).catch(() => undefined);
  }
};

export const statusCommand = (parts: CommandParts): Command =>
  withClientOptions(new Command('status'))
    .description('Show nodes, devices and their memory, models, load and tokens a second.')
    .option('--json', 'as JSON, all there is')
    .option('-w, --watch', 'again every second, until Ctrl-C; with --json a line each time')
    .addHelpText('after', '\nExamples:\n  cortex status --watch\n  cortex status --json | jq .queue')
    .action((options: StatusOptions) => status(parts, options));
