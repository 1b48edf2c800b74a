/** What ggml, its packages and the GPU driver together mean: is every device used that could be? Pure. */
import type { EnginePackages, EngineProbe, GpuState } from '@cortex/neuron';
import { megabytesText } from '../terminal/quantities.ts';
import type { Finding } from './finding.ts';

/** How the probe, a process of its own, ended. */
export type ProbeResult =
  | { readonly kind: 'found'; readonly probe: EngineProbe }
  /** It said why not: no package, a wrong version. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** Native code took it down. */
  | { readonly kind: 'crashed'; readonly how: string };

export interface EngineFacts {
  readonly packages: EnginePackages;
  readonly result: ProbeResult;
  readonly gpus: GpuState;
  /** A GPU of any maker has a render node. */
  readonly hasRenderNode: boolean;
}

const withEnding = (names: readonly string[], ending: string): string | undefined =>
  names.find((name) => name.replace(/@[\d.]+$/, '').endsWith(ending));

const driverFinding = (gpus: GpuState): Finding => {
  if (gpus.kind === 'unavailable') return { level: 'note', subject: 'driver', text: `no NVIDIA GPU: ${gpus.reason}` };
  const cuda = gpus.cudaVersion === null ? '' : `, CUDA up to ${gpus.cudaVersion}`;
  const names = gpus.gpus.map(({ name, memoryTotalMb }) =>
    memoryTotalMb === null ? name : `${name} (${megabytesText(memoryTotalMb)})`,
  );
  return {
    level: 'ok',
    subject: 'driver',
    text: `NVIDIA ${gpus.gpus[0]?.driverVersion ?? '?'}${cuda}: ${names.join(', ')}`,
  };
};

const ggmlFindings = ({ packages, result }: EngineFacts): readonly Finding[] => {
  const subject = 'ggml';
  const plain = packages.available.at(-1) ?? '';
  if (result.kind === 'refused')
    return [{ level: 'broken', subject, text: result.reason, remedy: `npm install ${plain}` }];
  if (result.kind === 'crashed') {
    const used = packages.installed[0] ?? 'ggml';
    const remedy = `npm uninstall ${used} falls back to the next package; a broken driver is the usual cause`;
    return [{ level: 'broken', subject, text: `loading ${used} ended the process with ${result.how}`, remedy }];
  }
  const { probe } = result;
  const text = `ggml ${probe.ggmlVersion} of ${probe.packageName}, backends ${probe.backends.join(', ')}`;
  const devices = probe.devices.map((device): Finding => {
    const total = megabytesText(device.memoryTotalMb);
    // Of the host's memory ggml calls all of it free.
    const memory = device.backend === 'cpu' ? total : `${megabytesText(device.memoryFreeMb)} free of ${total}`;
    return device.served
      ? { level: 'ok', subject: 'device', text: `${device.backend}: ${device.name}, ${memory}` }
      : { level: 'note', subject: 'device', text: `${device.backend}: ${device.name}, left aside for the faster ones` };
  });
  return [{ level: 'ok', subject, text }, ...devices];
};

/** Which package would bring in a GPU that lies idle. */
const acceleratorFindings = ({ packages, result, gpus, hasRenderNode }: EngineFacts): readonly Finding[] => {
  if (result.kind !== 'found') return [];
  const backends = new Set(result.probe.devices.filter(({ served }) => served).map(({ backend }) => backend));
  if ([...backends].some((backend) => backend !== 'cpu')) return [];
  const subject = 'GPU';
  const cuda = withEnding(packages.available, '-cuda');
  if (gpus.kind === 'ok' && cuda !== undefined) {
    if (withEnding(packages.installed, '-cuda') === undefined) {
      const remedy = `npm install ${cuda}, and the CUDA 13 runtime libraries (libcudart, libcublas)`;
      return [
        { level: 'warning', subject, text: 'an NVIDIA GPU is here, and the package that uses it is not', remedy },
      ];
    }
    const remedy = 'install the CUDA 13 runtime libraries (libcudart.so.13, libcublas.so.13), or a newer driver';
    return [{ level: 'warning', subject, text: 'the CUDA package is installed, but its backend did not load', remedy }];
  }
  const vulkan = withEnding(packages.available, '-vulkan');
  if (!hasRenderNode || vulkan === undefined)
    return [{ level: 'note', subject, text: 'none found: models run on the CPU' }];
  if (withEnding(packages.installed, '-vulkan') === undefined) {
    const text = 'a GPU of another maker may be here; Vulkan would use it';
    return [{ level: 'note', subject, text, remedy: `npm install ${vulkan}, and the system's Vulkan driver` }];
  }
  const text = 'the Vulkan package is installed, but it finds no GPU';
  return [
    { level: 'warning', subject, text, remedy: "install the system's Vulkan driver (Debian: mesa-vulkan-drivers)" },
  ];
};

export const engineFindings = (facts: EngineFacts): readonly Finding[] => [
  ...ggmlFindings(facts),
  driverFinding(facts.gpus),
  ...acceleratorFindings(facts),
];
