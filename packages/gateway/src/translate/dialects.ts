/** Every protocol the gateway speaks, by the path it is spoken on. A new one is a file beside this and a line here. */
import type { Dialect } from './contract.ts';
import { chatDialect, completionsDialect, embeddingsDialect } from './passthrough.ts';

export const dialects = {
  '/v1/chat/completions': chatDialect,
  '/v1/completions': completionsDialect,
  '/v1/embeddings': embeddingsDialect,
} as const satisfies Readonly<Record<string, Dialect>>;
