/** What is asked, and how: plain HTTP with keep-alive, answers read to their end and thrown away. */
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';

export interface Question {
  readonly path: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The same work for both; only the gateway can be asked in Anthropic's words. */
export interface Case {
  readonly what: string;
  readonly direct: Question;
  readonly through: Question;
}

export interface Answer {
  readonly status: number;
  /** Of its first byte, on the monotonic clock. */
  readonly firstMs: number;
}

export const newAgent = (): Agent => new Agent({ keepAlive: true });

export const post = (base: string, agent: Agent, question: Question): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    const headers = {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(question.body),
      ...question.headers,
    };
    const sent = httpRequest(base + question.path, { method: 'POST', agent, headers }, resolve);
    sent.once('error', reject);
    sent.end(question.body);
  });

/** Server-sent events that end in this piece. */
export const nEventsIn = (piece: Buffer): number => {
  let n = 0;
  for (let at = piece.indexOf('\n\n'); at >= 0; at = piece.indexOf('\n\n', at + 2)) n += 1;
  return n;
};

const readAll = (response: IncomingMessage): Promise<Answer> =>
  new Promise((resolve, reject) => {
    let firstMs = 0;
    response.once('data', () => {
      firstMs = performance.now();
    });
    response.resume();
    response.once('end', () => resolve({ status: response.statusCode ?? 0, firstMs }));
    response.once('error', reject);
  });

/** @throws Error for any status but 200 */
export const ask = async (base: string, agent: Agent, question: Question): Promise<Answer> => {
  const answer = await readAll(await post(base, agent, question));
  if (answer.status !== 200) throw new Error(`${base}${question.path} answered ${answer.status}`);
  return answer;
};

export const chat = (stream: boolean, padding = 0): Question => ({
  path: '/v1/chat/completions',
  body: JSON.stringify({
    model: 'm',
    stream,
    messages: [
      { role: 'system', content: prose(padding) },
      { role: 'user', content: 'Say hello.' },
    ],
  }),
});

const messages = (stream: boolean, more: object): Question => ({
  path: '/v1/messages?beta=true',
  headers: { 'anthropic-version': '2023-06-01' },
  body: JSON.stringify({
    model: 'm',
    max_tokens: 8,
    stream,
    messages: [{ role: 'user', content: [{ type: 'text', text: 'Say hello.' }] }],
    ...more,
  }),
});

const prose = (length: number): string => 'Reads a "file" from disk – see its path.\n'.repeat(length / 40);

/** As agents send it: 64 KB of tools, a long system prompt in blocks, prose with quotes, dashes and line ends. */
const agentParts = (): object => ({
  system: [{ type: 'text', text: prose(15_000), cache_control: { type: 'ephemeral' } }],
  tools: Array.from({ length: 24 }, (_, i) => ({
    name: `tool_${i}`,
    description: prose(2000),
    input_schema: { type: 'object', properties: { path: { type: 'string', description: prose(400) } } },
  })),
});

const same = (what: string, question: Question): Case => ({ what, direct: question, through: question });

export const smallCases = (): readonly Case[] => [
  same('chat, whole', chat(false)),
  same('chat, stream of 8', chat(true)),
  { what: 'messages, whole', direct: chat(false), through: messages(false, {}) },
  { what: 'messages, stream of 8', direct: chat(true), through: messages(true, {}) },
];

export const largeCases = (): readonly Case[] => [
  same('chat, whole, 80 KB', chat(false, 80_000)),
  { what: 'messages, whole, 80 KB', direct: chat(false, 80_000), through: messages(false, agentParts()) },
  { what: 'messages, stream of 8, 80 KB', direct: chat(true, 80_000), through: messages(true, agentParts()) },
];
