/** What passes between a prompt thread and its owner. Plain data only. */
import type { ErrorData } from '@cortex/core';
import type { EncodeOptions } from '../tokenizer/tokenizer.ts';
import type { VocabularyData } from '../tokenizer/vocabulary.ts';
import type { Prompt } from './prompt.ts';
import type { TemplateFacts, TemplateInput } from './template.ts';

/** The thread's `workerData`. */
export interface PromptThreadSetup {
  /** The model's folder. */
  readonly dir: string;
  readonly charsMax: number;
}

export type PromptJob =
  | { readonly kind: 'encode'; readonly text: string; readonly options: EncodeOptions }
  | { readonly kind: 'build'; readonly input: TemplateInput };

export interface PromptThreadReady {
  readonly kind: 'ready';
  readonly vocabulary: VocabularyData;
  /** Null for a model without a chat template. */
  readonly template: TemplateFacts | null;
}

/** The first message is `ready` or `failed`; then one `encoded`, `built` or `failed` for each job. */
export type PromptThreadMessage =
  | PromptThreadReady
  | { readonly kind: 'encoded'; readonly ids: Int32Array }
  | { readonly kind: 'built'; readonly prompt: Prompt }
  | { readonly kind: 'failed'; readonly error: ErrorData };
