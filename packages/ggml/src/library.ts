/**
 * Finds the prebuilt ggml libraries of this platform among the installed npm packages, loads them, and checks that
 * they are the version this binding was written for. Importing this module loads nothing.
 */
import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { Device } from './device.ts';
import { bindNative, type Native } from './native.ts';
import { quietly } from './quietly.ts';
import { deviceTypes } from './types.ts';

/** Enum values and signatures in this package belong to exactly this ggml. */
export const ggmlVersion = '0.25.1';
/** Of every platform package that holds it. */
export const packageVersion = '3.22.1';

export class LibraryError extends Error {
  override readonly name = 'LibraryError';
}

export interface Library {
  readonly version: string;
  readonly commit: string;
  /** The npm package that the libraries came from. */
  readonly packageName: string;
  readonly native: Native;
  /** Every device of every backend that loaded, in the registry's order. */
  readonly devices: readonly Device[];
  /** Names of the backends that loaded, such as `CPU`, `CUDA`, `Vulkan`. */
  readonly backends: readonly string[];
}

/** Platform packages from the most to the least capable; only the plain CPU one is installed by default. */
export const packageNames = (platform: NodeJS.Platform, arch: string): readonly string[] => {
  const os = platform === 'win32' ? 'win' : platform === 'darwin' ? 'mac' : platform;
  const base = `@node-llama-cpp/${os}-${arch}`;
  return os === 'mac' ? [`${base}-metal`, base] : [`${base}-cuda`, `${base}-vulkan`, base];
};

/** A package's folder in one of `roots`, or where Node looks for packages of this module (`NODE_PATH` included). */
const packageDir = (name: string, roots: readonly string[] = []): string | null => {
  const require = createRequire(import.meta.url);
  for (const root of [...roots, ...(require.resolve.paths(name) ?? [])]) {
    const dir = join(root, name);
    if (existsSync(join(dir, 'package.json'))) return dir;
  }
  return null;
};

/** Those of this platform that are installed, the most capable first: the first one is used. */
export const installedPackages = (): readonly string[] =>
  packageNames(process.platform, process.arch).filter((name) => packageDir(name) !== null);

interface Binaries {
  readonly packageName: string;
  readonly dir: string;
}

/** Of every package of this platform that is installed, the most capable first. */
const findBinaries = (roots: readonly string[] | undefined): readonly Binaries[] =>
  packageNames(process.platform, process.arch).flatMap((packageName) => {
    const dir = packageDir(packageName, roots);
    if (dir === null) return [];
    const binaries = join(dir, 'bins', packageName.slice(packageName.indexOf('/') + 1));
    return existsSync(binaries) ? [{ packageName, dir: binaries }] : [];
  });

const nothingInstalled = (): LibraryError =>
  new LibraryError(
    `no ggml libraries for ${process.platform}-${process.arch}: install one of ` +
      packageNames(process.platform, process.arch)
        .map((name) => `${name}@${packageVersion}`)
        .join(', '),
  );

const fileMatching = (dir: string, pattern: RegExp): string => {
  const file = readdirSync(dir).find((name) => pattern.test(name));
  if (file === undefined) throw new LibraryError(`${dir} has no file like ${pattern.source}: reinstall the package`);
  return join(dir, file);
};

/** Backends of accelerators: plug-ins that a package of another name may hold too. */
const acceleratorFile = /^(lib)?ggml-(cuda|vulkan|metal)\.(so|dylib|dll)$/;
const gpuTypes: ReadonlySet<number> = new Set([deviceTypes.indexOf('gpu'), deviceTypes.indexOf('igpu')]);

const hasGpu = (native: Native): boolean =>
  Array.from({ length: native.ggml_backend_dev_count() }, (_, index) => native.ggml_backend_dev_get(index)).some(
    (device) => gpuTypes.has(native.ggml_backend_dev_type(device)),
  );

/** All of the first package, and while that shows no GPU, the accelerators of the next. */
const fillRegistry = (native: Native, [first, ...others]: readonly Binaries[]): void => {
  if (first !== undefined) native.ggml_backend_load_all_from_path(first.dir);
  for (const { dir } of others) {
    if (hasGpu(native)) return;
    // They find ggml-base by its name: the one that is loaded serves them, being of the same version.
    for (const name of readdirSync(dir)) if (acceleratorFile.test(name)) native.ggml_backend_load(join(dir, name));
  }
};

const load = ({ packageRoots }: LibraryOptions): Library => {
  const found = findBinaries(packageRoots);
  const [first] = found;
  if (first === undefined) throw nothingInstalled();
  const { packageName, dir } = first;
  const base = fileMatching(dir, /^(lib)?ggml-base\.(so|dylib|dll)$/);
  const registry = fileMatching(dir, /^(lib)?ggml(\.(cuda|vulkan|metal))?(\.v[\d.]+)?\.(so|dylib|dll)$/);
  const native = bindNative(base, registry);
  const version = native.ggml_version();
  if (version !== ggmlVersion) {
    throw new LibraryError(
      `${packageName} holds ggml ${version}, this program needs ${ggmlVersion}: install ${packageName}@${packageVersion}`,
    );
  }
  // The registry belongs to the process: only the first thread fills it.
  if (native.ggml_backend_reg_count() === 0) quietly(native, () => fillRegistry(native, found));
  const devices = Array.from({ length: native.ggml_backend_dev_count() }, (_, index) => new Device(native, index));
  const backends = Array.from({ length: native.ggml_backend_reg_count() }, (_, index) =>
    native.ggml_backend_reg_name(native.ggml_backend_reg_get(index)),
  );
  if (devices.length === 0) throw new LibraryError(`no backend of ${packageName} runs on this machine`);
  return { version, commit: native.ggml_commit(), packageName, native, devices, backends };
};

export interface LibraryOptions {
  /** `node_modules` folders to search before those that Node would; the first call of a thread decides. */
  readonly packageRoots?: readonly string[];
}

let opened: Library | undefined;

/** Opens the libraries at the first call of each thread. @throws LibraryError naming what to install. */
export const openLibrary = (options: LibraryOptions = {}): Library => (opened ??= load(options));
