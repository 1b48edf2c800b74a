/**
 * Finds the prebuilt ggml libraries of this platform among the installed npm packages, loads them, and checks that
 * they are the version this binding was written for. Importing this module loads nothing.
 */
import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Device } from './device.ts';
import { bindNative, type Native } from './native.ts';

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

const packageDir = (name: string): string | null => {
  const require = createRequire(import.meta.url);
  for (const root of require.resolve.paths(name) ?? []) {
    const dir = join(root, name);
    if (existsSync(join(dir, 'package.json'))) return dir;
  }
  return null;
};

/** Those of this platform that are installed, the most capable first: the first one is used. */
export const installedPackages = (): readonly string[] =>
  packageNames(process.platform, process.arch).filter((name) => packageDir(name) !== null);

const findBinaries = (): { packageName: string; dir: string } => {
  const names = packageNames(process.platform, process.arch);
  for (const name of names) {
    const dir = packageDir(name);
    if (dir === null) continue;
    const binaries = join(dir, 'bins', name.slice(name.indexOf('/') + 1));
    if (existsSync(binaries)) return { packageName: name, dir: binaries };
  }
  throw new LibraryError(
    `no ggml libraries for ${process.platform}-${process.arch}: install one of ` +
      names.map((name) => `${name}@${packageVersion}`).join(', '),
  );
};

const fileMatching = (dir: string, pattern: RegExp): string => {
  const file = readdirSync(dir).find((name) => pattern.test(name));
  if (file === undefined) throw new LibraryError(`${dir} has no file like ${pattern.source}: reinstall the package`);
  return join(dir, file);
};

const load = (): Library => {
  const { packageName, dir } = findBinaries();
  const base = fileMatching(dir, /^(lib)?ggml-base\.(so|dylib|dll)$/);
  const registry = fileMatching(dir, /^(lib)?ggml(\.v[\d.]+)?\.(so|dylib|dll)$/);
  const native = bindNative(base, registry);
  const version = native.ggml_version();
  if (version !== ggmlVersion) {
    throw new LibraryError(
      `${packageName} holds ggml ${version}, this program needs ${ggmlVersion}: install ${packageName}@${packageVersion}`,
    );
  }
  // The registry belongs to the process: only the first thread fills it.
  if (native.ggml_backend_reg_count() === 0) native.ggml_backend_load_all_from_path(dirname(base));
  const devices = Array.from({ length: native.ggml_backend_dev_count() }, (_, index) => new Device(native, index));
  const backends = Array.from({ length: native.ggml_backend_reg_count() }, (_, index) =>
    native.ggml_backend_reg_name(native.ggml_backend_reg_get(index)),
  );
  if (devices.length === 0) throw new LibraryError(`no backend of ${packageName} runs on this machine`);
  return { version, commit: native.ggml_commit(), packageName, native, devices, backends };
};

let opened: Library | undefined;

/** Opens the libraries at the first call of each thread. @throws LibraryError naming what to install. */
export const openLibrary = (): Library => (opened ??= load());
