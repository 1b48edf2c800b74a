import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readTokenizerConfig } from '../tokenizer/tokenizer-files.ts';
import { readTemplateSource } from './template-source.ts';
import { ChatTemplate } from './template.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'template-'));
});
afterEach(() => rm(dir, { recursive: true }));

const write = (file: string, content: unknown): Promise<void> =>
  writeFile(join(dir, file), typeof content === 'string' ? content : JSON.stringify(content));

const read = async (): ReturnType<typeof readTemplateSource> => readTemplateSource(dir, await readTokenizerConfig(dir));

describe('readTemplateSource', () => {
  it('prefers chat_template.jinja, then chat_template.json, then tokenizer_config.json', async () => {
    await write('tokenizer_config.json', { chat_template: 'from config' });
    expect(await read()).toEqual({ text: 'from config', toolText: null });
    await write('chat_template.json', { chat_template: 'from json' });
    expect(await read()).toEqual({ text: 'from json', toolText: null });
    await write('chat_template.jinja', 'from jinja');
    expect(await read()).toEqual({ text: 'from jinja', toolText: null });
  });

  it('takes default and tool_use from a list of named templates', async () => {
    const templates = ['rag', 'tool_use', 'default'].map((name) => ({ name, template: `for ${name}` }));
    await write('tokenizer_config.json', { chat_template: templates });
    expect(await read()).toEqual({ text: 'for default', toolText: 'for tool_use' });
  });

  it('takes the first of a list without a default', async () => {
    await write('tokenizer_config.json', { chat_template: [{ name: 'rag', template: 'for rag' }] });
    expect(await read()).toEqual({ text: 'for rag', toolText: null });
  });

  it('is null for a model without a template', async () => {
    expect(await read()).toBeNull();
    expect(await ChatTemplate.load(dir)).toBeNull();
  });

  it.each([
    ['a number', { chat_template: 7 }],
    ['an empty list', { chat_template: [] }],
    ['a list without names', { chat_template: [{ template: 'x' }] }],
    ['not JSON', '{'],
  ])('refuses a tokenizer_config.json whose template is %s', async (_, content) => {
    await write('tokenizer_config.json', content);
    await expect(read()).rejects.toMatchObject({
      code: 'model_load_failed',
      message: expect.stringContaining('tokenizer_config.json'),
    });
  });
});
