/**
 * What `npm pack -w packages/cli` puts into its archive beside the commands: the workspaces they are made of, the
 * bundled model, examples, schemas and units. `stage` copies them, `clean` takes the copies away again; git sees neither.
 *
 * The copied workspaces declare no dependencies: those are the dependencies of the cli, which a test holds complete, so
 * npm fetches each for the platform it installs on, and the archive holds no binary.
 */
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const cli = path.join(root, 'packages/cli');

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  readonly type: string;
  readonly engines: Readonly<Record<string, string>>;
  readonly exports?: Readonly<Record<string, unknown>>;
  readonly bundleDependencies?: readonly string[];
}

const manifestOf = async (dir: string): Promise<Manifest> =>
  JSON.parse(await readFile(path.join(dir, 'package.json'), 'utf8')) as Manifest;

/** From the repository to the same place in the archive. */
const extras = [
  'LICENSE',
  'models',
  'schemas',
  'deploy',
  'cortex.example.toml',
  'models.example.toml',
  'neuron.example.toml',
];

const bundleDir = path.join(cli, 'node_modules/@cortex');

const isForRunning = (file: string): boolean => !/\.(d\.ts|map|tsbuildinfo)$/.test(file);

/** Without the source, which stays behind, and without dependencies. */
const stagedManifest = ({ name, version, license, type, engines, exports }: Manifest): object => {
  const main = exports?.['.'];
  const built =
    typeof main === 'object' && main !== null && 'default' in main ? { ...exports, '.': main.default } : exports;
  return { name, version, license, type, engines, exports: built };
};

const stageWorkspace = async (name: string): Promise<void> => {
  const from = path.join(root, 'packages', name.slice('@cortex/'.length));
  const to = path.join(cli, 'node_modules', name);
  await mkdir(to, { recursive: true });
  await cp(path.join(from, 'dist'), path.join(to, 'dist'), { recursive: true, filter: isForRunning });
  await writeFile(
    path.join(to, 'package.json'),
    `${JSON.stringify(stagedManifest(await manifestOf(from)), null, 2)}\n`,
  );
};

const clean = async (): Promise<void> => {
  const staged = [bundleDir, ...extras.map((extra) => path.join(cli, extra))];
  await Promise.all(staged.map((one) => rm(one, { recursive: true, force: true })));
};

const stage = async (): Promise<void> => {
  await clean();
  try {
    const { bundleDependencies = [] } = await manifestOf(cli);
    for (const name of bundleDependencies) await stageWorkspace(name);
    for (const extra of extras) await cp(path.join(root, extra), path.join(cli, extra), { recursive: true });
  } catch (error) {
    await clean();
    throw error;
  }
};

const [task] = process.argv.slice(2);
if (task === 'stage') await stage();
else if (task === 'clean') await clean();
else throw new Error('stage-cli stage|clean');
