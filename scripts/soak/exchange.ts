/** One request over a connection of its own, from its first byte to its end, whichever of the two sides brings that about. */
import { request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http';

export interface Question {
  readonly path: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** The client leaves so long after its request was sent whole; null: it stays to the end. */
  readonly leaveAfterMs: number | null;
}

export type Outcome =
  /** A whole answer; of a stream, its text and usage put together. */
  | { readonly kind: 'done'; readonly answer: Readonly<Record<string, unknown>> }
  | { readonly kind: 'error'; readonly status: number; readonly code: string; readonly retryAfter: string | null }
  | { readonly kind: 'cancelled' }
  /** What no request may come to: an end without a word, a broken protocol. */
  | { readonly kind: 'broken'; readonly why: string };

const parsed = (text: string): Readonly<Record<string, unknown>> | null => {
  try {
    return JSON.parse(text) as Readonly<Record<string, unknown>>;
  } catch {
    return null;
  }
};

const broken = (why: string): Outcome => ({ kind: 'broken', why });

const errorOf = (body: Readonly<Record<string, unknown>>, { statusCode, headers }: IncomingMessage): Outcome => {
  const { error } = body as { readonly error?: { readonly code?: string } };
  if (error?.code === undefined) return broken(`status ${statusCode} without an error code`);
  return { kind: 'error', status: statusCode ?? 0, code: error.code, retryAfter: headers['retry-after'] ?? null };
};

interface Chunk {
  readonly error?: { readonly code: string };
  readonly choices?: readonly {
    readonly index: number;
    readonly text?: string;
    readonly delta?: { readonly content?: string };
  }[];
  readonly usage?: object | null;
}

/** Puts a stream's chunks together. A stream must end in `[DONE]` or in an error, and never in both. */
const streamed = (text: string, response: IncomingMessage): Outcome => {
  const frames = text.split('\n\n').filter((frame) => frame.startsWith('data: '));
  const last = frames.pop()?.slice('data: '.length);
  if (last === undefined) return broken('a stream without a frame');
  const texts: string[] = [];
  let usage: object | null = null;
  for (const frame of last === '[DONE]' ? frames : [...frames, `data: ${last}`]) {
    const chunk = parsed(frame.slice('data: '.length)) as Chunk | null;
    if (chunk === null) return broken(`a frame that is no JSON: ${frame.slice(0, 200)}`);
    if (chunk.error !== undefined) {
      if (last === '[DONE]') return broken('[DONE] behind an error');
      return errorOf(chunk as Readonly<Record<string, unknown>>, response);
    }
    usage = chunk.usage ?? usage;
    for (const { index, text: piece, delta } of chunk.choices ?? [])
      texts[index] = (texts[index] ?? '') + (piece ?? delta?.content ?? '');
  }
  if (last !== '[DONE]') return broken('a stream that ended without [DONE]');
  return { kind: 'done', answer: { choices: texts.map((content) => ({ message: { content } })), usage } };
};

const outcomeOf = (text: string, response: IncomingMessage): Outcome => {
  if (response.headers['content-type']?.startsWith('text/event-stream') === true) return streamed(text, response);
  const body = parsed(text);
  if (body === null) return broken(`status ${response.statusCode} with a body that is no JSON`);
  return response.statusCode === 200 ? { kind: 'done', answer: body } : errorOf(body, response);
};

const leaveLater = (request: ClientRequest, ms: number, leave: () => void): void => {
  // Sent whole first: the server must then know of it, and count it.
  request.once('finish', () => {
    const timer = setTimeout(leave, ms);
    request.once('close', () => clearTimeout(timer));
  });
};

/** Never rejects. */
export const exchange = (base: string, { path, body, headers, leaveAfterMs }: Question): Promise<Outcome> =>
  new Promise((resolve) => {
    const request = httpRequest(base + path, {
      method: 'POST',
      agent: false,
      headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), ...headers },
    });
    let hasLeft = false;
    const end = (outcome: Outcome): void => resolve(hasLeft ? { kind: 'cancelled' } : outcome);
    request.on('response', (response) => {
      const pieces: Buffer[] = [];
      response.on('data', (piece: Buffer) => pieces.push(piece));
      response.on('end', () => end(outcomeOf(Buffer.concat(pieces).toString(), response)));
      response.on('error', (error) => end(broken(`the answer broke off: ${error.message}`)));
    });
    request.on('error', (error) => end(broken(`the connection broke: ${error.message}`)));
    if (leaveAfterMs !== null) {
      leaveLater(request, leaveAfterMs, () => {
        hasLeft = true;
        request.destroy();
        end({ kind: 'cancelled' });
      });
    }
    request.end(body);
  });
