/**
 * Reads one small file of a checkpoint: of a folder, or, under the same name, what a GGUF file says in its keys. Such
 * files are strangers' input: anything missing, huge, malformed or of the wrong type is a `model_load_failed` that names
 * the file and the field.
 */
import { CortexError, describeIssue } from '@cortex/core';
import { basename, join } from 'node:path';
import type { z } from 'zod';
import { isGguf } from './gguf-file.ts';
import { ggufSideFile } from './gguf-side-files.ts';
import { readTextFile, UnreadText } from './text-file.ts';

const loadFailed = (file: string, message: string, cause?: unknown): CortexError =>
  new CortexError('model_load_failed', `${file}: ${message}`, { facts: { file }, cause });

/**
 * @param dir The checkpoint: a folder, or a GGUF file, which has no files of text.
 * @returns the file's text, or null where there is no such file. @throws CortexError `model_load_failed`.
 */
export const readModelText = async (dir: string, file: string): Promise<string | null> => {
  if (isGguf(dir)) return null;
  try {
    return await readTextFile(join(dir, file));
  } catch (error) {
    if (error instanceof UnreadText) throw loadFailed(file, error.message, error);
    throw error;
  }
};

/** Parses `value`, which came from `file`, with `schema`. @throws CortexError `model_load_failed`. */
export const parseModelJson = <T>(schema: z.ZodType<T>, value: unknown, file: string): T => {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw loadFailed(basename(file), describeIssue(parsed.error).message);
};

/** @returns the parsed file, or null where there is no such file. @throws CortexError `model_load_failed`. */
export const readModelJson = async <T>(schema: z.ZodType<T>, dir: string, file: string): Promise<T | null> => {
  if (isGguf(dir)) {
    const made = await ggufSideFile(dir, file);
    return made === null ? null : parseModelJson(schema, made, basename(dir));
  }
  const text = await readModelText(dir, file);
  if (text === null) return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw loadFailed(file, 'is not JSON', error);
  }
  return parseModelJson(schema, value, file);
};
