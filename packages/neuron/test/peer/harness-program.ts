/** The same engine without HTTP, in a process of its own: answers are taken from the harness, and nobody is told. */
import { completionRequestSchema, neuronConfigSchema, type CompletionRequest } from '@cortex/core';
import { pino } from 'pino';
import { createGgmlEngine } from '../../src/harness/create-ggml-engine.ts';
import { ModelStore } from '../../src/model-store/model-store.ts';

/** What the parent sends: how to begin, or a request to run. Answered by milliseconds from the first piece to the last. */
export type HarnessOrder =
  | { readonly kind: 'open'; readonly modelDir: string; readonly ggml: Readonly<Record<string, unknown>> }
  | { readonly kind: 'complete'; readonly request: CompletionRequest };

type Harness = Awaited<ReturnType<typeof createGgmlEngine>>['harness'];
let harness: Harness | null = null;

const open = async ({ modelDir, ggml }: Extract<HarnessOrder, { kind: 'open' }>): Promise<number> => {
  const config = neuronConfigSchema.parse({ harness: { ggml } }).harness.ggml;
  const store = new ModelStore({ modelDirs: [modelDir], hubCacheDir: `${modelDir}/none`, hub: null });
  ({ harness } = await createGgmlEngine({
    config,
    env: process.env,
    defaultModels: [],
    store,
    log: pino({ level: 'silent' }),
  }));
  return 0;
};

const complete = async (request: CompletionRequest): Promise<number> => {
  if (harness === null) throw new Error('nothing is open');
  const context = { signal: new AbortController().signal, requestId: 'bench', client: 'bench', priority: 0 };
  let firstMs: number | null = null;
  let lastMs = 0;
  for await (const event of harness.complete(request, context)) {
    if (event.kind !== 'text') continue;
    lastMs = performance.now();
    firstMs ??= lastMs;
  }
  return lastMs - (firstMs ?? lastMs);
};

process.on('message', (order: HarnessOrder) => {
  const answer = order.kind === 'open' ? open(order) : complete(completionRequestSchema.parse(order.request));
  answer.then(
    (ms) => process.send?.({ ms }),
    (error: unknown) => process.send?.({ error: error instanceof Error ? error.message : String(error) }),
  );
});
process.on('disconnect', () => process.exit(0));
