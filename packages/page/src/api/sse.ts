/** Server-sent events out of text that comes in any pieces. */

export type SseItem =
  | { readonly kind: 'event'; readonly event: string; readonly data: string }
  | { readonly kind: 'comment'; readonly text: string };

const fieldOf = (line: string, name: string): string | null => {
  if (!line.startsWith(`${name}:`)) return null;
  const value = line.slice(name.length + 1);
  return value.startsWith(' ') ? value.slice(1) : value;
};

/** One block between two empty lines. */
const readBlock = (block: string): readonly SseItem[] => {
  const items: SseItem[] = [];
  const data: string[] = [];
  let event = 'message';
  for (const line of block.split('\n')) {
    if (line.startsWith(':')) items.push({ kind: 'comment', text: line.slice(1).trim() });
    event = fieldOf(line, 'event') ?? event;
    const piece = fieldOf(line, 'data');
    if (piece !== null) data.push(piece);
  }
  if (data.length > 0) items.push({ kind: 'event', event, data: data.join('\n') });
  return items;
};

export class SseReader {
  #rest = '';

  /** What is complete with this piece. */
  push(piece: string): readonly SseItem[] {
    // A carriage return at the very end may be half of a line's end.
    const text = this.#rest + piece;
    const whole = text.endsWith('\r') ? text.slice(0, -1) : text;
    const blocks = whole.replaceAll(/\r\n?/g, '\n').split('\n\n');
    this.#rest = (blocks.pop() ?? '') + text.slice(whole.length);
    return blocks.flatMap(readBlock);
  }
}

/** The events of an answer's body, to its end. */
export async function* sseItems(body: ReadableStream<Uint8Array>): AsyncGenerator<SseItem> {
  const reader = new SseReader();
  const decoder = new TextDecoder();
  const source = body.getReader();
  try {
    for (let next = await source.read(); !next.done; next = await source.read())
      yield* reader.push(decoder.decode(next.value, { stream: true }));
  } finally {
    await source.cancel().catch(() => undefined);
  }
}
