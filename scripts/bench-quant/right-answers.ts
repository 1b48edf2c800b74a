/** How many questions about freshly drawn pictures the demonstration model answers right with each number type. */
import { chatRequestSchema, neuronConfigSchema } from '@cortex/core';
import type { Engine } from '../../packages/neuron/src/main.ts';
import type { WeightType } from '../../packages/neuron/src/model/weight-types.ts';
import { quietEngine } from '../../packages/neuron/test/quiet-engine.ts';
import { drawScene, makeScene, randomFrom } from '../../test/e2e/shapes-picture.ts';
import { isRight, nThingsMax, questionKinds, type Question } from '../../test/e2e/shapes-questions.ts';

export const nPictures = 40;
const nAtOnce = 4;
const seed = 20_26;

interface Asked {
  readonly kind: string;
  readonly dataUri: string;
  readonly question: Question;
}

/** The same whenever it is asked. */
const questions = async (): Promise<readonly Asked[]> => {
  const random = randomFrom(seed);
  const asked: Asked[] = [];
  for (let i = 0; i < nPictures; i += 1) {
    const scene = makeScene(random, 1 + (i % nThingsMax));
    const dataUri = `data:image/png;base64,${(await drawScene(random, scene)).toString('base64')}`;
    for (const [kind, { ask }] of Object.entries(questionKinds)) {
      asked.push({ kind, dataUri, question: ask(random, scene) });
    }
  }
  return asked;
};

const answerOf = async (engine: Engine, model: string, { dataUri, question }: Asked): Promise<string> => {
  const content = [
    { type: 'image_url', image_url: { url: dataUri } },
    { type: 'text', text: question.text },
  ];
  const request = chatRequestSchema.parse({
    model,
    temperature: 0,
    max_tokens: 48,
    messages: [{ role: 'user', content }],
  });
  const context = { signal: new AbortController().signal, requestId: 'bench', client: 'bench', priority: 0 };
  let text = '';
  for await (const event of engine.harness.chat(request, context)) if (event.kind === 'text') text += event.text;
  return text;
};

export interface RightAnswers {
  readonly type: WeightType;
  /** Shares of 1 by kind of question. */
  readonly right: Readonly<Record<string, number>>;
}

/** @param modelDir the folder that the model's is in. */
export async function* rightAnswers(
  modelDir: string,
  model: string,
  types: readonly WeightType[],
): AsyncGenerator<RightAnswers> {
  const asked = await questions();
  for (const quant of types) {
    const config = { ...neuronConfigSchema.parse({}).harness.ggml, quant };
    const engine = await quietEngine(modelDir, config);
    const nRight: Record<string, number> = {};
    const left = [...asked];
    const askAll = async (): Promise<void> => {
      for (let each = left.pop(); each !== undefined; each = left.pop()) {
        const isOne = isRight(await answerOf(engine, model, each), each.question);
        nRight[each.kind] = (nRight[each.kind] ?? 0) + (isOne ? 1 : 0);
      }
    };
    try {
      await Promise.all(Array.from({ length: nAtOnce }, askAll));
    } finally {
      await engine.harness.close(1000);
    }
    const right = Object.fromEntries(Object.keys(questionKinds).map((kind) => [kind, (nRight[kind] ?? 0) / nPictures]));
    yield { type: quant, right };
  }
}
