/** What a person reads when a neuron has started; the log beside it is for machines. */
import type { DeviceInfo, NeuronConfig, Version } from '@cortex/core';
import type { StoredModel } from './model-store/model-store.ts';

export interface StartupFacts {
  readonly version: Version;
  readonly devices: readonly DeviceInfo[];
  readonly models: readonly StoredModel[];
  readonly config: NeuronConfig;
  readonly url: string;
}

const size = (mb: number): string =>
  mb < 1024 ? `${Math.ceil(mb)} MB` : `${(mb / 1024).toFixed(mb < 10_240 ? 1 : 0)} GB`;
const mb = 1024 * 1024;
const modelsShown = 12;

const isLoopback = (host: string): boolean => host === 'localhost' || host === '::1' || host.startsWith('127.');

const modelLines = ({ models, config }: StartupFacts): readonly string[] => {
  if (models.length === 0) {
    const where =
      config.model_dirs.length === 0 ? 'no model_dirs are set' : `looked in ${config.model_dirs.join(', ')}`;
    return [`  models   none on disk (${where})`];
  }
  const byDefault = new Set(config.default_models.map(({ id }) => id));
  const lines = models
    .slice(0, modelsShown)
    .map(({ id, bytes }) => `           ${id}  ${size(bytes / mb)}${byDefault.has(id) ? '  (loading)' : ''}`);
  const more = models.length > modelsShown ? [`           and ${models.length - modelsShown} more`] : [];
  return [`  models   ${models.length} on disk`, ...lines, ...more];
};

export const startupText = (facts: StartupFacts): string => {
  const { version, devices, config, url } = facts;
  const open = config.token === undefined && !isLoopback(config.host);
  return [
    `neuron ${version.version} · ggml ${version.ggml.version} · Node ${version.node}`,
    ...devices.map(
      (device) => `  device ${device.index} ${device.backend}  ${device.name}  ${size(device.vram_total_mb)}`,
    ),
    ...modelLines(facts),
    `  listening on ${url}${open ? ' without a token: whoever reaches this port may use it' : ''}`,
  ].join('\n');
};
