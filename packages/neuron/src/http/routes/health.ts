/** `GET /health`: how the devices, the models and the start-up are doing. Always 200 while the process lives. */
import { freemem } from 'node:os';
import type { DeviceHealth, Health } from '@cortex/core';
import type { Route } from '../context.ts';

/** `degraded`: a device, or several taken together, are out of service; the others still serve. */
const healthStatus = (draining: boolean, devices: readonly DeviceHealth[], nBroken: number): string => {
  if (draining) return 'draining';
  return nBroken > 0 || devices.some((device) => device.poisoned) ? 'degraded' : 'ok';
};

export const healthRoute: Route = {
  method: 'GET',
  url: '/health',
  handle: async (context): Promise<Health> => {
    const devices = await context.deviceHealth();
    const broken = context.harness.brokenGroups();
    return {
      status: healthStatus(context.calls.draining, devices, broken.length),
      host_free_mb: Math.floor(freemem() / 2 ** 20),
      uptime_secs: Math.floor((Date.now() - context.startedAt.getTime()) / 1000),
      devices: [...devices],
      ...(broken.length > 0 && { broken_groups: [...broken] }),
      activation: context.activation(),
      models: [...context.harness.activity()],
    };
  },
};
