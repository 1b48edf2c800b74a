/** Replays the reference's tables that need no weights: tokenizer, templates, and sizes and hashes of images. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { toolSchema } from '@cortex/core';
import { z } from 'zod';
import type { TemplateMessage } from '../chat/messages.ts';
import { ChatTemplate } from '../chat/template.ts';
import { Tokenizer } from '../tokenizer/tokenizer.ts';
import { decodeImage, readImageHeader } from '../vision/decode-image.ts';
import { resizeRgb, type RgbImage } from '../vision/resize.ts';
import { smartResize } from '../vision/smart-resize.ts';
import { sameNumbers } from './compare.ts';
import { Findings, type Verdict } from './verdict.ts';

const readExpected = async <T>(schema: z.ZodType<T>, file: string): Promise<T> =>
  schema.parse(JSON.parse(await readFile(file, 'utf8')));

const tokenizerSchema = z.array(
  z.looseObject({ text: z.string(), ids: z.array(z.int()), decoded: z.string(), decoded_skip_special: z.string() }),
);

const verifyTokenizer = async (dir: string): Promise<Verdict> => {
  const findings = new Findings('tokenizer');
  const tokenizer = await Tokenizer.load(dir);
  const expected = await readExpected(tokenizerSchema, path.join(dir, 'expected.json'));
  const encoded = expected.filter(({ text, ids }) => sameNumbers(tokenizer.encode(text, { parseSpecial: true }), ids));
  const decoded = expected.filter(
    ({ ids, decoded: text, decoded_skip_special: skipped }) =>
      tokenizer.decode(ids, { skipSpecial: false }) === text &&
      tokenizer.decode(ids, { skipSpecial: true }) === skipped,
  );
  findings.check(encoded.length === expected.length, `${encoded.length}/${expected.length} encoded`);
  findings.check(decoded.length === expected.length, `${decoded.length}/${expected.length} decoded`);
  return findings.verdict;
};

const templateSchema = z.array(
  z.looseObject({
    name: z.string(),
    messages: z.array(z.custom<TemplateMessage>((value) => typeof value === 'object' && value !== null)),
    kwargs: z.looseObject({
      tools: z.array(toolSchema).nullish(),
      add_generation_prompt: z.boolean().nullish(),
    }),
    text: z.string(),
  }),
);

const verifyTemplates = async (dir: string): Promise<Verdict> => {
  const findings = new Findings('templates');
  const template = await ChatTemplate.load(dir);
  if (template === null) throw new Error(`${dir} has no chat template`);
  const expected = await readExpected(templateSchema, path.join(dir, 'expected.json'));
  for (const { name, messages, kwargs, text } of expected) {
    const { tools, add_generation_prompt: addGenerationPrompt, ...rest } = kwargs;
    const rendered = template.render({
      messages,
      tools: tools ?? [],
      addGenerationPrompt: addGenerationPrompt ?? true,
      kwargs: rest,
    });
    findings.check(rendered === text, name);
  }
  return findings.verdict;
};

const hash = z.string().nullish();
const size = z.tuple([z.int(), z.int(), z.int()]);
const preprocessSchema = z.looseObject({
  min_pixels: z.int(),
  max_pixels: z.int(),
  images: z.array(
    z.looseObject({
      image: z.string(),
      decoded: size,
      resized: size,
      rgb_sha256: hash,
      resized_sha256: hash,
      resized_pillow_sha256: hash,
    }),
  ),
  smart_resize: z
    .array(z.looseObject({ hw: z.tuple([z.int(), z.int()]), out: z.tuple([z.int(), z.int()]) }))
    .default([]),
  smart_resize_limits: z.tuple([z.int(), z.int()]).nullish(),
});

/** Tokens are squares of two patches of 16 pixels in every checkpoint of this family. */
const factor = 32;

/** sha256 of the channels one after the other. */
const planarHash = ({ rgb, width, height }: RgbImage): string => {
  const plane = width * height;
  const chw = new Uint8Array(plane * 3);
  rgb.forEach((value, i) => (chw[(i % 3) * plane + Math.floor(i / 3)] = value));
  return createHash('sha256').update(chw).digest('hex');
};

type Expected = z.infer<typeof preprocessSchema>;

const verifyImage = async (root: string, expected: Expected, of: Expected['images'][number]): Promise<Verdict> => {
  const findings = new Findings(`preprocess/${of.image}`);
  const bytes = new Uint8Array(await readFile(path.join(root, 'images', of.image)));
  const decoded = await decodeImage(bytes, await readImageHeader(bytes));
  findings.check(sameNumbers([3, decoded.height, decoded.width], of.decoded), `${decoded.width}×${decoded.height}`);
  const limits = { factor, minPixels: expected.min_pixels, maxPixels: expected.max_pixels };
  const target = smartResize(decoded, limits);
  findings.check(sameNumbers([3, target.height, target.width], of.resized), `→ ${target.width}×${target.height}`);
  if (typeof of.rgb_sha256 === 'string') findings.check(planarHash(decoded) === of.rgb_sha256, 'pixels');
  const accepted = [of.resized_sha256, of.resized_pillow_sha256].filter((sum) => typeof sum === 'string');
  if (accepted.length > 0) findings.check(accepted.includes(planarHash(resizeRgb(decoded, target))), 'resized pixels');
  return findings.verdict;
};

const verifySizes = (expected: Expected): Verdict => {
  const findings = new Findings('preprocess/sizes');
  const [minPixels, maxPixels] = expected.smart_resize_limits ?? [expected.min_pixels, expected.max_pixels];
  const right = expected.smart_resize.filter(({ hw: [height, width], out }) => {
    const resized = smartResize({ width, height }, { factor, minPixels, maxPixels });
    return resized.height === out[0] && resized.width === out[1];
  });
  const n = expected.smart_resize.length;
  findings.check(right.length === n, `${right.length}/${n} sizes`);
  return findings.verdict;
};

/** One verdict a table or image; tables that the directory lacks are left out. */
export async function* verifyFiles(root: string): AsyncGenerator<Verdict> {
  const tokenizer = path.join(root, 'tokenizer');
  if (existsSync(path.join(tokenizer, 'expected.json'))) yield await verifyTokenizer(tokenizer);
  const templates = path.join(root, 'templates');
  if (existsSync(path.join(templates, 'expected.json'))) yield await verifyTemplates(templates);
  const preprocess = path.join(root, 'preprocess', 'expected.json');
  if (!existsSync(preprocess)) return;
  const expected = await readExpected(preprocessSchema, preprocess);
  yield verifySizes(expected);
  for (const image of expected.images) yield await verifyImage(root, expected, image);
}
