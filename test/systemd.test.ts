/** The systemd units under `deploy/`: systemd accepts them, and what they start is a command that exists. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const pathOf = (unit: string): string => fileURLToPath(new URL(`../deploy/systemd/${unit}.service`, import.meta.url));
const settings = (unit: string): ReadonlyMap<string, string> =>
  new Map(
    readFileSync(pathOf(unit), 'utf8')
      .split('\n')
      .filter((line) => /^\w+=/.test(line))
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );

const analyze = (...args: readonly string[]) => spawnSync('systemd-analyze', args, { encoding: 'utf8' });
const systemd = analyze('--version').status === 0;

describe.each(['cortex', 'neuron'])('%s.service', (unit) => {
  it('starts the command of its name with its own file, again when it fails', () => {
    const found = settings(unit);
    expect(found.get('ExecStart')).toBe(`/usr/bin/env ${unit} serve --config /etc/cortex/${unit}.toml`);
    expect(found.get('Restart')).toBe('on-failure');
  });

  it('gives running requests the time that the settings promise them', () => {
    const example = readFileSync(new URL(`../${unit}.example.toml`, import.meta.url), 'utf8');
    const drainSecs = Number(/^drain_secs = (\d+)$/m.exec(example)?.[1]);
    expect(drainSecs).toBeGreaterThan(0);
    expect(Number(settings(unit).get('TimeoutStopSec'))).toBeGreaterThan(drainSecs);
  });

  it.skipIf(!systemd)('is accepted by systemd-analyze verify, without a word', () => {
    const { status, stdout, stderr } = analyze('verify', '--man=no', pathOf(unit));
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  it.skipIf(!systemd)('is exposed little, in the eyes of systemd-analyze security', () => {
    const { status, stdout } = analyze('security', '--offline=yes', '--threshold=25', pathOf(unit));
    expect(status, stdout).toBe(0);
  });
});
