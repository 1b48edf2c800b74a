/** A line of the gateway's log, read for people. */

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export interface LogEntry {
  readonly at: number;
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: readonly (readonly [string, string])[];
}

/** pino's numbers. */
const levelOf = (level: unknown): LogLevel => {
  if (typeof level !== 'number' || level < 30) return 'debug';
  if (level < 40) return 'info';
  return level < 50 ? 'warn' : 'error';
};

/** On every line of a process, and no news. */
const dull = new Set(['level', 'time', 'msg', 'pid', 'hostname']);

const textOf = (value: unknown): string => (typeof value === 'string' ? value : (JSON.stringify(value) ?? ''));

export const parseLogLine = (line: string): LogEntry => {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    value = null;
  }
  if (typeof value !== 'object' || value === null) return { at: 0, level: 'info', message: line.trimEnd(), fields: [] };
  const { level, time, msg, requestId, ...others } = value as Readonly<Record<string, unknown>>;
  // Long and the same in many lines: it comes last.
  const rest = requestId === undefined ? others : { ...others, requestId };
  return {
    at: typeof time === 'number' ? time : 0,
    level: levelOf(level),
    message: textOf(msg ?? ''),
    fields: Object.entries(rest)
      .filter(([name, field]) => !dull.has(name) && field !== null)
      .map(([name, field]) => [name, textOf(field)] as const),
  };
};

const ranks: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 };

/** @param text found in the message, or in a field's name or value, in any case */
export const matchesLog = (entry: LogEntry, atLeast: LogLevel, text: string): boolean => {
  if (ranks[entry.level] < ranks[atLeast]) return false;
  const wanted = text.trim().toLowerCase();
  if (wanted === '') return true;
  return [entry.message, ...entry.fields.flat()].some((one) => one.toLowerCase().includes(wanted));
};
