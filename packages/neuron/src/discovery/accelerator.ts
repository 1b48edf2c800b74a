/** Which package of the engine this machine's GPUs need, and why CUDA is not used where it could be. Pure. */
import type { CudaRuntime } from './cuda-runtime.ts';
import { cudaRuntimeProblem } from './cuda-runtime.ts';
import { missingDriver, withRemedy } from './driver-remedy.ts';
import type { GpuState } from './gpu-monitor.ts';
import type { PciCard } from './pci-cards.ts';

/** Of the platform's packages with prebuilt libraries. */
export interface EnginePackages {
  /** As npm takes them, `NAME@VERSION`, the most capable first. */
  readonly available: readonly string[];
  /** Names of those that are installed, in the same order; the first is used. */
  readonly installed: readonly string[];
}

export interface AcceleratorFacts {
  readonly packages: EnginePackages;
  readonly gpus: GpuState;
  readonly cards: readonly PciCard[];
  /** Null where it was not looked for: another system than Linux. */
  readonly runtime: CudaRuntime | null;
  /** Backends of the devices that are served. */
  readonly backends: readonly string[];
  /** `CUDA_VISIBLE_DEVICES`; null when it is not set. */
  readonly visibleDevices: string | null;
}

export interface Accelerator {
  /** The installed package that is used; null when the engine told of none. */
  readonly package: string | null;
  readonly installed: readonly string[];
  /** `NAME@VERSION` that would bring an idle GPU in; null when there is none to gain. */
  readonly recommended: string | null;
}

/** The CUDA that the package is built with; an older driver cannot run it. */
const cudaMajor = 13;
const driverMajor = 580;

const packageEnding = (names: readonly string[], ending: string): string | null =>
  names.find((name) => name.replace(/@[\d.]+$/, '').endsWith(ending)) ?? null;

const driverIsTooOld = (cudaVersion: string | null): boolean =>
  cudaVersion !== null && Number.parseInt(cudaVersion, 10) < cudaMajor;

export const acceleratorOf = ({ packages, gpus, cards, backends }: AcceleratorFacts): Accelerator => {
  const { available, installed } = packages;
  const facts = { package: installed[0] ?? null, installed };
  if (backends.some((backend) => backend !== 'cpu')) return { ...facts, recommended: null };
  const wanted = (ending: string): string | null =>
    packageEnding(installed, ending) === null ? packageEnding(available, ending) : null;
  if (gpus.kind === 'ok' && !driverIsTooOld(gpus.cudaVersion)) return { ...facts, recommended: wanted('-cuda') };
  const hasCard = gpus.kind === 'ok' || cards.some(({ vendor }) => vendor === 'amd' || vendor === 'intel');
  return { ...facts, recommended: hasCard ? wanted('-vulkan') : null };
};

/** CUDA shows the GPUs named up to the first that it does not know. */
const hiddenBy = (visibleDevices: string | null, nGpus: number): string | null => {
  if (visibleDevices === null) return null;
  const setting = `CUDA_VISIBLE_DEVICES=${JSON.stringify(visibleDevices.slice(0, 64))}`;
  if (!/^\s*(\d|GPU-|MIG-)/.test(visibleDevices)) return `${setting} hides every GPU; unset it`;
  const first = /^\s*(\d+)/.exec(visibleDevices)?.[1];
  if (first === undefined || Number(first) < nGpus) return null;
  const there = nGpus === 1 ? 'there is only 0' : `there are 0 to ${nGpus - 1}`;
  return `${setting} begins with a GPU that is not here (${there}); name one that is, or unset it`;
};

/** Why there is no CUDA device, with what to do about it; null when there is one. */
export const cudaUnavailableReason = (facts: AcceleratorFacts): string | null => {
  const { packages, gpus, cards, runtime, backends, visibleDevices } = facts;
  if (backends.includes('cuda')) return null;
  if (gpus.kind === 'unavailable') {
    const ofNvidia = cards.flatMap(({ vendor, pciId }) => (vendor === 'nvidia' ? [pciId] : []));
    return gpus.isMissing ? missingDriver(ofNvidia) : withRemedy(gpus.reason);
  }
  const cuda = packageEnding(packages.available, '-cuda');
  if (cuda === null) return 'there is no CUDA package for this platform';
  if (driverIsTooOld(gpus.cudaVersion)) {
    const driver = gpus.gpus[0]?.driverVersion ?? 'installed';
    return (
      `the ${driver} driver serves CUDA ${gpus.cudaVersion}, the CUDA package needs ${cudaMajor}; ` +
      `update the driver to ${driverMajor} or newer, or use Vulkan: npm install ${packageEnding(packages.available, '-vulkan') ?? ''}`
    );
  }
  if (packageEnding(packages.installed, '-cuda') === null) return `the CUDA package is missing; npm install ${cuda}`;
  const problem = runtime === null ? null : cudaRuntimeProblem(runtime);
  if (problem !== null) return problem;
  return (
    hiddenBy(visibleDevices, gpus.gpus.length) ??
    `the CUDA package is installed and its backend did not load; npm install ${cuda} anew`
  );
};
