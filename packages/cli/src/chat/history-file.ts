/** What was typed in earlier chats, for the arrow keys: a file that only its owner may read. Losing it harms nobody. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

type Environment = Readonly<Record<string, string | undefined>>;

const linesMax = 500;

/** By the XDG base directories. */
export const historyPath = (env: Environment, homeDir: string): string => {
  const state = env['XDG_STATE_HOME'];
  const base = state === undefined || state === '' ? path.join(homeDir, '.local', 'state') : state;
  return path.join(base, 'cortex', 'chat-history');
};

/** The newest first. */
export const readHistory = async (file: string): Promise<readonly string[]> => {
  const text = await readFile(file, 'utf8').catch(() => '');
  return text.split('\n').filter((line) => line !== '');
};

/** @param lines the newest first */
export const writeHistory = async (file: string, lines: readonly string[]): Promise<void> => {
  try {
    await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
    await writeFile(file, `${lines.slice(0, linesMax).join('\n')}\n`, { mode: 0o600 });
  } catch {
    // A home that can't be written to is no reason to fail a chat that is over.
  }
};
