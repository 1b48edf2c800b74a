/**
 * The libraries of CUDA's runtime that the CUDA package does not bring along: where they are, or that they are missing.
 * The dynamic loader must find them; one that lies where it does not look is named with its folder.
 */
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import type { RunProgram } from './run-program.ts';

/** What ggml's CUDA backend is linked with. `libcublas` opens `libcublasLt` itself. */
export const cudaLibraries = ['libcudart.so.13', 'libcublas.so.13', 'libcublasLt.so.13'] as const;
export type CudaLibrary = (typeof cudaLibraries)[number];

export type CudaLibraryPlace =
  | { readonly kind: 'loadable'; readonly file: string }
  /** It exists, but the loader does not search its folder. */
  | { readonly kind: 'unsearched'; readonly file: string }
  | { readonly kind: 'missing' };

export type CudaRuntime = Readonly<Record<CudaLibrary, CudaLibraryPlace>>;

export interface CudaRuntimeSources {
  readonly run: RunProgram;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** `/`, but for tests. */
  readonly root?: string;
}

const ldconfigTimeoutMs = 5000;
/** Folders of distributions and of NVIDIA's own installers, with `*` for one folder of any name. */
const wellKnownDirs = [
  '/usr/local/cuda/lib64',
  '/usr/local/cuda-13*/lib64',
  '/usr/local/cuda-13*/targets/*/lib',
  '/opt/cuda/lib64',
  '/usr/lib/wsl/lib',
];

/** `libcudart.so.13 (libc6,x86-64) => /usr/lib/…/libcudart.so.13` */
export const parseLdconfig = (output: string): ReadonlyMap<string, string> =>
  new Map(
    output.split('\n').flatMap((line): [string, string][] => {
      const found = /^\s*(\S+)\s+\(.*\)\s+=>\s+(\S+)\s*$/.exec(line);
      return found?.[1] === undefined || found[2] === undefined ? [] : [[found[1], found[2]]];
    }),
  );

const isThere = async (dir: string, name: string): Promise<boolean> =>
  (await readdir(dir).catch((): string[] => [])).includes(name);

/** The folders that a pattern stands for, the last by name first: the newest version. */
const expand = async (root: string, pattern: string): Promise<readonly string[]> => {
  let dirs = [root];
  for (const part of pattern.split('/').filter((each) => each !== '')) {
    if (!part.includes('*')) {
      dirs = dirs.map((dir) => path.join(dir, part));
      continue;
    }
    const prefix = part.slice(0, part.indexOf('*'));
    const deeper = await Promise.all(
      dirs.map(async (dir) => {
        const names = await readdir(dir).catch((): string[] => []);
        return names.filter((name) => name.startsWith(prefix)).map((name) => path.join(dir, name));
      }),
    );
    dirs = deeper.flat();
  }
  return dirs.toSorted((a, b) => (a < b ? 1 : -1));
};

const firstWith = async (dirs: readonly string[], name: string): Promise<string | null> => {
  for (const dir of dirs) if (await isThere(dir, name)) return path.join(dir, name);
  return null;
};

export const findCudaRuntime = async ({ run, env, root = '/' }: CudaRuntimeSources): Promise<CudaRuntime> => {
  const searched = (env['LD_LIBRARY_PATH'] ?? '').split(':').filter((dir) => path.isAbsolute(dir));
  const cache = await run('ldconfig', ['-p'], ldconfigTimeoutMs);
  // For users other than root it is often not on the path.
  const again = cache.kind === 'missing' ? await run('/sbin/ldconfig', ['-p'], ldconfigTimeoutMs) : cache;
  const known = parseLdconfig(again.kind === 'exited' ? again.stdout : '');
  const others = (await Promise.all(wellKnownDirs.map((pattern) => expand(root, pattern)))).flat();
  const placeOf = async (name: CudaLibrary): Promise<CudaLibraryPlace> => {
    const loadable = (await firstWith(searched, name)) ?? known.get(name) ?? null;
    if (loadable !== null) return { kind: 'loadable', file: loadable };
    const file = await firstWith(others, name);
    return file === null ? { kind: 'missing' } : { kind: 'unsearched', file };
  };
  const [cudart, cublas, cublasLt] = await Promise.all(cudaLibraries.map(placeOf));
  const absent: CudaLibraryPlace = { kind: 'missing' };
  return {
    'libcudart.so.13': cudart ?? absent,
    'libcublas.so.13': cublas ?? absent,
    'libcublasLt.so.13': cublasLt ?? absent,
  };
};

/** What keeps the CUDA backend from loading, with its remedy; null when every library can be loaded. */
export const cudaRuntimeProblem = (runtime: CudaRuntime): string | null => {
  const missing = cudaLibraries.filter((name) => runtime[name].kind === 'missing');
  if (missing.length > 0) {
    return (
      `${missing.join(', ')} not found; install CUDA 13's runtime libraries ` +
      '(on Debian and Ubuntu from NVIDIA: apt-get install cuda-cudart-13-0 libcublas-13-0)'
    );
  }
  const dirs = new Set(
    cudaLibraries.flatMap((name) => {
      const place = runtime[name];
      return place.kind === 'unsearched' ? [path.dirname(place.file)] : [];
    }),
  );
  if (dirs.size === 0) return null;
  return `CUDA's runtime libraries lie where the loader does not look; start with LD_LIBRARY_PATH=${[...dirs].join(':')}`;
};
