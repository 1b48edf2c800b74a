/** Server-sent events out of a byte stream: the text of each event's data, and comments, in order. */

export type StreamItem =
  | { readonly kind: 'data'; readonly data: string }
  | { readonly kind: 'comment'; readonly text: string };

const itemsOf = (event: string): readonly StreamItem[] => {
  const items: StreamItem[] = [];
  const data: string[] = [];
  for (const line of event.split(/\r\n|\n|\r/)) {
    if (line.startsWith(':')) items.push({ kind: 'comment', text: line.slice(1).trim() });
    else if (line.startsWith('data:')) data.push(line.slice(line[5] === ' ' ? 6 : 5));
  }
  if (data.length > 0) items.push({ kind: 'data', data: data.join('\n') });
  return items;
};

const eventEnd = /\r\n\r\n|\n\n|\r\r/;

/** An event that the end of the stream cuts off is not one. */
export const streamItems = async function* (chunks: AsyncIterable<Uint8Array>): AsyncGenerator<StreamItem> {
  const decoder = new TextDecoder();
  let pending = '';
  for await (const chunk of chunks) {
    pending += decoder.decode(chunk, { stream: true });
    for (;;) {
      const end = eventEnd.exec(pending);
      if (end === null) break;
      yield* itemsOf(pending.slice(0, end.index));
      pending = pending.slice(end.index + end[0].length);
    }
  }
};
