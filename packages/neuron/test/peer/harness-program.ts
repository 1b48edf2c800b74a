/**
 * A neuron in a process of its own whose engine can also be asked without HTTP: answers are taken from the harness, and
 * nobody is told. Both ways go to the same threads and the same memory, for two processes differ by more than HTTP costs.
 */
import { completionRequestSchema, neuronConfigSchema, type CompletionRequest, type Harness } from '@cortex/core';
import { pino } from 'pino';
import { createGgmlEngine } from '../../src/harness/create-ggml-engine.ts';
import { startNeuron } from '../../src/main.ts';

/** What the parent sends: how to begin, or a request to run. */
export type HarnessOrder =
  | { readonly kind: 'open'; readonly modelDir: string; readonly ggml: Readonly<Record<string, unknown>> }
  | { readonly kind: 'complete'; readonly request: CompletionRequest };

export type HarnessReply =
  | { readonly kind: 'opened'; readonly url: string }
  /** Milliseconds from the first piece to the last. */
  | { readonly kind: 'completed'; readonly ms: number }
  | { readonly kind: 'failed'; readonly message: string };

let harness: Harness | null = null;

const open = async ({ modelDir, ggml }: Extract<HarnessOrder, { kind: 'open' }>): Promise<HarnessReply> => {
  const config = neuronConfigSchema.parse({
    host: '127.0.0.1',
    port: 0,
    model_dirs: [modelDir],
    harness: { ggml: { ...ggml, allow_download: false } },
  });
  const { url } = await startNeuron(
    config,
    { env: process.env, homeDir: modelDir },
    async (parts) => {
      const engine = await createGgmlEngine(parts);
      ({ harness } = engine);
      return engine;
    },
    pino({ level: 'silent' }),
  );
  return { kind: 'opened', url };
};

const complete = async (request: CompletionRequest): Promise<HarnessReply> => {
  if (harness === null) throw new Error('nothing is open');
  const context = { signal: new AbortController().signal, requestId: 'bench', client: 'bench', priority: 0 };
  let firstMs: number | null = null;
  let lastMs = 0;
  for await (const event of harness.complete(request, context)) {
    if (event.kind !== 'text') continue;
    lastMs = performance.now();
    firstMs ??= lastMs;
  }
  return { kind: 'completed', ms: lastMs - (firstMs ?? lastMs) };
};

process.on('message', (order: HarnessOrder) => {
  const answer = order.kind === 'open' ? open(order) : complete(completionRequestSchema.parse(order.request));
  answer.then(
    (reply) => process.send?.(reply),
    (error: unknown) =>
      process.send?.({ kind: 'failed', message: error instanceof Error ? error.message : String(error) }),
  );
});
process.on('disconnect', () => process.exit(0));
