/** The pages for people: what they link to is there, and the settings they show are settings. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { cortexConfigSchema, modelsConfigSchema, neuronConfigSchema, parseConfig } from '@cortex/core';
import { describe, expect, it } from 'vitest';
import { root } from './source-files.ts';

const docs = readdirSync(path.join(root, 'docs')).filter((name) => name.endsWith('.md'));
const pages = ['README.md', 'ARCHITECTURE.md', ...docs.map((name) => `docs/${name}`)].map((file) => ({
  file,
  text: readFileSync(path.join(root, file), 'utf8'),
}));

const blocks = (language: string): readonly { readonly file: string; readonly text: string }[] =>
  pages.flatMap(({ file, text }) =>
    [...text.matchAll(/^```(\w+)\n(.*?)^```/gms)]
      .filter((match) => match[1] === language)
      .map((match) => ({ file, text: match[2] ?? '' })),
  );

/** By its tables; null for a line or two that belong to no file in particular. */
const schemaOf = (text: string) => {
  if (/^\[\[models\]\]|^\[aliases\]/m.test(text)) return modelsConfigSchema;
  if (/^\[\[neurons\]\]|^\[gateway\]/m.test(text)) return cortexConfigSchema;
  return /^\[harness/m.test(text) ? neuronConfigSchema : null;
};

/** Dots stand for a secret. */
const withSecrets = (text: string): string =>
  text.replaceAll('sha256:…', `sha256:${'ab'.repeat(32)}`).replaceAll('"…"', '"a-token-of-their-own"');

describe('the pages', () => {
  it('link to files that exist', () => {
    const missing = pages.flatMap(({ file, text }) =>
      [...text.matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)]
        .map((match) => match[1] ?? '')
        .filter((target) => !existsSync(path.join(root, path.dirname(file), target)))
        .map((target) => `${file} -> ${target}`),
    );
    expect(missing).toEqual([]);
  });

  it('show settings that the programs take', () => {
    const shown = blocks('toml').flatMap(({ file, text }) => {
      const schema = schemaOf(text);
      return schema === null ? [] : [{ file, text: withSecrets(text), schema }];
    });
    expect(shown.length).toBeGreaterThan(4);
    for (const { file, text, schema } of shown)
      expect(() => parseConfig<typeof schema>(schema, { text, file })).not.toThrow();
  });

  it('show JSON that is JSON', () => {
    expect(blocks('json').length).toBeGreaterThan(4);
    for (const { text } of blocks('json')) expect(() => JSON.parse(text) as unknown).not.toThrow();
  });
});
