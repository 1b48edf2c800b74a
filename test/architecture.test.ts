/**
 * The picture in ARCHITECTURE.md, held to the imports of the source. A value import needs an arrow. A type-only import
 * may besides name one of the contract files: it is erased, so it makes nothing depend on anything at run time.
 */
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { importsOf, root, sourceFiles, withoutComments, type Import, type SourceFile } from './source-files.ts';

/** What each package may import, of ours and of others. */
const packageArrows: Readonly<Record<string, readonly string[]>> = {
  core: ['zod', 'smol-toml'],
  ggml: ['koffi'],
  neuron: [
    '@cortex/core',
    '@cortex/ggml',
    'zod',
    'fastify',
    'pino',
    'prom-client',
    'sharp',
    '@huggingface/hub',
    '@huggingface/jinja',
    '@huggingface/tokenizers',
  ],
  gateway: ['@cortex/core', '@cortex/page', 'fastify', 'pino', 'prom-client', 'undici'],
  page: ['@cortex/core', '@preact/signals', 'preact', 'uplot'],
  cli: ['@cortex/core', '@cortex/gateway', '@cortex/neuron', 'commander'],
};

/** Folders of the neuron, top to bottom. '' is `main.ts` and what it is made of. */
const neuronArrows: Readonly<Record<string, readonly string[]>> = {
  '': ['http', 'harness', 'discovery', 'model-store'],
  http: [],
  harness: ['chat', 'vision', 'tokenizer', 'sampling', 'device', 'model', 'model-store', 'model-files', 'arch'],
  verify: ['harness', 'chat', 'vision', 'tokenizer', 'device', 'model'],
  discovery: [],
  chat: ['tokenizer', 'model-files'],
  device: ['sampling', 'model'],
  sampling: [],
  vision: [],
  tokenizer: ['model-files'],
  model: ['arch', 'model-store', 'model-files'],
  'model-store': ['model-files'],
  'model-files': [],
  arch: ['blocks', 'model-files'],
  blocks: [],
};

/** Open to every folder of the neuron, because it uses none of them. */
const neuronLeaves: ReadonlySet<string> = new Set([
  'spawn-worker.ts',
  'model/weight-spec.ts',
  'arch/pre-tokenizers.ts',
  'sampling/argmax.ts',
]);

/** Types that a folder below shares with those above it. */
const neuronContracts: ReadonlySet<string> = new Set([
  'arch/arch.ts',
  'vision/mrope-positions.ts',
  'tokenizer/vocabulary.ts',
  'main.ts',
]);

/** The folders of the neuron that may use a dependency. */
const neuronOwners: Readonly<Record<string, readonly string[]>> = {
  '@cortex/ggml': ['verify', 'harness', 'device', 'model', 'arch', 'blocks'],
  '@huggingface/hub': ['model-store'],
  '@huggingface/jinja': ['chat'],
  '@huggingface/tokenizers': ['tokenizer'],
  fastify: ['http'],
  'prom-client': ['http'],
  sharp: ['vision'],
};

/** Resolved when the neuron runs from source, never from what is published. */
const isDevTool = (file: string, { target }: Import): boolean =>
  file === 'packages/neuron/src/spawn-worker.ts' && target === 'tsx';

const filesOf = (packageName: string): readonly SourceFile[] =>
  sourceFiles.filter((file) => file.packageName === packageName);

/** The imports of `files` that `allowed` refuses, as `file -> target`. */
const refusedImports = (
  files: readonly SourceFile[],
  allowed: (file: SourceFile, imported: Import) => boolean,
): readonly string[] =>
  files.flatMap((file) =>
    file.imports
      .filter((imported) => !isDevTool(file.file, imported) && !allowed(file, imported))
      .map(({ target }) => `${file.file} -> ${target}`),
  );

const isOurs = ({ target }: Import): boolean => target.startsWith('packages/');

const insideSrc = (packageName: string, target: string): string => target.slice(`packages/${packageName}/src/`.length);

/** Where a person is told what a model's id looks like. */
const showsExamples = ({ packageName, folder }: SourceFile): boolean =>
  packageName === 'cli' || (packageName === 'core' && folder === 'config');

const folderOf = (inside: string): string => (inside.includes('/') ? (inside.split('/')[0] ?? '') : '');

const neuronImportAllowed = ({ folder }: SourceFile, imported: Import): boolean => {
  if (!isOurs(imported)) return neuronOwners[imported.target]?.includes(folder) ?? true;
  const inside = insideSrc('neuron', imported.target);
  const target = folderOf(inside);
  if (target === folder || (neuronArrows[folder] ?? []).includes(target) || neuronLeaves.has(inside)) return true;
  return imported.kind === 'type' && neuronContracts.has(inside);
};

describe('packages', () => {
  it('are those of the picture', () => {
    expect(readdirSync(path.join(root, 'packages')).sort()).toEqual(Object.keys(packageArrows).sort());
  });

  it('import only along its arrows, and files only of their own source', () => {
    const refused = refusedImports(sourceFiles, ({ packageName }, imported) =>
      isOurs(imported)
        ? imported.target.startsWith(`packages/${packageName}/src/`)
        : (packageArrows[packageName] ?? []).includes(imported.target),
    );
    expect(refused).toEqual([]);
  });

  it('declare what they import', () => {
    const refused = Object.keys(packageArrows).flatMap((name) => {
      const manifest = JSON.parse(readFileSync(path.join(root, 'packages', name, 'package.json'), 'utf8')) as {
        readonly dependencies?: Readonly<Record<string, string>>;
        readonly devDependencies?: Readonly<Record<string, string>>;
      };
      // What the page is made of is inside its built files: who installs it needs none of it.
      const declared = Object.keys({ ...manifest.dependencies, ...(name === 'page' ? manifest.devDependencies : {}) });
      return refusedImports(filesOf(name), (_, imported) => isOurs(imported) || declared.includes(imported.target));
    });
    expect(refused).toEqual([]);
  });
});

describe('the neuron', () => {
  it('has the folders of the picture', () => {
    const folders = new Set(filesOf('neuron').map(({ folder }) => folder));
    expect([...folders].sort()).toEqual(Object.keys(neuronArrows).sort());
  });

  it('is in layers that import downwards only, and each dependency has its owners', () => {
    expect(refusedImports(filesOf('neuron'), neuronImportAllowed)).toEqual([]);
  });

  it('knows HTTP only in http/, which knows the engine only as a Harness', () => {
    const http = filesOf('neuron').filter(({ folder }) => folder === 'http');
    const engine = refusedImports(http, (_, { target }) => !target.startsWith('@cortex/') || target === '@cortex/core');
    expect(engine).toEqual([]);
  });

  it('keeps its leaves free of imports from the neuron', () => {
    const leaves = filesOf('neuron').filter(({ file }) => neuronLeaves.has(insideSrc('neuron', file)));
    expect(leaves).toHaveLength(neuronLeaves.size);
    expect(refusedImports(leaves, (_, imported) => !isOurs(imported))).toEqual([]);
  });

  it('has a line in the registry for each architecture', () => {
    const folders = readdirSync(path.join(root, 'packages/neuron/src/arch'), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
    const registry = filesOf('neuron').find(({ file }) => file.endsWith('/arch/registry.ts'));
    const registered = registry?.imports.map(({ target }) => insideSrc('neuron', target)) ?? [];
    expect(registered).toEqual(expect.arrayContaining(folders.map((name) => `arch/${name}/${name}.ts`)));
  });
});

describe('the gateway', () => {
  it('decides and translates without a socket: routing/ and translate/ run on core alone', () => {
    const pure = filesOf('gateway').filter(({ folder }) => folder === 'routing' || folder === 'translate');
    expect(pure.length).toBeGreaterThan(0);
    const refused = refusedImports(
      pure,
      ({ folder }, { target, kind }) =>
        kind === 'type' || target === '@cortex/core' || target.startsWith(`packages/gateway/src/${folder}/`),
    );
    expect(refused).toEqual([]);
  });
});

describe('the page', () => {
  it('takes of ours nothing but types: what runs in the browser is its own', () => {
    const files = filesOf('page');
    expect(files.length).toBeGreaterThan(0);
    expect(refusedImports(files, (_, { target, kind }) => !target.startsWith('@cortex/') || kind === 'type')).toEqual(
      [],
    );
  });

  it('is nothing but files to the gateway', () => {
    const users = filesOf('gateway').filter(({ imports }) => imports.some(({ target }) => target === '@cortex/page'));
    expect(users.map(({ file }) => file)).toEqual(['packages/gateway/src/http/page-files.ts']);
  });
});

describe("a model's name", () => {
  const archFolder = 'packages/neuron/src/arch/';
  /** The letters before the first digit: a family is found whatever its version. */
  const families = readdirSync(path.join(root, archFolder), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => (/^[a-z]+/.exec(name) ?? [name])[0]);
  const anyFamily = new RegExp(families.join('|'), 'i');
  /** A whole hub id, where a person is shown what one looks like. */
  const hubIdExample = /["'` ][A-Z]\w+\/[A-Z][\w.-]+["'`]/g;

  it('stands nowhere outside arch/', () => {
    const named = sourceFiles
      .filter(({ file }) => !file.startsWith(archFolder))
      .filter((file) => anyFamily.test(showsExamples(file) ? file.code.replaceAll(hubIdExample, '') : file.code));
    expect(families).toContain('qwen');
    expect(named.map(({ file }) => file)).toEqual([]);
  });
});

describe('the process', () => {
  /** Handed to cli, which alone calls it: how a process ends depends on its devices. */
  const endProcess = 'packages/neuron/src/harness/end-process.ts';

  it('belongs to the commands: nothing else reads its environment or ends it', () => {
    const others = sourceFiles.filter(({ packageName, file }) => packageName !== 'cli' && file !== endProcess);
    const touching = others.filter(({ code }) => /\bprocess\s*\.\s*(?:env|exit|exitCode|argv|cwd|chdir)\b/.test(code));
    expect(touching.map(({ file }) => file)).toEqual([]);
    const callers = others.filter(({ imports }) => imports.some(({ target }) => target === endProcess));
    expect(callers.map(({ file }) => file)).toEqual(['packages/neuron/src/index.ts']);
  });
});

describe('reading the source', () => {
  const file = 'packages/neuron/src/chat/prompt.ts';

  it('sees every way to import, and which of them the compiler erases', () => {
    const text = [
      "import { a,\n  b } from '../tokenizer/pipeline.ts';",
      "import type { C } from '@scope/name/deep';",
      "export * from './messages.ts';",
      "import 'side-effect';",
      "const late = await import('late');",
      "const found = import.meta.resolve('tool/api');",
      "const worker = new URL('./prompt-worker.ts', import.meta.url);",
      "import { readFile } from 'node:fs/promises';",
    ].join('\n');
    expect(importsOf(file, text)).toEqual([
      { target: 'packages/neuron/src/tokenizer/pipeline.ts', kind: 'value' },
      { target: '@scope/name', kind: 'type' },
      { target: 'packages/neuron/src/chat/messages.ts', kind: 'value' },
      { target: 'side-effect', kind: 'value' },
      { target: 'late', kind: 'value' },
      { target: 'tool', kind: 'value' },
      { target: 'packages/neuron/src/chat/prompt-worker.ts', kind: 'url' },
    ]);
  });

  it('refuses a step back, and allows the type of a contract', () => {
    const inFolder = { file, packageName: 'neuron', code: '', imports: [] } as const;
    const arch = { target: 'packages/neuron/src/arch/arch.ts' } as const;
    expect(neuronImportAllowed({ ...inFolder, folder: 'blocks' }, { ...arch, kind: 'type' })).toBe(true);
    expect(neuronImportAllowed({ ...inFolder, folder: 'blocks' }, { ...arch, kind: 'value' })).toBe(false);
    expect(neuronImportAllowed({ ...inFolder, folder: 'http' }, { target: '@cortex/ggml', kind: 'type' })).toBe(false);
  });

  it('leaves comments out and strings in', () => {
    const text = "/** doc */\nconst a = 'http://x'; // why\n// alone\nconst b = 1;";
    expect(withoutComments(text).trim()).toBe("const a = 'http://x';\nconst b = 1;");
  });
});
