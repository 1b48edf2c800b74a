/**
 * A small part of Markdown, read into plain data: paragraphs, headings, lists, fenced code; bold and code inside a
 * line. Anything else stays as it was written. No HTML, no links, no pictures: what a model writes can only be read.
 */

export type Inline = { readonly kind: 'text' | 'bold' | 'code'; readonly text: string };

export type Block =
  | { readonly kind: 'paragraph' | 'heading'; readonly inlines: readonly Inline[] }
  | {
      readonly kind: 'list';
      readonly ordered: boolean;
      readonly start: number;
      readonly items: readonly (readonly Inline[])[];
    }
  | { readonly kind: 'code'; readonly language: string; readonly text: string };

/** Code first: nothing is read inside it. */
const inlinePattern = /`([^`\n]+)`|\*\*(?=\S)([^*\n]*[^\s*])\*\*/g;

export const readInlines = (text: string): readonly Inline[] => {
  const inlines: Inline[] = [];
  let from = 0;
  for (const match of text.matchAll(inlinePattern)) {
    if (match.index > from) inlines.push({ kind: 'text', text: text.slice(from, match.index) });
    const [whole, code, bold] = match;
    inlines.push(code === undefined ? { kind: 'bold', text: bold ?? '' } : { kind: 'code', text: code });
    from = match.index + whole.length;
  }
  if (from < text.length) inlines.push({ kind: 'text', text: text.slice(from) });
  return inlines;
};

const fence = /^ {0,3}(`{3,})\s*([^`\s]*)[^`]*$/;
const heading = /^#{1,6} +(.+)$/;
const bullet = /^ {0,3}[-*+] +(.+)$/;
const numbered = /^ {0,3}(\d{1,9})[.)] +(.+)$/;

interface Taken {
  readonly block: Block;
  /** The line after it. */
  readonly next: number;
}

const takeCode = (lines: readonly string[], first: number, [, ticks = '', language = '']: RegExpExecArray): Taken => {
  let end = first + 1;
  const closes = (line: string): boolean => line.trim().length >= ticks.length && /^`+$/.test(line.trim());
  // One that is not closed yet is still being written.
  while (end < lines.length && !closes(lines[end] ?? '')) end += 1;
  return { block: { kind: 'code', language, text: lines.slice(first + 1, end).join('\n') }, next: end + 1 };
};

const takeList = (lines: readonly string[], first: number): Taken => {
  const start = numbered.exec(lines[first] ?? '');
  const items: (readonly Inline[])[] = [];
  let next = first;
  for (; next < lines.length; next += 1) {
    const line = lines[next] ?? '';
    const text = start === null ? bullet.exec(line)?.[1] : numbered.exec(line)?.[2];
    if (text === undefined) break;
    items.push(readInlines(text));
  }
  return { block: { kind: 'list', ordered: start !== null, start: Number(start?.[1] ?? 1), items }, next };
};

const startsBlock = (line: string): boolean =>
  line.trim() === '' || fence.test(line) || heading.test(line) || bullet.test(line) || numbered.test(line);

const takeParagraph = (lines: readonly string[], first: number): Taken => {
  let next = first + 1;
  while (next < lines.length && !startsBlock(lines[next] ?? '')) next += 1;
  return { block: { kind: 'paragraph', inlines: readInlines(lines.slice(first, next).join('\n')) }, next };
};

const takeBlock = (lines: readonly string[], first: number): Taken => {
  const line = lines[first] ?? '';
  const code = fence.exec(line);
  if (code !== null) return takeCode(lines, first, code);
  const title = heading.exec(line)?.[1];
  if (title !== undefined) return { block: { kind: 'heading', inlines: readInlines(title) }, next: first + 1 };
  if (bullet.test(line) || numbered.test(line)) return takeList(lines, first);
  return takeParagraph(lines, first);
};

export const readMarkdown = (text: string): readonly Block[] => {
  const lines = text.replaceAll(/\r\n?/g, '\n').split('\n');
  const blocks: Block[] = [];
  let at = 0;
  while (at < lines.length) {
    if ((lines[at] ?? '').trim() === '') {
      at += 1;
      continue;
    }
    const { block, next } = takeBlock(lines, at);
    blocks.push(block);
    at = next;
  }
  return blocks;
};
