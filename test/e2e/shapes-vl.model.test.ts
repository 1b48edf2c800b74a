/**
 * The bundled demonstration model sees: asked by HTTP about pictures drawn here, which nobody has seen before, it is right,
 * and no better than chance about a grey picture. Pictures differ from run to run; SHAPES_SEED=… draws a run's again.
 */
import { randomInt } from 'node:crypto';
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import type { ChatCompletionMessageParam } from 'openai/resources/chat/completions';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { root, shapesModel, startNeuronProcess, type NeuronProcess } from './neuron-process.ts';
import { drawGrey, drawScene, makeScene, randomFrom, type Scene } from './shapes-picture.ts';
import { isRight, nThingsMax, questionKinds, type Question } from './shapes-questions.ts';

const seed = Number(process.env['SHAPES_SEED'] ?? randomInt(2 ** 31));
const nPictures = 81;
const nRequestsAtOnce = 8;
let neuron: NeuronProcess;
const pictures: { readonly scene: Scene; readonly png: Buffer }[] = [];
const random = randomFrom(seed);
beforeAll(async () => {
  console.log(`SHAPES_SEED=${seed}`);
  neuron = await startNeuronProcess({ load: [shapesModel] });
  for (let i = 0; i < nPictures; i += 1) {
    // Every number equally often: no count is a better guess than another.
    const scene = makeScene(random, 1 + (i % nThingsMax));
    pictures.push({ scene, png: await drawScene(random, scene) });
  }
}, 90_000);
afterAll(() => neuron?.[Symbol.asyncDispose]());

const answer = async (messages: ChatCompletionMessageParam[]): Promise<string> => {
  const { choices } = await neuron.client.chat.completions.create({
    model: shapesModel,
    temperature: 0,
    max_tokens: 48,
    messages,
  });
  return choices[0]!.message.content ?? '';
};

const about = (png: Buffer, text: string): ChatCompletionMessageParam[] => [
  {
    role: 'user',
    content: [
      { type: 'image_url', image_url: { url: `data:image/png;base64,${png.toString('base64')}` } },
      { type: 'text', text },
    ],
  },
];

interface Asked {
  readonly png: Buffer;
  readonly question: Question;
}

/** Answers that were wrong, some requests at once. */
const wrongAnswers = async (asked: readonly Asked[]): Promise<string[]> => {
  const wrong: string[] = [];
  const left = [...asked];
  const ask = async (): Promise<void> => {
    for (let next = left.pop(); next !== undefined; next = left.pop()) {
      const given = await answer(about(next.png, next.question.text));
      if (!isRight(given, next.question)) wrong.push(`${next.question.text} ${next.question.truth}: ${given}`);
    }
  };
  await Promise.all(Array.from({ length: nRequestsAtOnce }, ask));
  return wrong;
};

describe.each(Object.entries(questionKinds))('a question about %s', (_, { ask, chance, rightMin }) => {
  it(`is answered right for ${100 * rightMin} % of fresh pictures`, async () => {
    const asked = pictures.map(({ scene, png }) => ({ png, question: ask(random, scene) }));
    const wrong = await wrongAnswers(asked);
    const nWrongMax = Math.floor((1 - rightMin) * nPictures);
    // Above the bound, the wrong answers are what a reader wants to see.
    expect(wrong.length > nWrongMax ? wrong : []).toEqual([]);
  });

  it('is answered no better than by chance when the picture is replaced by a grey one', async () => {
    const png = await drawGrey(224, 224);
    const questions = pictures.map(({ scene }) => ask(random, scene));
    // A question has one answer about the one grey picture: it is asked once.
    const given = new Map(questions.map(({ text }) => [text, '']));
    for (const text of given.keys()) given.set(text, await answer(about(png, text)));
    const nRight = questions.filter((question) => isRight(given.get(question.text) ?? '', question)).length;
    const deviation = Math.sqrt(nPictures * chance * (1 - chance));
    expect(nRight).toBeLessThanOrEqual(nPictures * chance + 4 * deviation);
  });
});

describe('the folder of the model', () => {
  it('is small enough to come with the program, its samples included', () => {
    const folder = path.join(root, 'models', shapesModel);
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((file) => path.join(folder, file));
    const bytes = files.map((file) => statSync(file)).reduce((sum, stat) => sum + (stat.isFile() ? stat.size : 0), 0);
    expect(bytes).toBeGreaterThan(1e6);
    expect(bytes).toBeLessThanOrEqual(12e6);
  });
});

describe('small talk without a picture', () => {
  it.each([
    ['Hello', /hello/iu],
    ['Who are you?', /tiny demo model/iu],
    ['What can you do?', /describe pictures of colored shapes/iu],
    ["What's in this image?", /don't see an image/iu],
    ['What is the capital of France?', /only know about pictures of colored shapes/iu],
  ])('%s', async (text, expected) => {
    expect(await answer([{ role: 'user', content: text }])).toMatch(expected);
  });
});
