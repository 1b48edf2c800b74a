import { describe, expect, it } from 'vitest';
import { recordedTerminal } from '../../test/recorded-terminal.ts';
import { bar } from './bar.ts';
import { LiveLine } from './live-line.ts';
import { oneLine, widthOf, withoutControls } from './plain-text.ts';
import { bytesText, counted, durationText, percentText, tokensText } from './quantities.ts';
import { RateMeter } from './rate-meter.ts';
import { Screen } from './screen.ts';
import { tableLines } from './table.ts';

const red = '\u001B[31m';

const painted = (isTty: boolean, env: Record<string, string>): boolean =>
  recordedTerminal(isTty, env).style('red', 'x').includes(red);

describe('colours', () => {
  it('are for terminals, unless a variable says otherwise', () => {
    expect(painted(true, {})).toBe(true);
    expect(painted(true, { NO_COLOR: '1' })).toBe(false);
    expect(painted(true, { NO_COLOR: '' })).toBe(true);
    expect(painted(true, { TERM: 'dumb' })).toBe(false);
    expect(painted(false, {})).toBe(false);
    expect(painted(false, { FORCE_COLOR: '1' })).toBe(true);
    expect(painted(true, { FORCE_COLOR: '0' })).toBe(false);
  });
});

describe('text of others', () => {
  it('cannot steer the terminal', () => {
    expect(withoutControls('a\u001B[2Jb\u0007\n\tc\u009B1m')).toBe('a[2Jb\n\tc1m');
    expect(oneLine(' two\r\nlines\u0000 ')).toBe('two lines');
  });

  it('has the width of its characters, without its colours', () => {
    expect(widthOf(`${red}häß\u001B[39m`)).toBe(3);
  });
});

describe('a table', () => {
  it('is as wide as its widest cells, whatever their colour', () => {
    const rows = [
      [`${red}long name\u001B[39m`, '7'],
      ['x', '1234'],
    ];
    expect(tableLines([{ title: 'NAME' }, { title: 'N', align: 'right' }], rows)).toEqual([
      'NAME          N',
      `${red}long name\u001B[39m     7`,
      'x          1234',
    ]);
  });

  it('leaves out a column that has nothing to say', () => {
    expect(tableLines([{ title: '' }, { title: '' }, { title: 'B' }], [['a', '', 'b']])).toEqual(['   B', 'a  b']);
  });
});

describe('a screen', () => {
  it('is cut to the rows that there are, and never scrolls', () => {
    const terminal = recordedTerminal(true, { NO_COLOR: '1' }, 4);
    const screen = new Screen(terminal);
    screen.show(['one', 'two']);
    screen.show(['one', 'two', 'three', 'four', 'five']);
    const [, first = '', second = ''] = terminal.text().split('\u001B[?7l');
    expect(first).toBe('\u001B[2J\u001B[Hone\u001B[K\ntwo\u001B[K\n\u001B[J\u001B[?7h');
    expect(second).toBe('\u001B[Hone\u001B[K\ntwo\u001B[K\n… 3 more lines\u001B[K\n\u001B[J\u001B[?7h');
  });
});

describe('a bar', () => {
  it('fills in eighths and never leaves its width', () => {
    expect(bar(0, 4)).toBe('░░░░');
    expect(bar(0.5, 4)).toBe('██░░');
    expect(bar(0.54, 4)).toBe('██▏░');
    expect(bar(1, 4)).toBe('████');
    expect([bar(-1, 3), bar(7, 3), bar(Number.NaN, 3)]).toEqual(['░░░', '███', '░░░']);
  });
});

describe('figures', () => {
  it('have three digits and a unit', () => {
    expect([0, 512, 1000, 1536, 9.02 * 1024 ** 2, 15.5 * 1024 ** 3].map(bytesText)).toEqual([
      '0 B',
      '512 B',
      '0.98 KB',
      '1.50 KB',
      '9.02 MB',
      '15.5 GB',
    ]);
  });

  it('tell times in the two largest units', () => {
    expect([4, 994, 996, 9900, 9960, 65_000, 3_600_000, 11_520_000, 360_000_000].map(durationText)).toEqual([
      '4 ms',
      '994 ms',
      '1.0 s',
      '9.9 s',
      '10 s',
      '1 min 5 s',
      '1 h',
      '3 h 12 min',
      '4 d 4 h',
    ]);
  });

  it('count tokens as models are advertised, and never promise the last percent', () => {
    expect([1000, 4096, 131_072, 1024 * 1024].map(tokensText)).toEqual(['1000', '4k', '128k', '1M']);
    expect([percentText(0.999), percentText(1), percentText(3)]).toEqual(['99 %', '100 %', '100 %']);
    expect([counted(1, 'node'), counted(0, 'node'), counted(2, 'alias')]).toEqual(['1 node', '0 nodes', '2 aliases']);
  });
});

describe('a rate', () => {
  it('is of the last seconds: a stall shows', () => {
    const meter = new RateMeter();
    expect(meter.perSecond()).toBeNull();
    for (let second = 0; second <= 10; second += 1) meter.add(second * 1000, second * 100);
    expect(meter.perSecond()).toBe(100);
    for (let second = 11; second <= 20; second += 1) meter.add(second * 1000, 1000);
    expect(meter.perSecond()).toBe(0);
  });
});

describe('a line of progress', () => {
  it('is redrawn in place for a person, and taken away', () => {
    const terminal = recordedTerminal(true);
    let nowMs = 0;
    const line = new LiveLine(terminal, () => nowMs);
    line.show('x', 0.5, 'half');
    line.show('x', 0.51, 'too soon to be drawn');
    nowMs = 200;
    line.show('x', 1, 'd'.repeat(200));
    line.clear();
    const drawn = terminal.text().split('\r\u001B[K');
    expect(drawn[1]).toBe(`x  ${bar(0.5, 24)}   50 %  half`);
    expect(drawn).toHaveLength(4);
    expect(drawn[2]).toHaveLength(77);
    expect(drawn[2]).toContain(`x  ${bar(1, 6)}  100 %  ddd`);
    expect(drawn[3]).toBe('');
  });

  it('is a line for each tenth where nobody watches', () => {
    const terminal = recordedTerminal(false);
    const line = new LiveLine(terminal);
    for (let i = 0; i <= 100; i += 1) line.show('x', i / 100, '');
    line.clear();
    expect(terminal.text().trim().split('\n')).toHaveLength(11);
    expect(terminal.text()).not.toContain('\r');
    expect(terminal.text()).not.toContain('\u001B');
  });
});
