/** One question in each protocol the gateway speaks, and how its answer ended, read from the bare bytes. */
import { SseFrames } from '../src/proxy/sse-frames.ts';

export const protocols = ['chat', 'completions', 'messages', 'responses'] as const;
export type Protocol = (typeof protocols)[number];

export type Outcome =
  | { readonly kind: 'answered'; readonly complete: boolean }
  | { readonly kind: 'in_stream'; readonly code: string }
  | {
      readonly kind: 'refused';
      readonly status: number;
      readonly code: string;
      readonly retryAfter: string | null;
    };

type Json = Readonly<Record<string, unknown>>;

interface ProtocolProbe {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  body(stream: boolean): Json;
  code(body: Json): string;
  isWhole(body: Json): boolean;
  /** What the events say: the error code they end in, or whether they are complete. */
  readStream(events: readonly { readonly event: string | null; readonly data: string }[]): Outcome;
}

const fakeAnswer = 'w0 w1 w2 w3 w4 w5 w6 w7 ';

const errorOf = (body: Json): Json => (body['error'] ?? {}) as Json;

const chat: ProtocolProbe = {
  path: '/v1/chat/completions',
  headers: {},
  body: (stream) => ({ model: 'm', stream, messages: [{ role: 'user', content: 'hello' }] }),
  code: (body) => String(errorOf(body)['code']),
  isWhole: (body) => JSON.stringify(body).includes(fakeAnswer),
  readStream: (events) => {
    const last = events.at(-1)?.data ?? '';
    if (last === '[DONE]') {
      const text = events
        .slice(0, -1)
        .map(({ data }) => {
          const chunk = JSON.parse(data) as { choices: { delta: { content?: string } }[] };
          return chunk.choices[0]?.delta.content ?? '';
        })
        .join('');
      return { kind: 'answered', complete: text === fakeAnswer };
    }
    const error = errorOf(JSON.parse(last) as Json);
    return { kind: 'in_stream', code: String(error['code']) };
  },
};

const completions: ProtocolProbe = {
  ...chat,
  path: '/v1/completions',
  body: (stream) => ({ model: 'm', stream, prompt: 'hello' }),
  readStream: (events) => {
    const last = events.at(-1)?.data ?? '';
    if (last !== '[DONE]') return { kind: 'in_stream', code: String(errorOf(JSON.parse(last) as Json)['code']) };
    const pieces = events.slice(0, -1).map(({ data }) => JSON.parse(data) as { choices: { text: string }[] });
    return { kind: 'answered', complete: pieces.map(({ choices }) => choices[0]?.text ?? '').join('') === fakeAnswer };
  },
};

const messages: ProtocolProbe = {
  path: '/v1/messages',
  headers: { 'anthropic-version': '2023-06-01' },
  body: (stream) => ({ model: 'm', max_tokens: 100, stream, messages: [{ role: 'user', content: 'hello' }] }),
  code: (body) => (body['type'] === 'error' ? String(errorOf(body)['code']) : 'not in the envelope'),
  isWhole: (body) => body['type'] === 'message' && JSON.stringify(body['content']).includes(fakeAnswer),
  readStream: (events) => {
    const last = events.at(-1);
    if (last?.event === 'error') return { kind: 'in_stream', code: messages.code(JSON.parse(last.data) as Json) };
    const text = events
      .filter(({ event }) => event === 'content_block_delta')
      .map(({ data }) => (JSON.parse(data) as { delta: { text: string } }).delta.text)
      .join('');
    const nStarts = events.filter(({ event }) => event === 'message_start').length;
    return { kind: 'answered', complete: last?.event === 'message_stop' && text === fakeAnswer && nStarts === 1 };
  },
};

const responses: ProtocolProbe = {
  path: '/v1/responses',
  headers: {},
  body: (stream) => ({ model: 'm', stream, input: 'hello' }),
  code: (body) => String(errorOf(body)['code']),
  isWhole: (body) => body['status'] === 'completed' && JSON.stringify(body['output']).includes(fakeAnswer),
  readStream: (events) => {
    const last = events.at(-1);
    const { response } = JSON.parse(last?.data ?? '{}') as { response?: Json };
    if (last?.event === 'response.failed') return { kind: 'in_stream', code: responses.code(response ?? {}) };
    const text = events
      .filter(({ event }) => event === 'response.output_text.delta')
      .map(({ data }) => (JSON.parse(data) as { delta: string }).delta)
      .join('');
    const numbers = events.map(({ data }) => (JSON.parse(data) as { sequence_number: number }).sequence_number);
    const inOrder = numbers.every((number, i) => number === i);
    return { kind: 'answered', complete: last?.event === 'response.completed' && text === fakeAnswer && inOrder };
  },
};

const probes: Readonly<Record<Protocol, ProtocolProbe>> = { chat, completions, messages, responses };

const eventsOf = (bytes: Buffer): { readonly event: string | null; readonly data: string }[] =>
  new SseFrames().push(bytes).flatMap((frame) => {
    const event = /^event: (.*)$/m.exec(frame.bytes.toString())?.[1] ?? null;
    return frame.data === null ? [] : [{ event, data: frame.data }];
  });

export const ask = async (url: string, protocol: Protocol, asked: 'stream' | 'whole'): Promise<Outcome> => {
  const probe = probes[protocol];
  const response = await fetch(url + probe.path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...probe.headers },
    body: JSON.stringify(probe.body(asked === 'stream')),
  });
  const bytes = Buffer.from(await response.arrayBuffer());
  if (response.status !== 200) {
    const body = JSON.parse(bytes.toString()) as Json;
    const retryAfter = response.headers.get('retry-after');
    return { kind: 'refused', status: response.status, code: probe.code(body), retryAfter };
  }
  if (asked === 'stream') return probe.readStream(eventsOf(bytes));
  return { kind: 'answered', complete: probe.isWhole(JSON.parse(bytes.toString()) as Json) };
};
