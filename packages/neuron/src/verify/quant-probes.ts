/** Prompts to measure what quantised weights lose: a reference model's cases, or a model's own sample pictures. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { expandImagePadTokens } from '../chat/image-pads.ts';
import type { TemplateMessage } from '../chat/messages.ts';
import { loadPromptSide, type PromptSide } from '../harness/prompt-side.ts';
import { planImageFile } from '../vision/plan-images.ts';
import { prepareImage, type PreparedImage } from '../vision/prepare-image.ts';
import { defaultVisionLimits } from '../vision/vision-limits.ts';
import type { QuantProbe } from './quant-error.ts';
import { referenceCases } from './reference.ts';

const prepared = async ({ vision }: PromptSide, files: readonly string[]): Promise<readonly PreparedImage[]> => {
  if (vision === null) return [];
  return Promise.all(
    files.map(async (file) => {
      const bytes = new Uint8Array(await readFile(file));
      return prepareImage(await planImageFile(bytes, vision, defaultVisionLimits), vision);
    }),
  );
};

interface Prompt {
  readonly messages: readonly TemplateMessage[];
  readonly imageFiles: readonly string[];
  /** What follows the prompt, and is scored; the whole prompt is scored without. */
  readonly answer?: string;
}

const probeOf = async (side: PromptSide, { messages, imageFiles, answer }: Prompt): Promise<QuantProbe> => {
  const images = await prepared(side, imageFiles);
  const { ids } = await side.thread.build({ messages, tools: [], addGenerationPrompt: true, kwargs: {} });
  const pad = side.vision?.imageTokenId ?? -1;
  const nTokens = images.map((image) => image.nTokens);
  const prompt = images.length === 0 ? ids : expandImagePadTokens(ids, pad, nTokens);
  if (answer === undefined) return { ids: prompt, images, firstScored: 1 };
  const told = await side.thread.encode(answer, { parseSpecial: false, addSpecial: false });
  const end = side.eosIds.slice(-1);
  return { ids: Int32Array.of(...prompt, ...told, ...end), images, firstScored: prompt.length };
};

const sampleSchema = z.array(
  z.looseObject({
    /** Null for a question without a picture. */
    file: z.string().nullish(),
    questions: z.array(z.looseObject({ question: z.string(), truth: z.string() })).default([]),
  }),
);

const withSide = async (dir: string, prompts: readonly Prompt[]): Promise<readonly QuantProbe[]> => {
  const side = await loadPromptSide(dir, path.basename(dir));
  try {
    return await Promise.all(prompts.map((prompt) => probeOf(side, prompt)));
  } finally {
    await side.close();
  }
};

/** The cases of a model in a directory of reference numbers. */
export const referenceProbes = async (root: string, model: string): Promise<readonly QuantProbe[]> => {
  const cases = await referenceCases(root, model);
  const prompts = cases.map(({ spec }) => ({
    messages: spec.messages,
    imageFiles: spec.images.map((name) => path.join(root, 'images', name)),
  }));
  return withSide(path.join(root, 'models', model), prompts);
};

/** The questions about the pictures in a model's own `samples`, followed by their answers. */
export const sampleProbes = async (dir: string): Promise<readonly QuantProbe[]> => {
  const samples = sampleSchema.parse(JSON.parse(await readFile(path.join(dir, 'samples/samples.json'), 'utf8')));
  const prompts = samples.flatMap(({ file, questions }) =>
    (typeof file === 'string' ? questions : []).map(({ question, truth }) => ({
      messages: [{ role: 'user', content: [{ type: 'image' }, { type: 'text', text: question }] }] as TemplateMessage[],
      imageFiles: [path.join(dir, 'samples', file ?? '')],
      answer: truth,
    })),
  );
  return withSide(dir, prompts);
};
