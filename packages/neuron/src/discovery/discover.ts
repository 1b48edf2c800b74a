/** `/discovery`, put together from the host, the driver and the engine. */
import type { DeviceInfo, Discovery } from '@cortex/core';
import type { GpuState } from './gpu-monitor.ts';
import type { HostInfo } from './host.ts';
import { matchGpus } from './match-gpus.ts';

export interface EngineFacts {
  readonly harness: string;
  readonly devices: readonly DeviceInfo[];
  /** The operator's limit for every model, in tokens; null when each model's own decides. */
  readonly promptTokensMax: number | null;
}

const cudaUnavailableReason = (gpuState: GpuState, devices: readonly DeviceInfo[]): string | null => {
  if (devices.some((device) => device.backend === 'cuda')) return null;
  if (gpuState.kind === 'unavailable') return gpuState.reason;
  return 'the driver has GPUs, but the engine runs without its CUDA backend';
};

export const discoveryOf = (host: HostInfo, gpuState: GpuState, engine: EngineFacts): Discovery => {
  const gpus = gpuState.kind === 'ok' ? gpuState.gpus : [];
  const matches = matchGpus(engine.devices, gpus);
  return {
    ...host,
    cuda_version: gpuState.kind === 'ok' ? gpuState.cudaVersion : null,
    driver_version: gpus[0]?.driverVersion ?? null,
    cuda_unavailable_reason: cudaUnavailableReason(gpuState, engine.devices),
    devices: engine.devices.map((device) => ({
      ...device,
      compute_capability: device.compute_capability ?? matches.get(device.index)?.computeCapability ?? null,
    })),
    harnesses: [engine.harness],
    max_prompt_tokens: engine.promptTokensMax,
  };
};
