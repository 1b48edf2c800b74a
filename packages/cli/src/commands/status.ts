/** `cortex status`: the fleet as it is, once or again and again. */
import { setTimeout as delay } from 'node:timers/promises';
import { CortexError } from '@cortex/core';
import { Command } from 'commander';
import { gatewayOf, withClientOptions, type ClientOptions } from '../api/client-options.ts';
import type { CommandParts } from '../command-parts.ts';
import { Screen } from '../terminal/screen.ts';
import { statusLines } from './status-report.ts';

interface StatusOptions extends ClientOptions {
  readonly json?: true;
  readonly watch?: true;
}

const watchMs = 1000;

type Show = (text: readonly string[]) => void;

/** As JSON or as lines. */
const reader =
  (parts: CommandParts, options: StatusOptions, indent: number) =>
  async (signal?: AbortSignal): Promise<readonly string[]> => {
    const gateway = gatewayOf(options, parts.env);
    const fleet = await gateway.fleet(signal);
    if (options.json === true) return [JSON.stringify(fleet, null, indent)];
    return statusLines(fleet, gateway.endpoint.url, parts.out);
  };

const isAway = (thrown: unknown): thrown is CortexError =>
  thrown instanceof CortexError && (thrown.code === 'upstream_disconnected' || thrown.code === 'upstream_timeout');

/** A gateway that answered once may be started anew meanwhile. @throws the signal's reason */
const watch = async (
  read: (signal: AbortSignal) => Promise<readonly string[]>,
  show: Show,
  showAway: (why: string) => void,
  stopped: AbortSignal,
): Promise<void> => {
  let answered = false;
  for (;;) {
    try {
      show(await read(stopped));
      answered = true;
    } catch (thrown) {
      if (!answered || !isAway(thrown)) throw thrown;
      showAway(thrown.message.split('\n')[0] ?? '');
    }
    await delay(watchMs, undefined, { signal: stopped }).catch(() => stopped.throwIfAborted());
  }
};

const status = async (parts: CommandParts, options: StatusOptions): Promise<void> => {
  const { out, err } = parts;
  const line: Show = (text) => out.line(text.join('\n'));
  if (options.watch !== true) return line(await reader(parts, options, 2)());
  const read = reader(parts, options, 0);
  const stopped = parts.interruption();
  if (!out.isTty || options.json === true) return watch(read, line, (why) => err.line(`${why}; trying again`), stopped);
  const screen = new Screen(out);
  const away = (why: string): void => screen.show([out.style('red', `${why}; trying again`)]);
  return watch(read, (text) => screen.show(text), away, stopped);
};

export const statusCommand = (parts: CommandParts): Command =>
  withClientOptions(new Command('status'))
    .description('Show nodes, devices and their memory, models, load and tokens a second.')
    .option('--json', 'as JSON, all there is')
    .option('-w, --watch', 'again every second, until Ctrl-C; with --json a line each time')
    .addHelpText('after', '\nExamples:\n  cortex status --watch\n  cortex status --json | jq .queue')
    .action((options: StatusOptions) => status(parts, options));
