/** Vocabularies for grammar tests: small ones made up, and the fixture tokenizer's. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { VocabularyTable } from '../../src/sampling/grammar/vocabulary-trie.ts';
import { bytesOfToken } from '../../src/tokenizer/byte-alphabet.ts';

export interface ToyVocabulary {
  readonly table: VocabularyTable;
  readonly eosId: number;
  /** The ids of these tokens, each a whole token's text. */
  idOf(text: string): number;
}

const utf8 = new TextEncoder();

/** Each token's bytes, then the ids that are control tokens. The last token is end-of-sequence. */
function vocabularyOf(tokens: readonly Uint8Array[], controlIds: readonly number[]): ToyVocabulary {
  const eosId = tokens.length;
  const all = [...tokens, utf8.encode('<|end|>')];
  const offsets = new Uint32Array(all.length + 1);
  all.forEach((token, id) => (offsets[id + 1] = (offsets[id] ?? 0) + token.length));
  const bytes = new Uint8Array(offsets.at(-1) ?? 0);
  all.forEach((token, id) => bytes.set(token, offsets[id]));
  const control = new Uint8Array(all.length);
  for (const id of [...controlIds, eosId]) control[id] = 1;
  const ids = new Map(all.map((token, id) => [Buffer.from(token).toString('latin1'), id]));
  const idOf = (text: string): number => ids.get(Buffer.from(text).toString('latin1')) ?? -1;
  return { table: { bytes, offsets, control }, eosId, idOf };
}

/** The 256 bytes, then these texts. */
export const byteVocabulary = (...texts: readonly (string | Uint8Array)[]): ToyVocabulary =>
  vocabularyOf(
    [
      ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
      ...texts.map((text) => (typeof text === 'string' ? utf8.encode(text) : text)),
    ],
    [],
  );

/** Texts between bars. */
const listed = (texts: string): string[] => texts.split('|');

/** Tokens such as a byte-level BPE has: words, JSON punctuation run together, halves of characters. */
export const jsonVocabulary = byteVocabulary(
  ...listed('{"|":|": "|", "|"}|"}]|[]|{}|[{"|},{"|],|, |: |\n  |\n    |  |]}'),
  ...listed('true|false|null|-1|10|123|0.5|e+1|1e|.25|00|2024-|:00Z|T1|-02-|@a.'),
  ...listed('name|node|next|kids|a"b|ab|é|éa|日本|語"|😀|😀😀|\\n|\\"|\\u00|\\ud8|ud83d\\u'),
  ...listed('<tool_call>|</tool_call>|<function=|</function>|\n</parameter>\n|<parameter=|</|>\n|\n\n|parameter'),
  // Parts of 😀, é and 日, a surrogate's beginning, and an end of string with what follows.
  ...['f09f', '9880', 'c3', 'a922', 'e697', 'eda0', '227d0a'].map((hex) => Uint8Array.from(Buffer.from(hex, 'hex'))),
);

interface TokenizerJson {
  readonly model: { readonly vocab: Readonly<Record<string, number>> };
  readonly added_tokens: readonly { readonly id: number; readonly content: string; readonly special: boolean }[];
}

/** The fixture's tokenizer: byte-level, with added tokens of both kinds; then these texts. */
export function fixtureVocabulary(...texts: readonly string[]): ToyVocabulary {
  const path = fileURLToPath(new URL('../../../../fixtures/tokenizer/tokenizer.json', import.meta.url));
  const { model, added_tokens: added } = JSON.parse(readFileSync(path, 'utf8')) as TokenizerJson;
  const tokens: Uint8Array[] = [];
  for (const [token, id] of Object.entries(model.vocab)) tokens[id] = bytesOfToken(token) ?? new Uint8Array();
  for (const { id, content } of added) tokens[id] = utf8.encode(content);
  return vocabularyOf(
    [...tokens, ...texts.map((text) => utf8.encode(text))],
    added.filter(({ special }) => special).map(({ id }) => id),
  );
}
