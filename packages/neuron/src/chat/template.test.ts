import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { CortexError, type Tool } from '@cortex/core';
import { describe, expect, it } from 'vitest';
import type { TemplateMessage } from './messages.ts';
import { ChatTemplate, type ChatTemplateOptions } from './template.ts';

const dir = fileURLToPath(new URL('../../../../fixtures/templates', import.meta.url));
const fixture = await readFile(`${dir}/chat_template.jinja`, 'utf8');

interface Expected {
  readonly name: string;
  readonly messages: TemplateMessage[];
  readonly kwargs: Record<string, unknown> & { readonly tools?: Tool[] };
  readonly text: string;
}
const expected = JSON.parse(await readFile(`${dir}/expected.json`, 'utf8')) as Expected[];

const templateOf = (text: string, options?: ChatTemplateOptions): ChatTemplate =>
  new ChatTemplate({ text, toolText: null }, {}, options);

const hello: TemplateMessage = { role: 'user', content: 'Hi' };
const input = { messages: [hello], tools: [], addGenerationPrompt: true, kwargs: {} };

const failure = (run: () => unknown): CortexError => {
  try {
    run();
  } catch (error) {
    if (error instanceof CortexError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
};

describe('ChatTemplate', () => {
  it.each(expected)('renders "$name" as the reference', ({ messages, kwargs: { tools = [], ...kwargs }, text }) => {
    expect(templateOf(fixture).render({ messages, tools, addGenerationPrompt: true, kwargs })).toBe(text);
  });

  it('offers the special tokens, the kwargs, null for absent tools, and the clock', () => {
    const template = new ChatTemplate(
      {
        text: '{{ bos_token }}{{ eos_token }} {{ mood }} {{ tools is none }} {{ strftime_now("%d %b %Y") }}',
        toolText: null,
      },
      { bos_token: '<s>', eos_token: '</s>' },
      { now: () => new Date(2026, 0, 2) },
    );
    expect(template.render({ ...input, kwargs: { mood: 'fair' } })).toBe('<s></s> fair True 02 Jan 2026');
  });

  it('uses the template for tools when there are tools', () => {
    const template = new ChatTemplate({ text: 'plain', toolText: '{{ tools | length }} tools' });
    const tool: Tool = { type: 'function', function: { name: 'f' } };
    expect(template.render(input)).toBe('plain');
    expect(template.render({ ...input, tools: [tool] })).toBe('1 tools');
  });

  it('reads CRLF as a newline, as Jinja does', () => {
    expect(templateOf('a\r\n{% if true %}\r\nb{% endif %}').render(input)).toBe('a\nb');
  });

  it.each(['messages', 'tools', 'add_generation_prompt', 'raise_exception', 'true'])(
    'refuses kwargs that would replace %s',
    (name) => {
      expect(failure(() => templateOf(fixture).render({ ...input, kwargs: { [name]: [] } }))).toMatchObject({
        code: 'invalid_request',
        param: `chat_template_kwargs.${name}`,
      });
    },
  );

  it('passes on what the template says when it raises', () => {
    const late: TemplateMessage = { role: 'system', content: 'x' };
    const error = failure(() => templateOf(fixture).render({ ...input, messages: [hello, late] }));
    expect(error.code).toBe('invalid_request');
    expect(error.message).toContain('the system message must come first');
  });

  it('says so when the template fails in another way', () => {
    const error = failure(() => templateOf('{{ messages[0].content.nonsense() }}').render(input));
    expect(error).toMatchObject({ code: 'invalid_request', param: 'messages' });
  });
});

describe('a hostile template', () => {
  const limits = { stepsMax: 100_000, depthMax: 200, charsMax: 100_000 };

  it.each([
    ['loops for ever', '{% for i in range(1000) %}'.repeat(5) + 'x' + '{% endfor %}'.repeat(5), 'steps'],
    ['counts too far', '{% for i in range(1000000000) %}{% endfor %}', 'range'],
    ['counts without moving', '{% for i in range(1, 2, 0) %}{% endfor %}', 'range'],
    [
      'doubles a string',
      "{% set ns = namespace(s='xx') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
      'characters',
    ],
    ['grows by printing', `{% for i in range(2000) %}${'long text '.repeat(20)}{% endfor %}`, 'characters'],
    ['calls itself', '{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}', 'nests'],
    ['is deep', `{{ ${'not '.repeat(300)}true }}`, 'nests'],
  ])('that %s is stopped', (_, text, reason) => {
    const error = failure(() => templateOf(text, { limits }).render(input));
    expect(error.code).toBe('invalid_request');
    expect(error.message).toContain(reason);
  });

  it.each([
    ['is cut short', '{% for m in messages %}'],
    ['nests without end', '('.repeat(100_000)],
    ['has an expression too deep', `{{ ${'('.repeat(50_000)} }}`],
  ])('that %s fails the load', (_, text) => {
    expect(failure(() => templateOf(`{{ ${text}`)).code).toBe('model_load_failed');
  });
});

const loop = (body: string): string => `{% for m in messages %}${body}{% endfor %}`;

describe('what a template says about its model', () => {
  it('tells how tools are called', () => {
    expect(templateOf(fixture).facts).toMatchObject({ toolCallFormat: 'xml', tools: true, thinking: true });
    expect(templateOf('{{ tools }}<tool_call>\n{"name": …}').facts).toMatchObject({ toolCallFormat: 'json' });
    expect(templateOf('{{ messages[0].content }}').facts).toMatchObject({
      toolCallFormat: null,
      tools: false,
      thinking: false,
    });
  });

  it('finds that late system turns are refused, dropped or taken', () => {
    expect(templateOf(fixture).facts.lateSystemTurns).toBe(false);
    expect(templateOf(loop('{% if m.role != "system" or loop.first %}{{ m.content }}{% endif %}')).facts).toMatchObject(
      {
        lateSystemTurns: false,
      },
    );
    expect(templateOf(loop('{{ m.role }}: {{ m.content }}')).facts.lateSystemTurns).toBe(true);
  });

  it('finds whether the user may speak twice in a row', () => {
    expect(templateOf(fixture).facts.userTurnsInARow).toBe(true);
    const refusing = "{% if loop.previtem and loop.previtem.role == m.role %}{{ raise_exception('no') }}{% endif %}";
    expect(templateOf(loop(`${refusing}{{ m.content }}`)).facts.userTurnsInARow).toBe(false);
    expect(templateOf('{{ messages[-1].content }}').facts.userTurnsInARow).toBe(false);
    expect(templateOf("{{ raise_exception('no') }}").facts.userTurnsInARow).toBe(true);
  });

  it('does not blame late system turns for a template that refuses everything', () => {
    expect(templateOf("{{ raise_exception('no') }}").facts.lateSystemTurns).toBe(true);
  });

  it('finds whether content may be a list of parts', () => {
    expect(templateOf(fixture).facts.contentParts).toBe(true);
    expect(templateOf('{{ messages[0].content }}').facts.contentParts).toBe(false);
    expect(
      templateOf('{% if messages[0].content is string %}{{ messages[0].content }}{% endif %}').facts,
    ).toMatchObject({
      contentParts: false,
    });
  });
});
