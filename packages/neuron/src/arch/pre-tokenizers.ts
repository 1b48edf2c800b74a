/**
 * How the models' tokenizers cut text before byte pairs are merged, by the name that GGUF files have it under; a
 * `tokenizer.json` carries its pattern itself.
 */

const splitting = (letters: string, others: string): string =>
  [
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)",
    `[^\\r\\n\\p{L}\\p{N}]?${letters}+`,
    '\\p{N}',
    ` ?[^\\s${others}\\p{N}]+[\\r\\n]*`,
    '\\s*[\\r\\n]+',
    '\\s+(?!\\S)',
    '\\s+',
  ].join('|');

const plain = splitting('\\p{L}', '\\p{L}');

export const preTokenizers: ReadonlyMap<string, string> = new Map([
  ['qwen2', plain],
  ['deepseek-r1-qwen', plain],
  // Marks stay with the letters that they are on.
  ['qwen35', splitting('[\\p{L}\\p{M}]', '\\p{L}\\p{M}')],
]);
