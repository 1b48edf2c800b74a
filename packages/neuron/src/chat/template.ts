/**
 * A model's own chat template, rendered as Hugging Face's `apply_chat_template` does, and what can be learnt about the
 * model from it. What a template can take is found by trying it, not by guessing from the model's name.
 */
import { CortexError, type Tool } from '@cortex/core';
import { readTokenizerConfig, type TokenizerConfig } from '../tokenizer/tokenizer-files.ts';
import type { TemplateMessage } from './messages.ts';
import type { TemplateTolerance } from './messages-fit.ts';
import {
  defaultTemplateLimits,
  runTemplate,
  templateBuiltins,
  TemplateRefusal,
  type TemplateLimits,
} from './template-interpreter.ts';
import { compileTemplate, type TemplateProgram } from './template-program.ts';
import { readTemplateSource, type TemplateSource } from './template-source.ts';

export interface TemplateInput {
  readonly messages: readonly TemplateMessage[];
  readonly tools: readonly Tool[];
  readonly addGenerationPrompt: boolean;
  /** Further variables, such as `enable_thinking`. */
  readonly kwargs: Readonly<Record<string, unknown>>;
}

/** Plain data, it crosses threads. */
export interface TemplateFacts extends TemplateTolerance {
  /** How the model writes a tool call: `xml` is Qwen3.5's `<function=…>`, `json` Qwen3's `{"name": …}`. */
  readonly toolCallFormat: 'xml' | 'json' | null;
  /** It has a place for the model's thinking. */
  readonly thinking: boolean;
  /** It reads `tools`. */
  readonly tools: boolean;
}

export interface ChatTemplateOptions {
  readonly limits?: TemplateLimits;
  /** The clock behind `strftime_now`. */
  readonly now?: () => Date;
}

/** What `render` itself provides; `chat_template_kwargs` must leave these alone. */
const reserved = new Set(['messages', 'tools', 'documents', 'add_generation_prompt', ...templateBuiltins]);

/** The special tokens templates find under their names. */
const tokenNames = ['bos_token', 'eos_token', 'unk_token', 'pad_token'] as const;

const compile = (text: string): TemplateProgram => {
  try {
    return compileTemplate(text);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new CortexError('model_load_failed', `chat template: ${message}`, { cause: error });
  }
};

const refusal = (error: unknown): CortexError => {
  if (error instanceof TemplateRefusal) {
    return new CortexError('invalid_request', `The model's chat template refuses the request: ${error.message}`, {
      param: 'messages',
      cause: error,
    });
  }
  const message = error instanceof Error ? error.message : String(error);
  return new CortexError('invalid_request', `The model's chat template fails on the request: ${message}`, {
    param: 'messages',
    cause: error,
  });
};

export class ChatTemplate {
  readonly facts: TemplateFacts;
  /** Strings at which the template cuts the texts it is given. */
  readonly cuts: ReadonlySet<string>;
  readonly #plain: TemplateProgram;
  readonly #withTools: TemplateProgram;
  readonly #tokens: Readonly<Record<string, string>>;
  readonly #limits: TemplateLimits;
  readonly #now: () => Date;

  /** @throws CortexError `model_load_failed` where the text is no template. */
  constructor(source: TemplateSource, config: TokenizerConfig = {}, options: ChatTemplateOptions = {}) {
    this.#plain = compile(source.text);
    this.#withTools = source.toolText === null ? this.#plain : compile(source.toolText);
    this.cuts = new Set([...this.#plain.cuts, ...this.#withTools.cuts]);
    const tokens = tokenNames.flatMap((name) => (typeof config[name] === 'string' ? [[name, config[name]]] : []));
    this.#tokens = Object.fromEntries(tokens) as Record<string, string>;
    this.#limits = options.limits ?? defaultTemplateLimits;
    this.#now = options.now ?? (() => new Date());
    const text = source.text + (source.toolText ?? '');
    this.facts = {
      toolCallFormat: text.includes('<function=') ? 'xml' : text.includes('<tool_call>') ? 'json' : null,
      thinking: text.includes('enable_thinking') || text.includes('<think>'),
      tools: /\btools\b/.test(text),
      contentParts: this.#takesParts(),
      lateSystemTurns: this.#takesLateSystemTurns(),
      userTurnsInARow: this.#takesUserTurnsInARow(),
    };
  }

  /** @returns null for a model without a chat template. @throws CortexError `model_load_failed`. */
  static async load(dir: string, options: ChatTemplateOptions = {}): Promise<ChatTemplate | null> {
    const config = await readTokenizerConfig(dir);
    const source = await readTemplateSource(dir, config);
    return source === null ? null : new ChatTemplate(source, config, options);
  }

  /** @throws CortexError `invalid_request`: the template raises (with its own message), fails or does not end. */
  render({ messages, tools, addGenerationPrompt, kwargs }: TemplateInput): string {
    for (const name of Object.keys(kwargs)) {
      if (!reserved.has(name)) continue;
      const param = `chat_template_kwargs.${name}`;
      throw new CortexError('invalid_request', `${param}: this name is reserved`, { param });
    }
    const variables = {
      ...this.#tokens,
      ...kwargs,
      messages,
      // As Hugging Face does, null and not undefined: templates ask `tools is none`.
      tools: tools.length === 0 ? null : tools,
      documents: null,
      add_generation_prompt: addGenerationPrompt,
    };
    const program = tools.length === 0 ? this.#plain : this.#withTools;
    try {
      return runTemplate(program, { variables, limits: this.#limits, now: this.#now });
    } catch (error) {
      throw refusal(error);
    }
  }

  /** The rendered conversation, or null where the template refuses it. */
  #try(messages: readonly TemplateMessage[]): string | null {
    try {
      return this.render({ messages, tools: [], addGenerationPrompt: true, kwargs: {} });
    } catch {
      return null;
    }
  }

  /** True where a list with one text renders as that text does: some templates print the list itself, or drop it. */
  #takesParts(): boolean {
    const text = 'probe of parts';
    const asText = this.#try([{ role: 'user', content: text }]);
    return asText !== null && asText === this.#try([{ role: 'user', content: [{ type: 'text', text }] }]);
  }

  /** False only where the late turn itself is what is refused or dropped. */
  #takesLateSystemTurns(): boolean {
    const late: TemplateMessage = { role: 'system', content: 'probe of a late turn' };
    const before: TemplateMessage[] = [
      { role: 'system', content: 'a' },
      { role: 'user', content: 'b' },
      { role: 'assistant', content: 'c' },
    ];
    const after: TemplateMessage[] = [{ role: 'user', content: 'd' }];
    if (this.#try([...before, ...after]) === null) return true;
    return this.#try([...before, late, ...after])?.includes('probe of a late turn') ?? false;
  }

  /** False only where the second turn is what is refused, or either is dropped. */
  #takesUserTurnsInARow(): boolean {
    const turns: TemplateMessage[] = [
      { role: 'user', content: 'probe of a turn' },
      { role: 'user', content: 'probe of the next' },
    ];
    if (this.#try(turns.slice(0, 1)) === null) return true;
    const text = this.#try(turns) ?? '';
    return turns.every(({ content }) => typeof content === 'string' && text.includes(content));
  }
}
