/** What the doctor says of one thing, and what to do about it. Rendering is pure. */
import { oneLine } from '../terminal/plain-text.ts';
import type { Terminal } from '../terminal/terminal.ts';

export interface Finding {
  /** `broken`: something that was asked for cannot work. `warning`: it works worse than it could. */
  readonly level: 'ok' | 'note' | 'warning' | 'broken';
  readonly subject: string;
  readonly text: string;
  readonly remedy?: string;
}

const marks: Readonly<Record<Finding['level'], readonly ['green' | 'dim' | 'yellow' | 'red', string]>> = {
  ok: ['green', '✓'],
  note: ['dim', '·'],
  warning: ['yellow', '!'],
  broken: ['red', '✗'],
};

const subjectWidth = 9;

export const findingLines = (findings: readonly Finding[], { style }: Pick<Terminal, 'style'>): readonly string[] =>
  findings.flatMap(({ level, subject, text, remedy }) => {
    const [color, mark] = marks[level];
    const line = `${style(color, mark)} ${subject.padEnd(subjectWidth)} ${oneLine(text)}`;
    return remedy === undefined ? [line] : [line, `${' '.repeat(subjectWidth + 3)}→ ${remedy}`];
  });
