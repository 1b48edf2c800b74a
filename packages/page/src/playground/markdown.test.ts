import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readInlines, readMarkdown, type Block } from './markdown.ts';

const text = (value: string) => ({ kind: 'text', text: value }) as const;
const paragraph = (value: string): Block => ({ kind: 'paragraph', inlines: [text(value)] });

const said = (blocks: readonly Block[]): string =>
  blocks
    .flatMap((block) => {
      if (block.kind === 'code') return [block.text, block.language];
      const inlines = block.kind === 'list' ? block.items.flat() : block.inlines;
      return inlines.map((inline) => inline.text);
    })
    .join('');
const lettersOf = (value: string): string => value.replaceAll(/[^ab]/g, '');

describe('markdown', () => {
  it('has paragraphs, headings, lists and code', () => {
    const source =
      '# Title\nA line\nand one more\n\n- one\n- **two**\n\n3. three\n4. four\n```ts\nlet a = 1;\n\n# no title\n```\nend';
    expect(readMarkdown(source)).toEqual([
      { kind: 'heading', inlines: [text('Title')] },
      paragraph('A line\nand one more'),
      { kind: 'list', ordered: false, start: 1, items: [[text('one')], [{ kind: 'bold', text: 'two' }]] },
      { kind: 'list', ordered: true, start: 3, items: [[text('three')], [text('four')]] },
      { kind: 'code', language: 'ts', text: 'let a = 1;\n\n# no title' },
      paragraph('end'),
    ]);
  });

  it('shows code that is still being written', () => {
    expect(readMarkdown('```py\nprint(')).toEqual([{ kind: 'code', language: 'py', text: 'print(' }]);
    expect(readMarkdown('```')).toEqual([{ kind: 'code', language: '', text: '' }]);
  });

  it('closes a fence only by one as long', () => {
    expect(readMarkdown('````\n```\n````\nx')).toEqual([{ kind: 'code', language: '', text: '```' }, paragraph('x')]);
  });

  it('reads bold and code inside a line, and nothing inside code', () => {
    expect(readInlines('a **b** `**c**` d')).toEqual([
      text('a '),
      { kind: 'bold', text: 'b' },
      text(' '),
      { kind: 'code', text: '**c**' },
      text(' d'),
    ]);
  });

  it.each(['a ** b ** c', '2 * 3 * 4', '`open', '**open', '****', '``'])('leaves alone what is none: %s', (source) => {
    expect(readInlines(source)).toEqual([text(source)]);
  });

  it('takes HTML, links and pictures for the text that they are', () => {
    for (const source of ['<script>alert(1)</script>', '[a](javascript:alert(1))', '![x](http://evil.example/x.png)'])
      expect(readMarkdown(source)).toEqual([paragraph(source)]);
  });

  it('loses no letter, whatever is written', () => {
    const letters = fc.string({
      unit: fc.constantFrom('a', 'b', '*', '`', '#', '-', ' ', '\n', '1', '.'),
      maxLength: 80,
    });
    fc.assert(
      fc.property(letters, (source) => {
        // The rest of a fence's first line names no language and is not shown.
        fc.pre(!/^ {0,3}`{3,}/m.test(source));
        expect(lettersOf(said(readMarkdown(source)))).toBe(lettersOf(source));
      }),
    );
  });

  it('takes its time linearly, also for what looks like its beginning again and again', () => {
    const startedMs = performance.now();
    for (const piece of ['**a', '`', '- ', '```\n', '* *', '# '])
      expect(readMarkdown(piece.repeat(20_000)).length).toBeGreaterThan(0);
    expect(performance.now() - startedMs).toBeLessThan(5000);
  });
});
