/** What the published package of the commands must declare, since the workspaces inside it declare nothing. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { root } from './source-files.ts';

type Versions = Readonly<Record<string, string>>;

const manifestOf = (name: string) =>
  JSON.parse(readFileSync(path.join(root, 'packages', name, 'package.json'), 'utf8')) as {
    readonly version: string;
    readonly bin?: Readonly<Record<string, string>>;
    readonly dependencies?: Versions;
    readonly optionalDependencies?: Versions;
    readonly bundleDependencies?: readonly string[];
  };

const bundled = ['core', 'gateway', 'ggml', 'neuron', 'page'];

/** Its own: the parser of arguments, and a version that still runs on Node 20 of what fastify takes any version of. */
const own = { commander: expect.any(String) as string, 'light-my-request': '6.6.0' };

const merged = (field: 'dependencies' | 'optionalDependencies'): Versions =>
  Object.assign({}, ...bundled.map((name) => manifestOf(name)[field] ?? {})) as Versions;

describe('the package of the commands', () => {
  it('depends on exactly what the workspaces inside it depend on, at the same versions', () => {
    const ours = Object.fromEntries(bundled.map((name) => [`@cortex/${name}`, `^${manifestOf(name).version}`]));
    expect(manifestOf('cli').dependencies).toEqual({ ...merged('dependencies'), ...ours, ...own });
  });

  it('names commands that are files of the repository: npm links none that has still to be built', () => {
    const commands = Object.values(manifestOf('cli').bin ?? {});
    expect(commands).toEqual(['./bin/cortex.js', './bin/neuron.js']);
    expect(commands.filter((file) => existsSync(path.join(root, 'packages/cli', file)))).toEqual(commands);
  });

  it('carries every workspace it depends on', () => {
    expect(manifestOf('cli').bundleDependencies).toEqual(bundled.map((name) => `@cortex/${name}`));
  });

  it('fetches the engine of its platform, as the binding does', () => {
    expect(manifestOf('cli').optionalDependencies).toEqual(merged('optionalDependencies'));
  });
});
