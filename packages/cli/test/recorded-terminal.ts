/** A terminal that keeps what is written to it. */
import { terminalOver, type Terminal } from '../src/terminal/terminal.ts';

export interface RecordedTerminal extends Terminal {
  /** All of it, in order. */
  text(): string;
}

export const recordedTerminal = (
  isTTY: boolean,
  env: Readonly<Record<string, string>> = {},
  rows = 24,
): RecordedTerminal => {
  let text = '';
  const write = (piece: string): void => {
    text += piece;
  };
  return { ...terminalOver({ isTTY, columns: 80, rows, write }, env), text: () => text };
};
