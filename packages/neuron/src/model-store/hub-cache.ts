/**
 * The layout in which `huggingface_hub` and its kin keep downloads, so that all of them share one copy:
 * `models--ORG--NAME/{refs/main → commit, snapshots/COMMIT/file → ../../blobs/ETAG}`. Links may be real files.
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';

type Environment = Readonly<Record<string, string | undefined>>;

const orNull = (text: string | undefined): string | null => (text === undefined || text === '' ? null : text);

/** Where it is, by the same variables and in the same order as everyone else looks at them. */
export const hubCacheDir = (env: Environment, homeDir: string): string => {
  const direct = orNull(env['HF_HUB_CACHE']) ?? orNull(env['HUGGINGFACE_HUB_CACHE']);
  if (direct !== null) return direct;
  const caches = orNull(env['XDG_CACHE_HOME']) ?? path.join(homeDir, '.cache');
  return path.join(orNull(env['HF_HOME']) ?? path.join(caches, 'huggingface'), 'hub');
};

const prefix = 'models--';

export const repoFolder = (id: string): string => prefix + id.replaceAll('/', '--');

/** The id that a folder of the cache is for; null for data sets and other things. */
export const repoIdOf = (folder: string): string | null =>
  folder.startsWith(prefix) ? folder.slice(prefix.length).replace('--', '/') : null;

/** The folder of the newest complete-looking revision: what `main` points to, else the latest snapshot. */
export const currentSnapshot = async (repoDir: string): Promise<string | null> => {
  const snapshots = path.join(repoDir, 'snapshots');
  const main = await readFile(path.join(repoDir, 'refs', 'main'), 'utf8').catch(() => null);
  // The file's text becomes a path.
  if (main !== null && /^[\w.-]+$/.test(main.trim()) && !main.includes('..')) return path.join(snapshots, main.trim());
  const names = await readdir(snapshots).catch(() => []);
  const dated = await Promise.all(
    names.map(async (name) => {
      const dir = path.join(snapshots, name);
      const info = await stat(dir).catch(() => null);
      return { dir, mtimeMs: info?.isDirectory() === true ? info.mtimeMs : -1 };
    }),
  );
  const [newest] = dated.toSorted((a, b) => b.mtimeMs - a.mtimeMs);
  return newest === undefined || newest.mtimeMs < 0 ? null : newest.dir;
};
