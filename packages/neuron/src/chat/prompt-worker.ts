/** The thread behind `PromptThread`: one model's tokenizer and template, one job at a time. */
import { CortexError } from '@cortex/core';
import { parentPort, workerData } from 'node:worker_threads';
import { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { PromptJob, PromptThreadMessage, PromptThreadSetup } from './prompt-job.ts';
import { PromptBuilder } from './prompt.ts';
import { ChatTemplate } from './template.ts';

const port = parentPort;
if (port === null) throw new Error('prompt-worker.ts runs as a worker thread only');

const send = (message: PromptThreadMessage): void => {
  if (message.kind === 'encoded') port.postMessage(message, [message.ids.buffer as ArrayBuffer]);
  else if (message.kind === 'built') port.postMessage(message, [message.prompt.ids.buffer as ArrayBuffer]);
  else port.postMessage(message);
};

const fail = (error: unknown): void => send({ kind: 'failed', error: CortexError.from(error).toData() });

const run = (job: PromptJob, tokenizer: Tokenizer, builder: PromptBuilder | null): PromptThreadMessage => {
  if (job.kind === 'encode') {
    return { kind: 'encoded', ids: Int32Array.from(tokenizer.encode(job.text, job.options)) };
  }
  if (builder !== null) return { kind: 'built', prompt: builder.build(job.input) };
  throw new CortexError('invalid_request', 'this model has no chat template: use /v1/completions');
};

try {
  const { dir, charsMax } = workerData as PromptThreadSetup;
  const tokenizer = await Tokenizer.load(dir);
  const template = await ChatTemplate.load(dir);
  const builder = template === null ? null : new PromptBuilder({ tokenizer, template, charsMax });
  port.on('message', (job: PromptJob) => {
    try {
      send(run(job, tokenizer, builder));
    } catch (error) {
      fail(error);
    }
  });
  send({ kind: 'ready', vocabulary: tokenizer.vocabulary.data, template: template?.facts ?? null });
} catch (error) {
  fail(error);
}
