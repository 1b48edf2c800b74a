/** A device: what it is, how warm and busy, and whose its memory is. */
import type { NodeSnapshot } from '@cortex/core';
import { memory, percent } from '../format.ts';
import { Pill } from '../parts/pill.tsx';
import { hueOf } from '../state/store.ts';
import { memoryParts } from './device-memory.ts';

interface MemoryBarProps {
  readonly device: NodeSnapshot['devices'][number];
  readonly models: NodeSnapshot['models'];
}

export const MemoryBar = ({ device, models }: MemoryBarProps) => {
  const parts = memoryParts(device, models);
  const used = `${memory(device.vram_used_mb)} of ${memory(device.vram_total_mb)}`;
  const told = parts.map(({ name, mb }) => `${name} ${memory(mb)}`).join(', ');
  return (
    <div class="device">
      <div class="device-head">
        <span class="device-name" title={device.name}>
          {device.name}
        </span>
        <span class="tag">
          {device.backend} {device.index}
        </span>
        {device.poisoned ? (
          <Pill tone="bad" title={device.poisoned_reason ?? undefined}>
            poisoned
          </Pill>
        ) : null}
        <span class="device-facts">
          {device.utilization_pct === null ? null : (
            <span title="utilisation">{percent(device.utilization_pct / 100)}</span>
          )}
          {device.temp_c === null ? null : <span title="temperature">{Math.round(device.temp_c)} °C</span>}
          <span>{used}</span>
        </span>
      </div>
      <div class="memory" role="img" aria-label={`${used} in use${told === '' ? '' : `: ${told}`}`}>
        {parts.map(({ kind, name, mb, share }) => (
          <span
            key={`${kind} ${name}`}
            class={kind === 'model' ? `part hue-${hueOf(name)}` : `part ${kind}`}
            title={`${name}: ${memory(mb)}`}
            style={{ flexBasis: `${share * 100}%` }}
          />
        ))}
      </div>
      {device.poisoned && device.poisoned_reason !== null ? <p class="reason">{device.poisoned_reason}</p> : null}
    </div>
  );
};

/** The colour that a model has in the bars. */
export const ModelSwatch = ({ model }: { readonly model: string }) => (
  <span class={`swatch hue-${hueOf(model)}`} aria-hidden="true" />
);
