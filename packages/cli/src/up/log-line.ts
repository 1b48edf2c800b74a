/** A line of the programs' JSON logs as a person reads it beside others; null for one that says nothing new. Pure. */
import { oneLine } from '../terminal/plain-text.ts';
import { durationText } from '../terminal/quantities.ts';
import type { Terminal } from '../terminal/terminal.ts';

type Paint = Pick<Terminal, 'style'>;
type Fields = Readonly<Record<string, unknown>>;

export type LogSource = 'gateway' | 'neuron';

/** pino's. */
const warnLevel = 40;
const errorLevel = 50;

/** Told by `cortex up` itself, or of no interest to whoever watches it. */
const known: ReadonlySet<string> = new Set(['listening', 'started', 'shutting down', 'node_up', 'circuit_closed']);
const ownFields: ReadonlySet<string> = new Set(['level', 'time', 'pid', 'hostname', 'msg', 'err']);

const parse = (line: string): Fields | null => {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as Fields) : null;
  } catch {
    return null;
  }
};

const textOf = (value: unknown): string => (typeof value === 'string' ? oneLine(value) : JSON.stringify(value));

const clockText = (time: unknown): string =>
  typeof time === 'number' ? new Date(time).toTimeString().slice(0, 8) : '--:--:--';

const requestText = (fields: Fields, { style }: Paint): string => {
  const { method, route, status, durationMs, model, promptTokens, completionTokens, ttftMs, coldStart, code } = fields;
  const ok = typeof status === 'number' && status < 400;
  const parts = [
    `${textOf(method)} ${textOf(route)}`,
    style(ok ? 'green' : 'red', textOf(status)),
    typeof model === 'string' ? model : null,
    typeof promptTokens === 'number' ? `${promptTokens} + ${textOf(completionTokens)} tokens` : null,
    coldStart === true ? 'loaded for it' : null,
    typeof ttftMs === 'number' ? `first after ${durationText(ttftMs)}` : null,
    typeof durationMs === 'number' ? durationText(durationMs) : null,
    code === undefined ? null : `${textOf(code)}: ${textOf(fields['reason'])}`,
  ];
  return parts.filter((part) => part !== null).join('  ');
};

const fieldsText = (fields: Fields): string =>
  Object.entries(fields)
    .filter(([key, value]) => !ownFields.has(key) && value !== null && value !== undefined)
    .map(([key, value]) => `${key}=${textOf(value)}`)
    .join(' ');

const levelText = (level: number, { style }: Paint): string => {
  if (level >= errorLevel) return style('red', 'error ');
  return level >= warnLevel ? style('yellow', 'warning ') : '';
};

/** @param source a neuron's remarks below a warning are left out: the gateway tells of the same requests and loads. */
export const logLineText = (line: string, source: LogSource, paint: Paint): string | null => {
  const fields = parse(line);
  if (fields === null) return oneLine(line) === '' ? null : `${source}: ${oneLine(line)}`;
  const level = Number(fields['level']);
  const message = textOf(fields['msg']);
  if (level < warnLevel && (source === 'neuron' || known.has(message))) return null;
  if (message === 'request' && source === 'neuron' && level < errorLevel) return null;
  const what =
    message === 'request'
      ? requestText(fields, paint)
      : `${levelText(level, paint)}${message.replaceAll('_', ' ')}  ${fieldsText(fields)}`;
  return `${paint.style('dim', clockText(fields['time']))}  ${what.trimEnd()}`;
};

/** Whether it must be seen even while something else is on show. */
export const isUrgent = (line: string): boolean => Number(parse(line)?.['level'] ?? 0) >= warnLevel;
