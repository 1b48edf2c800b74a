/** `docs/errors.md` is the error table for people: same rows, same order, same values. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { errorTable, type ErrorRow } from '@cortex/core';
import { describe, expect, it } from 'vitest';
import { root } from './source-files.ts';

const cellsOf = (line: string): readonly string[] =>
  line
    .slice(1, -1)
    .split('|')
    .map((cell) => cell.trim());

const rows = readFileSync(path.join(root, 'docs/errors.md'), 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('| `'))
  .map(cellsOf);

describe('docs/errors.md', () => {
  it('has the rows of the table', () => {
    const expected = Object.entries<ErrorRow>(errorTable).map(([code, row]) => [
      `\`${code}\``,
      String(row.status),
      `\`${row.type}\``,
      `\`${row.anthropicType}\``,
      row.source,
      row.retryable ? 'yes' : 'no',
    ]);
    expect(rows.map((row) => row.slice(0, 6))).toEqual(expected);
  });

  it('says of each when it is sent', () => {
    expect(rows.filter((row) => !/^[A-Z].+\.$/.test(row[6] ?? ''))).toEqual([]);
  });
});
