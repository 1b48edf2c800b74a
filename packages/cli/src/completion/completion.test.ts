import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { recordedTerminal } from '../../test/recorded-terminal.ts';
import { cortexCommand } from '../cortex-command.ts';

/** What `cortex completion SHELL` prints. */
const script = async (shell: string): Promise<string> => {
  const out = recordedTerminal(false);
  const { stdin, stdout } = process;
  const command = cortexCommand({
    env: {},
    homeDir: '/',
    program: '/cortex',
    stdin,
    stdout,
    out,
    err: out,
    untilAskedToStop: () => new Promise(() => undefined),
    interruption: () => new AbortController().signal,
    onInterrupt: () => () => undefined,
  });
  await command.parseAsync(['node', 'cortex', 'completion', shell]);
  return out.text();
};

/** The words that bash offers for the last of these, in a shell where `cortex` knows two models. */
const completed = async (...words: readonly string[]): Promise<readonly string[]> => {
  const typed = ['cortex', ...words].map((word) => `'${word}'`).join(' ');
  const test = `${await script('bash')}
cortex() { [[ $1 == complete-models ]] && printf 'org/small\\norg/large\\n'; }
COMP_WORDS=(${typed}); COMP_CWORD=${words.length}; _cortex; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr } = spawnSync('bash', ['-c', test], { encoding: 'utf8' });
  expect(stderr).toBe('');
  return stdout.split('\n').filter((word) => word !== '');
};

describe('completion for bash', () => {
  it('offers commands, their options, and models', async () => {
    expect(await completed('st')).toEqual(['status']);
    expect(await completed('')).toEqual(expect.arrayContaining(['up', 'chat', 'doctor', 'completion']));
    expect(await completed('')).not.toEqual(expect.arrayContaining(['probe-engine']));
    expect(await completed('status', '--j')).toEqual(['--json']);
    expect(await completed('chat', 'org/s')).toEqual(['org/small']);
    expect(await completed('completion', '')).toEqual(['bash', 'zsh', 'fish']);
  });
});

describe.each(['bash', 'zsh', 'fish'])('the script for %s', (shell) => {
  it('names every command and is what its shell can read, where that is installed', async ({ skip }) => {
    const text = await script(shell);
    for (const name of ['up', 'serve', 'pull', 'check-config']) expect(text).toContain(name);
    // From a file: fish reads no program from the socket that Node makes of an input.
    const file = path.join(mkdtempSync(path.join(tmpdir(), 'completion-')), 'script');
    writeFileSync(file, text);
    const { error, status, stderr } = spawnSync(shell, ['-n', file], { encoding: 'utf8' });
    rmSync(path.dirname(file), { recursive: true });
    if (error !== undefined) skip(`${shell} is not installed`);
    expect([status, stderr]).toEqual([0, '']);
  });
});
