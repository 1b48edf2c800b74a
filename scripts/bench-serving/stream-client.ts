/** A client that streams an answer and notes when each piece of it came. */
import { request as httpRequest, Agent } from 'node:http';

export interface StreamedAnswer {
  /** Milliseconds from the request to each piece of text: one a token where every token is text. */
  readonly pieceMs: readonly number[];
  readonly promptTokens: number;
  readonly cachedTokens: number;
}

interface Chunk {
  readonly error?: { readonly message: string };
  readonly choices?: readonly { readonly text?: string; readonly delta?: { readonly content?: string } }[];
  readonly usage?: {
    readonly prompt_tokens: number;
    readonly prompt_tokens_details?: { readonly cached_tokens: number };
  } | null;
}

const agent = new Agent({ keepAlive: true, maxSockets: 256 });

/** @throws Error when it does not come whole. */
export const streamAnswer = (base: string, path: string, body: object): Promise<StreamedAnswer> =>
  new Promise((resolve, reject) => {
    const startMs = performance.now();
    const pieceMs: number[] = [];
    let usage: Chunk['usage'] = null;
    let rest = '';
    let isDone = false;
    const take = (frame: string): void => {
      if (!frame.startsWith('data: ')) return;
      isDone = frame === 'data: [DONE]';
      if (isDone) return;
      const chunk = JSON.parse(frame.slice('data: '.length)) as Chunk;
      if (chunk.error !== undefined) throw new Error(chunk.error.message);
      usage = chunk.usage ?? usage;
      const [choice] = chunk.choices ?? [];
      if ((choice?.text ?? choice?.delta?.content ?? '') !== '') pieceMs.push(performance.now() - startMs);
    };
    const text = JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } });
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
    const request = httpRequest(base + path, { method: 'POST', agent, headers }, (response) => {
      response.setEncoding('utf8');
      response.on('data', (piece: string) => {
        const frames = (rest + piece).split('\n\n');
        rest = frames.pop() ?? '';
        try {
          for (const frame of frames) take(frame);
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
          request.destroy();
        }
      });
      response.on('end', () => {
        if (!isDone || usage === null || usage === undefined)
          reject(new Error(`no whole stream: ${rest.slice(0, 300)}`));
        else
          resolve({
            pieceMs,
            promptTokens: usage.prompt_tokens,
            cachedTokens: usage.prompt_tokens_details?.cached_tokens ?? 0,
          });
      });
      response.on('error', reject);
    });
    request.on('error', reject);
    request.end(text);
  });
