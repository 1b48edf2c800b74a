/** Server-sent events: the bytes we write. */

/** One `data:` event, JSON on one line. */
export const sseData = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`;

/** A named event, as Anthropic's and the Responses protocol use. */
export const sseEvent = (event: string, value: unknown): string =>
  `event: ${event}\ndata: ${JSON.stringify(value)}\n\n`;

/** A comment line: ignored by every client, it keeps proxies and sockets from giving up on a silent stream. */
export const sseComment = (text: string): string => `: ${text.replaceAll(/[\r\n]+/g, ' ')}\n\n`;

/** OpenAI's end-of-stream sentinel. Never sent after an error. */
export const sseDone = 'data: [DONE]\n\n';

export const sseHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
} as const;
