/** The arguments of a whole call, which engines write as JSON text, as the object they mean. */
import { CortexError } from '@cortex/core';

/** Some engines write nothing for a call without arguments. @returns null for what is no JSON object. */
export const parseArguments = (text: string): Readonly<Record<string, unknown>> | null => {
  if (text.trim() === '') return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : null;
};

export const brokenCall = (name: string, why: string): CortexError =>
  new CortexError('upstream_error', `the model's call of ${name} ${why}`, { facts: { tool: name } });
