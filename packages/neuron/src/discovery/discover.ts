/** `/discovery`, put together from the host, the driver and the engine. */
import type { DeviceHealth, DeviceInfo, Discovery } from '@cortex/core';
import { acceleratorOf, cudaUnavailableReason, type AcceleratorFacts, type EnginePackages } from './accelerator.ts';
import type { CudaRuntime } from './cuda-runtime.ts';
import type { GpuState } from './gpu-monitor.ts';
import type { HostInfo } from './host.ts';
import { matchGpus } from './match-gpus.ts';
import type { PciCard } from './pci-cards.ts';

export interface EngineFacts {
  readonly harness: string;
  readonly devices: readonly DeviceInfo[];
  readonly health: readonly DeviceHealth[];
  readonly packages: EnginePackages;
  /** The operator's limit for every model, in tokens; null when each model's own decides. */
  readonly promptTokensMax: number | null;
}

/** What the system tells without the engine. */
export interface SystemFacts {
  readonly host: HostInfo;
  readonly gpus: GpuState;
  readonly cards: readonly PciCard[];
  /** Null where CUDA's libraries were not looked for. */
  readonly runtime: CudaRuntime | null;
  /** `CUDA_VISIBLE_DEVICES`; null when it is not set. */
  readonly visibleDevices: string | null;
}

/** Null for each that the loader would not find. */
const librariesOf = (runtime: CudaRuntime): Readonly<Record<string, string | null>> =>
  Object.fromEntries(
    Object.entries(runtime).map(([name, place]) => [name, place.kind === 'loadable' ? place.file : null]),
  );

export const discoveryOf = (system: SystemFacts, engine: EngineFacts): Discovery => {
  const { gpus: state, runtime } = system;
  const gpus = state.kind === 'ok' ? state.gpus : [];
  const matches = matchGpus(engine.devices, gpus);
  const backends = engine.devices.map(({ backend }) => backend);
  const facts: AcceleratorFacts = { ...system, packages: engine.packages, backends };
  const { package: used, installed, recommended } = acceleratorOf(facts);
  return {
    ...system.host,
    cuda_version: state.kind === 'ok' ? state.cudaVersion : null,
    driver_version: gpus[0]?.driverVersion ?? null,
    cuda_unavailable_reason: cudaUnavailableReason(facts),
    ...(runtime !== null && { cuda_libraries: librariesOf(runtime) }),
    engine: { package: used, installed: [...installed], recommended },
    devices: engine.devices.map((device) => {
      const gpu = matches.get(device.index);
      const health = engine.health.find(({ index }) => index === device.index);
      return {
        ...device,
        vram_free_mb: health?.vram_free_mb ?? null,
        compute_capability: device.compute_capability ?? gpu?.computeCapability ?? null,
        pci_id: device.pci_id ?? gpu?.pciId ?? null,
        driver_version: gpu?.driverVersion ?? null,
      };
    }),
    harnesses: [engine.harness],
    max_prompt_tokens: engine.promptTokensMax,
  };
};
