/**
 * The demonstration model that comes with the program: where it is, and a picture and a question that show what it
 * does. The one place that knows how the package lies on the disk.
 */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export interface BundledModel {
  readonly id: string;
  /** The folder that holds the model's. */
  readonly modelDir: string;
  /** Path of a picture, and what to ask about it. */
  readonly sample: { readonly picture: string; readonly question: string };
}

const id = 'shapes-vl';

/** In the package as it is published, then in the repository. Source and built files are equally deep. */
const places = ['../models', '../../../models'].map((place) => fileURLToPath(new URL(place, import.meta.url)));

const textOf = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null);

/** Its own description of its samples comes with the model. */
const sampleIn = (dir: string): BundledModel['sample'] | null => {
  const file = path.join(dir, 'samples', 'samples.json');
  if (!existsSync(file)) return null;
  const list = JSON.parse(readFileSync(file, 'utf8')) as readonly {
    readonly file?: unknown;
    readonly questions?: readonly { readonly question?: unknown }[];
  }[];
  const picture = textOf(list[0]?.file);
  const question = textOf(list[0]?.questions?.[0]?.question);
  return picture === null || question === null ? null : { picture: path.join(dir, 'samples', picture), question };
};

/** Null when it was left out of this installation; `bundledModelAbsence` says so. */
export const findBundledModel = (): BundledModel | null => {
  for (const modelDir of places) {
    const dir = path.join(modelDir, id);
    const sample = existsSync(path.join(dir, 'config.json')) ? sampleIn(dir) : null;
    if (sample !== null) return { id, modelDir, sample };
  }
  return null;
};

export const bundledModelAbsence = (): string =>
  `the demonstration model ${id} is not part of this installation (looked in ${places.join(' and ')}); ` +
  'serve a model of your own: cortex up --model-dir DIR';
