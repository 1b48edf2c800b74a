/** An output stream as the commands see it: whether a person watches, and whether colours are wanted there. */
import { styleText } from 'node:util';

type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

export interface Terminal {
  /** False: a pipe or a file, where nothing is redrawn. */
  readonly isTty: boolean;
  readonly color: boolean;
  columns(): number;
  rows(): number;
  write(text: string): void;
  /** Writes it with a newline. */
  line(text?: string): void;
  /** The text as it is, where colours are not wanted. */
  style(style: Style, text: string): string;
}

type Environment = Readonly<Record<string, string | undefined>>;

interface OutputStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
  write(text: string): unknown;
}

const isSet = (text: string | undefined): boolean => text !== undefined && text !== '';

/** By no-color.org and force-color.org: either variable counts when it is not empty. */
const wantsColor = (isTty: boolean, env: Environment): boolean => {
  if (isSet(env['NO_COLOR'])) return false;
  if (isSet(env['FORCE_COLOR'])) return env['FORCE_COLOR'] !== '0';
  return isTty && env['TERM'] !== 'dumb';
};

const columnsDefault = 80;
const rowsDefault = 24;

export const terminalOver = (stream: OutputStream, env: Environment): Terminal => {
  const isTty = stream.isTTY === true && env['TERM'] !== 'dumb';
  const color = wantsColor(isTty, env);
  return {
    isTty,
    color,
    columns: () => stream.columns ?? columnsDefault,
    rows: () => stream.rows ?? rowsDefault,
    write: (text) => void stream.write(text),
    line: (text = '') => void stream.write(`${text}\n`),
    style: (style, text) => (color ? styleText(style, text, { validateStream: false }) : text),
  };
};
