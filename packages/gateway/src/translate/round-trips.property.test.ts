import { MessageStream } from '@anthropic-ai/sdk/lib/MessageStream';
import * as fc from 'fast-check';
import { ResponseStream } from 'openai/lib/responses/ResponseStream';
import { describe, expect, it } from 'vitest';
import type { ChatChunk, ChatCompletion } from '@cortex/core';
import { answers, conversations, type Turn, type TurnCall } from '../../test/translate/arbitrary-answers.ts';
import { chunksOf, completionOf, type ScriptedAnswer } from '../../test/translate/chat-answers.ts';
import {
  answerFor,
  askedOf,
  eventsFor,
  streamOf,
  textFor,
  type ClientEvent,
} from '../../test/translate/run-dialect.ts';
import { SseFrames } from '../proxy/sse-frames.ts';
import { StreamTap } from '../proxy/stream-tap.ts';
import type { Dialect, JsonObject } from './contract.ts';
import { messagesDialect } from './messages/dialect.ts';
import { responsesDialect } from './responses/dialect.ts';

const thinking = { type: 'adaptive' };
const messagesBody: JsonObject = { model: 'm', max_tokens: 9, thinking, messages: [{ role: 'user', content: 'hi' }] };
const responsesBody: JsonObject = { model: 'm', input: 'hi' };

/** The form in which the official clients keep a stream to read it again. */
const lines = (events: readonly ClientEvent[]): ReadableStream =>
  new Blob(events.map(({ data }) => `${JSON.stringify(data)}\n`)).stream() as ReadableStream;

/** What the clients add for convenience, on top of what they were sent. */
const added = new Set(['parsed_output', 'output_parsed', 'output_text', 'parsed', 'parsed_arguments']);

const plain = (value: unknown): JsonObject =>
  JSON.parse(JSON.stringify(value, (key, member: unknown) => (added.has(key) ? undefined : member))) as JsonObject;

const withoutPings = (events: readonly ClientEvent[]): ClientEvent[] => events.filter(({ event }) => event !== 'ping');

const finalMessage = async (answer: ScriptedAnswer): Promise<JsonObject> => {
  const events = withoutPings(eventsFor(messagesDialect, messagesBody, chunksOf(answer)));
  return plain(await MessageStream.fromReadableStream(lines(events)).finalMessage());
};

const finalResponse = async (answer: ScriptedAnswer): Promise<JsonObject> => {
  const events = eventsFor(responsesDialect, responsesBody, chunksOf(answer));
  return plain(await ResponseStream.fromReadableStream(lines(events)).finalResponse());
};

type AssistantMessage = ChatCompletion['choices'][number]['message'];

/** As it goes into the next request. */
const messageOf = ({ choices }: ChatCompletion): Omit<AssistantMessage, 'refusal'> => {
  const [choice] = choices;
  if (choice === undefined) throw new Error('a completion has a choice');
  const { refusal: _refusal, ...said } = choice.message;
  return said;
};

describe('any answer', () => {
  it("adds up to the whole message in Anthropic's own client", async () => {
    await fc.assert(
      fc.asyncProperty(answers, async (answer) => {
        expect(await finalMessage(answer)).toEqual(
          plain(answerFor(messagesDialect, messagesBody, completionOf(answer))),
        );
      }),
    );
  });

  it("adds up to the whole response in OpenAI's own client", async () => {
    await fc.assert(
      fc.asyncProperty(answers, async (answer) => {
        expect(await finalResponse(answer)).toEqual(
          plain(answerFor(responsesDialect, responsesBody, completionOf(answer))),
        );
      }),
    );
  });

  it('comes back from the client as the chat message it was', () => {
    fc.assert(
      fc.property(answers, (answer) => {
        const said = messageOf(completionOf(answer));
        const isEmpty = said.content === '' && !said.reasoning_content && !said.tool_calls;
        const expected = isEmpty ? [] : plain([said]);
        const message = answerFor(messagesDialect, messagesBody, completionOf(answer));
        const turns = [
          { role: 'user', content: 'hi' },
          { role: 'assistant', content: message['content'] },
        ];
        expect(
          (askedOf(messagesDialect, { ...messagesBody, messages: turns })['messages'] as unknown[]).slice(1),
        ).toEqual(expected);
        const response = answerFor(responsesDialect, responsesBody, completionOf(answer));
        const input = [{ role: 'user', content: 'hi' }, ...(response['output'] as unknown[])];
        expect((askedOf(responsesDialect, { model: 'm', input })['messages'] as unknown[]).slice(1)).toEqual(expected);
      }),
    );
  });
});

const sse = (chunks: readonly ChatChunk[]): Buffer =>
  Buffer.from(
    [...chunks.map((chunk) => JSON.stringify(chunk)), '[DONE]'].map((data) => `data: ${data}\r\n\r\n`).join(''),
  );

const translated = (dialect: Dialect, body: JsonObject, bytes: readonly Buffer[]): string => {
  const frames = new SseFrames();
  const tap = new StreamTap('a', () => 0);
  const stream = streamOf(dialect, body);
  return bytes
    .flatMap((piece) => frames.push(piece))
    .map((frame) => {
      const heard = tap.read(frame);
      if (heard.kind === 'done') return stream.end();
      return heard.kind === 'chunk' ? stream.chunk(heard.chunk) : '';
    })
    .join('');
};

describe("any cut of the node's bytes", () => {
  it.each([
    ['messages', messagesDialect, messagesBody],
    ['responses', responsesDialect, responsesBody],
  ] as const)('gives the same events of %s', (_name, dialect, body) => {
    fc.assert(
      fc.property(answers, fc.array(fc.nat(), { maxLength: 20 }), (answer, cuts) => {
        const chunks = chunksOf(answer);
        const bytes = sse(chunks);
        const places = [0, ...cuts.map((cut) => cut % bytes.length), bytes.length].toSorted((a, b) => a - b);
        const cut = places.slice(1).map((to, i) => bytes.subarray(places[i], to));
        expect(translated(dialect, body, cut)).toBe(textFor(streamOf(dialect, body), chunks));
      }),
    );
  });
});

const image = 'data:image/png;base64,iVBORw0KGgo=';
const anthropicImage = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'iVBORw0KGgo=' } };
const chatImage = { type: 'image_url', image_url: { url: image } };
const responsesImage = { type: 'input_image', image_url: image };

const chatTurn = ({ said, image: hasImage, answer }: Turn): JsonObject[] => [
  { role: 'user', content: hasImage ? [{ type: 'text', text: said }, chatImage] : said },
  {
    role: 'assistant',
    content: answer.text === '' ? null : answer.text,
    ...(answer.reasoning === '' ? {} : { reasoning_content: answer.reasoning }),
    ...(answer.calls.length === 0
      ? {}
      : {
          tool_calls: answer.calls.map(({ id, name, input }) => ({
            id,
            type: 'function',
            function: { name, arguments: JSON.stringify(input) },
          })),
        }),
  },
  ...answer.calls.map(({ id, result, resultImage }) => ({
    role: 'tool',
    tool_call_id: id,
    content: resultImage ? [{ type: 'text', text: result }, chatImage] : result,
  })),
];

const anthropicTurn = ({ said, image: hasImage, answer }: Turn): JsonObject[] => [
  { role: 'user', content: [{ type: 'text', text: said }, ...(hasImage ? [anthropicImage] : [])] },
  {
    role: 'assistant',
    content: [
      ...(answer.reasoning === '' ? [] : [{ type: 'thinking', thinking: answer.reasoning, signature: 'x' }]),
      ...(answer.text === '' ? [] : [{ type: 'text', text: answer.text }]),
      ...answer.calls.map(({ id, name, input }) => ({ type: 'tool_use', id, name, input })),
    ],
  },
  ...(answer.calls.length === 0
    ? []
    : [
        {
          role: 'user',
          content: answer.calls.map(({ id, result, resultImage }) => ({
            type: 'tool_result',
            tool_use_id: id,
            content: resultImage ? [{ type: 'text', text: result }, anthropicImage] : result,
          })),
        },
      ]),
];

const outputItem = ({ id, result, resultImage }: TurnCall): JsonObject => ({
  type: 'function_call_output',
  call_id: id,
  output: resultImage ? [{ type: 'input_text', text: result }, responsesImage] : result,
});

const responsesTurn = ({ said, image: hasImage, answer }: Turn): JsonObject[] => [
  { role: 'user', content: [{ type: 'input_text', text: said }, ...(hasImage ? [responsesImage] : [])] },
  ...(answer.reasoning === ''
    ? []
    : [{ type: 'reasoning', summary: [{ type: 'summary_text', text: answer.reasoning }] }]),
  ...(answer.text === ''
    ? []
    : [{ type: 'message', role: 'assistant', content: [{ type: 'output_text', text: answer.text }] }]),
  ...answer.calls.map(({ id, name, input }) => ({
    type: 'function_call',
    call_id: id,
    name,
    arguments: JSON.stringify(input),
  })),
  ...answer.calls.map(outputItem),
];

describe('any conversation', () => {
  it('is the same chat, whichever protocol it is told in', () => {
    fc.assert(
      fc.property(conversations, ({ system, turns }) => {
        const chat = plain([{ role: 'system', content: system }, ...turns.flatMap(chatTurn)]);
        const messages = turns.flatMap(anthropicTurn);
        const input = turns.flatMap(responsesTurn);
        expect(askedOf(messagesDialect, { model: 'm', max_tokens: 9, system, messages })['messages']).toEqual(chat);
        expect(askedOf(responsesDialect, { model: 'm', instructions: system, input })['messages']).toEqual(chat);
      }),
    );
  });
});
