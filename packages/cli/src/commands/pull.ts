/** `cortex pull`: a model from the Hugging Face hub into the cache that its tools share, on this machine. */
import { Command } from 'commander';
import { ConfigError } from '@cortex/core';
import type { CommandParts } from '../command-parts.ts';
import { Ended, exitCodes } from '../run-command.ts';
import { LiveLine } from '../terminal/live-line.ts';
import { oneLine } from '../terminal/plain-text.ts';
import { bytesText, durationText } from '../terminal/quantities.ts';
import { RateMeter } from '../terminal/rate-meter.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { exampleModel } from '../example-model.ts';

interface PullOptions {
  readonly anyArchitecture?: true;
}

interface Progress {
  readonly file: string;
  readonly bytesDone: number;
  readonly bytesTotal: number;
}

/** `1.2 GB of 4.0 GB  85 MB/s  33 s left  model-00001.safetensors` */
export const pullDetails = ({ file, bytesDone, bytesTotal }: Progress, bytesPerSecond: number | null): string => {
  const parts = [`${bytesText(bytesDone)} of ${bytesText(bytesTotal)}`];
  if (bytesPerSecond !== null) {
    parts.push(`${bytesText(bytesPerSecond)}/s`);
    if (bytesDone < bytesTotal && bytesPerSecond > 0)
      parts.push(`${durationText(((bytesTotal - bytesDone) / bytesPerSecond) * 1000)} left`);
  }
  return [...parts, oneLine(file)].join('  ');
};

const tickMs = 500;

/** Goes on telling the rate while nothing comes: that it sinks is what a hub that stopped sending looks like. */
class PullLine {
  readonly #id: string;
  readonly #line: LiveLine;
  readonly #meter = new RateMeter();
  readonly #ticker: NodeJS.Timeout;
  #last: Progress | null = null;

  constructor(id: string, terminal: Terminal) {
    this.#id = id;
    this.#line = new LiveLine(terminal);
    this.#ticker = setInterval(() => this.#draw(), tickMs);
  }

  get bytesTotal(): number {
    return this.#last?.bytesTotal ?? 0;
  }

  update(progress: Progress): void {
    this.#last = progress;
    this.#draw();
  }

  /** Takes it away. */
  end(): void {
    clearInterval(this.#ticker);
    this.#line.clear();
  }

  #draw(): void {
    if (this.#last === null) return;
    const { bytesDone, bytesTotal } = this.#last;
    this.#meter.add(performance.now(), bytesDone);
    const fraction = bytesTotal === 0 ? 0 : bytesDone / bytesTotal;
    this.#line.show(this.#id, fraction, pullDetails(this.#last, this.#meter.perSecond()));
  }
}

const pull = async (parts: CommandParts, id: string, options: PullOptions): Promise<void> => {
  if (!/^[^/\s]+\/[^/\s]+$/.test(id))
    throw new ConfigError([`expected ORG/NAME as on the hub, got ${JSON.stringify(id)}`]);
  const { pullModel } = await import('@cortex/neuron');
  const { out, err, env, homeDir } = parts;
  const startedMs = performance.now();
  const line = new PullLine(id, err);
  const signal = parts.interruption();
  const request = { id, env, homeDir, anyArchitecture: options.anyArchitecture === true };
  try {
    const dir = await pullModel(request, { signal, onProgress: (progress) => line.update(progress) });
    line.end();
    out.line(`${id}: ${bytesText(line.bytesTotal)} in ${durationText(performance.now() - startedMs)}\n${dir}`);
  } catch (thrown) {
    line.end();
    if (!signal.aborted) throw thrown;
    err.line(`Stopped. What has arrived stays; the same command goes on from there.`);
    throw new Ended(exitCodes.interrupted);
  }
};

const examples = `
Examples:
  cortex pull ${exampleModel}
  HF_ENDPOINT=https://hf-mirror.example cortex pull ${exampleModel}

Interrupted, it goes on where it stopped. Reads HF_ENDPOINT, HF_TOKEN (private
and gated models), HF_HUB_CACHE, HF_HOME and HF_HUB_OFFLINE as the Hugging Face
tools do, and shares their cache. A neuron on this machine serves what is there.`;

export const pullCommand = (parts: CommandParts): Command =>
  new Command('pull')
    .description('Fetch a model from the Hugging Face hub to this machine, after a look at the free space.')
    .argument('<org/name>', 'as on the hub')
    .option('--any-architecture', 'also one that no architecture here can run')
    .addHelpText('after', examples)
    .action((id: string, options: PullOptions) => pull(parts, id, options));
