/** Prompts that no cache of prefixes has seen: each begins differently. */
import { randomInt } from 'node:crypto';

const words = [
  'river',
  'stone',
  'paper',
  'light',
  'green',
  'seven',
  'house',
  'cloud',
  'metal',
  'bread',
  'north',
  'quiet',
];

/** About this many tokens: a short word is mostly one. How many it was is read from the usage. */
export const benchPrompt = (tokens: number): string => {
  const text = Array.from({ length: Math.max(1, tokens) }, () => words[randomInt(words.length)]).join(' ');
  return `${text}\n\nContinue this list of words.`;
};
