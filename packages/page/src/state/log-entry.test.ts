import { describe, expect, it } from 'vitest';
import { matchesLog, parseLogLine } from './log-entry.ts';

const line =
  '{"level":40,"time":1700000000000,"pid":7,"hostname":"h","requestId":"r","node":"beast","facts":{"a":1},"msg":"node_down"}\n';

describe('a line of the log', () => {
  it('is read into its level, time, message and fields, the request last', () => {
    expect(parseLogLine(line)).toEqual({
      at: 1_700_000_000_000,
      level: 'warn',
      message: 'node_down',
      fields: [
        ['node', 'beast'],
        ['facts', '{"a":1}'],
        ['requestId', 'r'],
      ],
    });
  });

  it.each([
    [10, 'debug'],
    [20, 'debug'],
    [30, 'info'],
    [40, 'warn'],
    [50, 'error'],
    [60, 'error'],
  ])('of level %i is %s', (level, name) => {
    expect(parseLogLine(JSON.stringify({ level })).level).toBe(name);
  });

  it.each(['not JSON', '7', 'null', '"text"'])('that is no object is shown as it is: %s', (text) => {
    expect(parseLogLine(`${text}\n`)).toMatchObject({ message: text, fields: [] });
  });

  it('is found by its level and by any of its texts', () => {
    const entry = parseLogLine(line);
    expect(matchesLog(entry, 'debug', '')).toBe(true);
    expect(matchesLog(entry, 'error', '')).toBe(false);
    expect(matchesLog(entry, 'warn', ' BEAST ')).toBe(true);
    expect(matchesLog(entry, 'warn', 'attic')).toBe(false);
  });
});
