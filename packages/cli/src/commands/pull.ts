/** `cortex pull`: a model from the Hugging Face hub into the cache that its tools share, on this machine. */
import { Command } from 'commander';
import { ConfigError } from '@cortex/core';
import type { CommandParts } from '../command-parts.ts';
import { Ended, exitCodes } from '../run-command.ts';
import { LiveLine } from '../terminal/live-line.ts';
import { oneLine } from '../terminal/plain-text.ts';
import { bytesText, durationText } from '../terminal/quantities.ts';
import { RateMeter } from '../terminal/rate-meter.ts';
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
  if (bytesPerSecond !== null && bytesPerSecond > 0) {
    parts.push(`${bytesText(bytesPerSecond)}/s`);
    if (bytesDone < bytesTotal) parts.push(`${durationText(((bytesTotal - bytesDone) / bytesPerSecond) * 1000)} left`);
  }
  return [...parts, oneLine(file)].join('  ');
};

const pull = async (parts: CommandParts, id: string, options: PullOptions): Promise<void> => {
  if (!/^[^/\s]+\/[^/\s]+$/.test(id))
    throw new ConfigError([`expected ORG/NAME as on the hub, got ${JSON.stringify(id)}`]);
  const { pullModel } = await import('@cortex/neuron');
  const { out, err, env, homeDir } = parts;
  const line = new LiveLine(err);
  const meter = new RateMeter();
  const startedMs = performance.now();
  let last: Progress | null = null;
  const onProgress = (progress: Progress): void => {
    last = progress;
    meter.add(performance.now(), progress.bytesDone);
    line.show(
      id,
      progress.bytesTotal === 0 ? 0 : progress.bytesDone / progress.bytesTotal,
      pullDetails(progress, meter.perSecond()),
    );
  };
  const signal = parts.interruption();
  const request = { id, env, homeDir, anyArchitecture: options.anyArchitecture === true };
  try {
    const dir = await pullModel(request, { signal, onProgress });
    line.clear();
    const bytes = (last as Progress | null)?.bytesTotal ?? 0;
    out.line(`${id}: ${bytesText(bytes)} in ${durationText(performance.now() - startedMs)}\n${dir}`);
  } catch (thrown) {
    line.clear();
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
