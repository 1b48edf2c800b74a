/**
 * The requests of a soak: what agents, pages and mistaken clients send, drawn at random from one seed. Some have one
 * right answer however busy the neuron is, for greedy text does not depend on what else is computed.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fixtureEos, fixtureModel, root, shapesModel } from '../../test/e2e/neuron-process.ts';
import type { Question } from './exchange.ts';

/** Uniform in 0 … 1 (1 excluded). */
export type Random = () => number;

export interface PlannedQuestion extends Question {
  readonly kind: string;
  readonly model: string;
  /** Equal for questions whose greedy answers are equal; null where sampling decides. */
  readonly sameAs: string | null;
  /** Of which it may be refused, beside what a busy neuron answers anyone. */
  readonly refusals: readonly string[];
}

const samplesDir = join(root, 'models/shapes-vl/samples');
const samples = JSON.parse(readFileSync(join(samplesDir, 'samples.json'), 'utf8')) as {
  readonly file: string | null;
}[];
const pictures = samples.flatMap(({ file }) =>
  file === null ? [] : [`data:image/png;base64,${readFileSync(join(samplesDir, file)).toString('base64')}`],
);
const photos = ['rgba.png', 'grey16.png', 'exif-rotated-6.jpg', 'lossless.webp', 'small-96x64.png'].map((file) => {
  const type = file.endsWith('jpg') ? 'jpeg' : file.split('.')[1];
  return `data:image/${type};base64,${readFileSync(join(root, 'fixtures/images', file)).toString('base64')}`;
});

/** A model that is loaded and unloaded all the while. */
export const comingModel = 'coming-and-going';

const at = <T>(random: Random, items: readonly T[]): T => {
  const item = items[Math.floor(random() * items.length)];
  if (item === undefined) throw new RangeError('nothing to choose from');
  return item;
};
const upTo = (random: Random, n: number): number => 1 + Math.floor(random() * n);

const words = 'the red square and a small ring on gray with two more stars in top left or right blue cross'.split(' ');
const sentence = (random: Random, n: number): string => Array.from({ length: n }, () => at(random, words)).join(' ');

type Body = Readonly<Record<string, unknown>>;
interface Draft {
  readonly path: string;
  readonly body: Body | string;
  readonly isGreedy?: boolean;
  readonly refusals?: readonly string[];
}

const chatPath = '/v1/chat/completions';
const user = (content: unknown): object => ({ role: 'user', content });
const seeing = (url: string, text: string): object =>
  user([
    { type: 'image_url', image_url: { url } },
    { type: 'text', text },
  ]);

const chat = (body: Body, more: Partial<Draft> = {}): Draft => ({ path: chatPath, body, ...more });

/** Of the fixture, whose random weights would end an answer anywhere. */
const rambling = (max: number): Body => ({ model: fixtureModel, max_tokens: max, logit_bias: fixtureEos });

const weather = {
  type: 'function',
  function: {
    name: 'weather',
    parameters: {
      type: 'object',
      properties: { city: { enum: ['Oslo', 'Bern'] }, days: { type: 'integer', minimum: 1, maximum: 9 } },
      required: ['city', 'days'],
    },
  },
};
const shape = {
  type: 'json_schema',
  json_schema: {
    name: 'thing',
    schema: {
      type: 'object',
      properties: {
        color: { enum: ['red', 'blue'] },
        sizes: { type: 'array', items: { type: 'integer' }, maxItems: 3 },
      },
      required: ['color'],
      additionalProperties: false,
    },
  },
};

const greedy = { temperature: 0, isGreedy: true } as const;

/** Turns on a shared beginning, as of one conversation at different times. */
const conversation = (random: Random): object[] => {
  const history = [
    { role: 'system', content: 'You answer briefly and to the point, and in whole sentences. '.repeat(4) },
  ];
  const nTurns = upTo(random, 4);
  for (let turn = 0; turn < nTurns; turn += 1) {
    history.push({ role: 'user', content: `Question ${turn}: ${words.slice(turn, turn + 5).join(' ')}?` });
    history.push({ role: 'assistant', content: `Answer ${turn}, ${words[turn]}.` });
  }
  return [...history, user('And now?')];
};

const usual: Readonly<Record<string, (random: Random) => Draft>> = {
  text: (random) =>
    chat({
      ...rambling(upTo(random, 40)),
      messages: [user(sentence(random, upTo(random, 60)))],
      temperature: at(random, [0, 0.7, 1.5]),
      ...(random() < 0.2 ? { n: upTo(random, 3) } : {}),
      ...(random() < 0.2 ? { logprobs: true, top_logprobs: 3 } : {}),
      ...(random() < 0.2 ? { stop: ['a', 'e'] } : {}),
    }),
  conversation: (random) => chat({ ...rambling(12), ...greedy, messages: conversation(random) }, { isGreedy: true }),
  'long prompt': (random) =>
    chat({ ...rambling(8), messages: [user(sentence(random, 100 + upTo(random, 400)))], temperature: 0.5 }),
  picture: (random) =>
    chat(
      { model: shapesModel, ...greedy, messages: [seeing(at(random, pictures), "What's in this image?")] },
      { isGreedy: true },
    ),
  'talk about a picture': (random) => {
    const picture = at(random, pictures);
    const first = [seeing(picture, "What's in this image?"), { role: 'assistant', content: 'A thing.' }];
    return chat(
      { model: shapesModel, ...greedy, max_tokens: 24, messages: [...first, user('How many things are there?')] },
      { isGreedy: true },
    );
  },
  photo: (random) =>
    chat({
      ...rambling(upTo(random, 20)),
      messages: [seeing(at(random, photos), sentence(random, 5))],
      temperature: 1,
    }),
  completion: (random) => ({
    path: '/v1/completions',
    body: {
      ...rambling(upTo(random, 30)),
      prompt: Array.from({ length: upTo(random, 3) }, () =>
        Array.from({ length: upTo(random, 40) }, () => upTo(random, 500)),
      ),
      echo: random() < 0.3,
      temperature: 0.8,
    },
  }),
  tool: (random) =>
    chat({
      model: fixtureModel,
      max_tokens: 120,
      messages: [user(sentence(random, 6))],
      tools: [weather],
      tool_choice: at(random, ['auto', 'required', { type: 'function', function: { name: 'weather' } }]),
    }),
  schema: (random) =>
    chat({ model: fixtureModel, max_tokens: 120, messages: [user(sentence(random, 6))], response_format: shape }),
  embeddings: (random) => ({
    path: '/v1/embeddings',
    body: {
      model: fixtureModel,
      input: Array.from({ length: upTo(random, 4) }, () => sentence(random, upTo(random, 80))),
      encoding_format: at(random, ['float', 'base64']),
    },
  }),
  tokenize: (random) => ({ path: '/tokenize', body: { model: shapesModel, prompt: sentence(random, 20) } }),
  'coming and going': (random) =>
    chat(
      { model: comingModel, max_tokens: upTo(random, 20), messages: [user(sentence(random, 10))] },
      // Taken away under it, or just being loaded.
      { refusals: ['overloaded', 'model_loading'] },
    ),
};

const refused = (refusals: readonly string[], body: Body | string, path = chatPath): Draft => ({
  path,
  body,
  refusals,
});
const withPicture = (url: string): Body => ({ model: fixtureModel, messages: [seeing(url, 'x')], max_tokens: 1 });
const base64 = (bytes: Uint8Array): string => `data:image/png;base64,${Buffer.from(bytes).toString('base64')}`;
/** A PNG that says it has 30,000 by 30,000 pixels. */
const bomb = ((): string => {
  const png = Buffer.from((pictures[0] ?? '').split(',')[1] ?? '', 'base64');
  png.writeUInt32BE(30_000, 16);
  png.writeUInt32BE(30_000, 20);
  return base64(png);
})();

const mistaken: readonly ((random: Random) => Draft)[] = [
  () => refused(['invalid_request'], '{"model": "x", '),
  () => refused(['invalid_request'], { model: fixtureModel, messages: 'hi' }),
  () => refused(['invalid_request'], { model: fixtureModel, messages: [user('x')], temperature: -1 }),
  () => refused(['invalid_request'], { model: fixtureModel, input: 7 }, '/v1/embeddings'),
  () => refused(['model_not_found'], { model: 'acme/none', messages: [user('x')] }),
  () => refused(['context_length_exceeded'], { model: fixtureModel, messages: [user('word '.repeat(20_000))] }),
  () => refused(['vision_unsupported'], { model: comingModel, messages: [seeing(pictures[0] ?? '', 'x')] }),
  (random) => refused(['invalid_image'], withPicture(base64(Buffer.alloc(upTo(random, 5000), 7)))),
  (random) => {
    const picture = at(random, [...pictures, ...photos]);
    return refused(
      ['invalid_image'],
      withPicture(picture.slice(0, Math.floor(picture.length * (0.2 + random() * 0.5)))),
    );
  },
  () => refused(['request_too_large', 'invalid_image'], withPicture(bomb)),
  () => refused(['invalid_image'], withPicture('http://127.0.0.1:1/x.png')),
];

/** What anybody may be told when much is asked at once. */
const busyCodes = ['rate_limit_exceeded'];

const leaving = (random: Random): number | null => (random() < 0.2 ? Math.floor(random() ** 2 * 400) : null);

const planned = (kind: string, random: Random, { path, body, isGreedy = false, refusals }: Draft): PlannedQuestion => {
  const mayStream = typeof body !== 'string' && (path === chatPath || path === '/v1/completions');
  const stream = mayStream && random() < 0.6 ? { stream: true, stream_options: { include_usage: true } } : {};
  const model = typeof body === 'string' ? null : body['model'];
  return {
    kind,
    model: typeof model === 'string' ? model : '',
    path,
    body: typeof body === 'string' ? body : JSON.stringify({ ...body, ...stream }),
    headers: {
      'x-cortex-client': at(random, ['alice', 'bob', 'carol']),
      'x-cortex-priority': at(random, ['0', '0', '5']),
    },
    leaveAfterMs: leaving(random),
    sameAs: isGreedy ? JSON.stringify(body) : null,
    refusals: [...(refusals ?? []), ...busyCodes],
  };
};

const kinds = Object.keys(usual);

export const nextQuestion = (random: Random): PlannedQuestion => {
  if (random() < 0.2) return planned('mistaken', random, at(random, mistaken)(random));
  const kind = at(random, kinds);
  const draft = usual[kind]?.(random);
  if (draft === undefined) throw new RangeError(`no questions of kind ${kind}`);
  return planned(kind, random, draft);
};
