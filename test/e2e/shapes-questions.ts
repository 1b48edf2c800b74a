/** For the demonstration model's test and for measuring what number types cost it: questions about drawn scenes. */
import { colors, oneOf, places, shapes, type Random, type Scene } from './shapes-picture.ts';

export const nThingsMax = 3;

const numbers = ['no', 'one', 'two', 'three'] as const;

export interface Question {
  readonly text: string;
  readonly truth: string;
  /** What may be answered: the answer must name the truth and no other of these. */
  readonly options: readonly string[];
}

export interface QuestionKind {
  ask(random: Random, scene: Scene): Question;
  /** Part of the questions that one and the same answer to all could get right. */
  readonly chance: number;
  /** Part of the questions that the model must get right. */
  readonly rightMin: number;
}

export const questionKinds: Readonly<Record<'color' | 'shape' | 'count' | 'place', QuestionKind>> = {
  color: {
    ask: (random, { things }) => {
      const { shape, color } = oneOf(random, things);
      return { text: `What color is the ${shape}?`, truth: color, options: colors };
    },
    chance: 1 / 7,
    rightMin: 0.9,
  },
  shape: {
    ask: (random, { things }) => {
      const { shape, color } = oneOf(random, things);
      return { text: `What shape is ${color}?`, truth: shape, options: shapes };
    },
    chance: 1 / shapes.length,
    rightMin: 0.9,
  },
  count: {
    ask: (_, { things }) => ({
      text: 'How many shapes are there?',
      truth: numbers[things.length]!,
      options: numbers,
    }),
    chance: 1 / nThingsMax,
    rightMin: 0.9,
  },
  place: {
    ask: (random, { things }) => {
      const { shape, place } = oneOf(random, things);
      return { text: `Where is the ${shape}?`, truth: place, options: places };
    },
    chance: 1 / places.length,
    // Its weakest side, as its model card says.
    rightMin: 0.65,
  },
};

export const isRight = (given: string, { truth, options }: Question): boolean => {
  const named = options.filter((option) => new RegExp(`\\b${option}\\b`, 'iu').test(given));
  return named.length === 1 && named[0] === truth;
};
