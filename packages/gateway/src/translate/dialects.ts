/** Every protocol the gateway speaks, by the path it is spoken on. A new one is a file beside this and a line here. */
import type { Dialect } from './contract.ts';
import { countTokensDialect, messagesDialect } from './messages/dialect.ts';
import { chatDialect, completionsDialect, embeddingsDialect } from './passthrough.ts';
import { responsesDialect } from './responses/dialect.ts';

export const dialects = {
  '/v1/chat/completions': chatDialect,
  '/v1/completions': completionsDialect,
  '/v1/embeddings': embeddingsDialect,
  '/v1/messages': messagesDialect,
  '/v1/messages/count_tokens': countTokensDialect,
  '/v1/responses': responsesDialect,
} as const satisfies Readonly<Record<string, Dialect>>;
