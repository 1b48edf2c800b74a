/**
 * Where a checkpoint keeps its chat template: `chat_template.jinja`, else `chat_template.json`, else
 * `tokenizer_config.json`, as one text or as a list of named ones, of which `default` and `tool_use` matter.
 */
import { CortexError } from '@cortex/core';
import { z } from 'zod';
import { readModelJson, readModelText } from '../model-files/model-json.ts';
import type { TokenizerConfig } from '../tokenizer/tokenizer-files.ts';

export interface TemplateSource {
  readonly text: string;
  /** Used instead when the request has tools. */
  readonly toolText: string | null;
}

type NamedTemplates = NonNullable<TokenizerConfig['chat_template']>;

const chatTemplateJson = z.looseObject({ chat_template: z.string() });

const select = (templates: NamedTemplates): TemplateSource => {
  if (typeof templates === 'string') return { text: templates, toolText: null };
  const named = (name: string): string | undefined => templates.find((entry) => entry.name === name)?.template;
  const text = named('default') ?? templates[0]?.template;
  if (text === undefined) {
    throw new CortexError('model_load_failed', 'tokenizer_config.json: chat_template is an empty list');
  }
  return { text, toolText: named('tool_use') ?? null };
};

/** @returns null for a model without a template. @throws CortexError `model_load_failed`. */
export const readTemplateSource = async (dir: string, config: TokenizerConfig): Promise<TemplateSource | null> => {
  const file = await readModelText(dir, 'chat_template.jinja');
  if (file !== null) return { text: file, toolText: null };
  const json = await readModelJson(chatTemplateJson, dir, 'chat_template.json');
  if (json !== null) return { text: json.chat_template, toolText: null };
  return config.chat_template === null || config.chat_template === undefined ? null : select(config.chat_template);
};
