/** Rows of texts in aligned columns, two spaces apart, as wide as their widest cell. Pure. */
import { widthOf } from './plain-text.ts';

interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
}

const pad = (text: string, width: number, align: Column['align']): string => {
  const space = ' '.repeat(Math.max(0, width - widthOf(text)));
  return align === 'right' ? space + text : text + space;
};

/** The head and a line for each row; cells may be coloured. A column without a title and without text is left out. */
export const tableLines = (columns: readonly Column[], rows: readonly (readonly string[])[]): readonly string[] => {
  const widths = columns.map(({ title }, i) => Math.max(widthOf(title), ...rows.map((row) => widthOf(row[i] ?? ''))));
  const lineOf = (cells: readonly string[]): string =>
    columns
      .flatMap(({ align }, i) => (widths[i] === 0 ? [] : [pad(cells[i] ?? '', widths[i] ?? 0, align)]))
      .join('  ')
      .trimEnd();
  return [lineOf(columns.map(({ title }) => title)), ...rows.map(lineOf)];
};
