/** `cortex bench`: time to the first token, prefill and decode of a running gateway or neuron, as its clients see them. */
import type { ContentPart } from '@cortex/core';
import { Command, InvalidArgumentError } from 'commander';
import { gatewayOf, withClientOptions, type ClientOptions } from '../api/client-options.ts';
import type { GatewayApi } from '../api/gateway-api.ts';
import { imagePart } from '../api/image-part.ts';
import { benchFigures, type BenchFigures, type RequestTimes } from '../bench/bench-figures.ts';
import { benchPrompt } from '../bench/bench-prompt.ts';
import { pickModel } from '../chat/pick-model.ts';
import type { CommandParts } from '../command-parts.ts';
import { Ended, exitCodes } from '../run-command.ts';
import { LiveLine } from '../terminal/live-line.ts';
import { durationText } from '../terminal/quantities.ts';
import { tableLines } from '../terminal/table.ts';
import { exampleModel } from '../example-model.ts';

interface BenchOptions extends ClientOptions {
  readonly requests: number;
  readonly concurrency: number;
  readonly promptTokens: number;
  readonly maxTokens: number;
  readonly image?: string;
  readonly json?: true;
}

interface Job {
  readonly gateway: GatewayApi;
  readonly model: string;
  readonly images: readonly ContentPart[];
  readonly options: BenchOptions;
  readonly signal: AbortSignal;
}

const timeOne = async ({ gateway, model, images, options, signal }: Job): Promise<RequestTimes> => {
  const text = benchPrompt(options.promptTokens);
  const content = images.length === 0 ? text : [...images, { type: 'text', text } as const];
  const startedMs = performance.now();
  let firstTokenMs: number | null = null;
  let promptTokens = 0;
  let cachedTokens = 0;
  let completionTokens = 0;
  const request = {
    model,
    max_tokens: options.maxTokens,
    temperature: 0,
    messages: [{ role: 'user' as const, content }],
  };
  for await (const event of gateway.chat(request, signal)) {
    if (event.kind === 'text' || event.kind === 'reasoning') firstTokenMs ??= performance.now() - startedMs;
    if (event.kind !== 'end' || event.usage === null) continue;
    ({ prompt_tokens: promptTokens, completion_tokens: completionTokens } = event.usage);
    cachedTokens = event.usage.prompt_tokens_details?.cached_tokens ?? 0;
  }
  const totalMs = performance.now() - startedMs;
  return { promptTokens, cachedTokens, completionTokens, firstTokenMs: firstTokenMs ?? totalMs, totalMs };
};

interface Run {
  readonly figures: BenchFigures;
  readonly firstError: unknown;
}

/** `concurrency` loops that each ask again as soon as they were answered. */
const runAll = async (job: Job, onDone: (done: number) => void): Promise<Run> => {
  const { requests, concurrency } = job.options;
  const times: RequestTimes[] = [];
  let failed = 0;
  let firstError: unknown = null;
  let begun = 0;
  const loop = async (): Promise<void> => {
    while (begun < requests && !job.signal.aborted) {
      begun += 1;
      try {
        times.push(await timeOne(job));
      } catch (thrown) {
        job.signal.throwIfAborted();
        failed += 1;
        firstError ??= thrown;
      }
      onDone(times.length + failed);
    }
  };
  const startedMs = performance.now();
  await Promise.all(Array.from({ length: Math.min(concurrency, requests) }, loop));
  return { figures: benchFigures(times, failed, performance.now() - startedMs), firstError };
};

const columns = [
  { title: '' },
  { title: 'MEDIAN', align: 'right' },
  { title: 'P95', align: 'right' },
  { title: 'MIN', align: 'right' },
  { title: 'MAX', align: 'right' },
] as const;

const row = (name: string, spread: BenchFigures['ttft_ms']): readonly (readonly string[])[] =>
  spread === null
    ? []
    : [[name, ...[spread.median, spread.p95, spread.min, spread.max].map((value) => value.toFixed(1))]];

/** What was measured, as a table. */
export const benchLines = (figures: BenchFigures): readonly string[] => {
  const { requests, failed, prompt_tokens: prompt, completion_tokens: completion } = figures;
  return [
    ...tableLines(columns, [
      ...row('first token, ms', figures.ttft_ms),
      ...row('prefill, tok/s', figures.prefill_tok_s),
      ...row('decode, tok/s', figures.decode_tok_s),
    ]),
    '',
    `${requests} requests in ${durationText(figures.duration_ms)}${failed === 0 ? '' : `, ${failed} failed`}; ` +
      `${prompt} prompt and ${completion} answer tokens; ${figures.completion_tok_s_total.toFixed(1)} tok/s together`,
  ];
};

const bench = async (parts: CommandParts, asked: string | undefined, options: BenchOptions): Promise<void> => {
  const { out, err } = parts;
  const gateway = gatewayOf(options, parts.env);
  const images = options.image === undefined ? [] : [await imagePart(options.image, parts.homeDir)];
  const model = pickModel(await gateway.models(), asked);
  const job: Job = { gateway, model, images, options, signal: parts.interruption() };
  const line = new LiveLine(err);
  line.show(`${model}: warming up`, 0, '');
  await timeOne(job);
  const { figures, firstError } = await runAll(job, (done) => {
    line.show(model, done / options.requests, `${done} of ${options.requests}`);
  });
  line.clear();
  const { concurrency, requests } = options;
  if (options.json === true)
    out.line(JSON.stringify({ url: gateway.endpoint.url, model, concurrency, ...figures }, null, 2));
  else {
    out.line(`${out.style('bold', model)} at ${gateway.endpoint.url}, ${requests} requests, ${concurrency} at once\n`);
    out.line(benchLines(figures).join('\n'));
  }
  if (figures.failed === 0) return;
  err.line(
    `${figures.failed} failed; the first: ${firstError instanceof Error ? firstError.message : String(firstError)}`,
  );
  throw new Ended(exitCodes.failed);
};

const count = (text: string): number => {
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('expected a number from 1');
};

const examples = `
Examples:
  cortex bench -n 20 -c 4
  cortex bench ${exampleModel} --url http://beast:13131 -p 4096 --json

One request more is made first and not counted: it loads the model.`;

export const benchCommand = (parts: CommandParts): Command =>
  withClientOptions(new Command('bench'))
    .description('Measure time to first token, prefill and decode of a running gateway, or of a neuron by --url.')
    .argument('[model]', 'default: the one that is loaded')
    .option('-n, --requests <count>', 'how many', count, 8)
    .option('-c, --concurrency <count>', 'at once', count, 1)
    .option('-p, --prompt-tokens <count>', 'of each prompt, about', count, 256)
    .option('-m, --max-tokens <count>', 'longest answer', count, 64)
    .option('-i, --image <file>', 'with a picture in each')
    .option('--json', 'as JSON')
    .addHelpText('after', examples)
    .action((model: string | undefined, options: BenchOptions) => bench(parts, model, options));
