/** A model as `/models` shows it. Pure: what is known, its state, and how the devices are. */
import type { Limit, NodeModel } from '@cortex/core';
import type { Device } from '../device/contract.ts';
import type { LoadProgress } from '../model/device-model.ts';
import type { LoadedModel } from './loaded-model.ts';
import type { KnownModel } from './model-catalogue.ts';
import type { ModelState } from './model-registry.ts';

export interface NodeModelContext {
  readonly harness: string;
  readonly devices: readonly Device[];
  /** The operator's limit in tokens; null: the model's own. */
  readonly contextMax: number | null;
  readonly etaSecs: number | null;
}

const mb = 1024 * 1024;
/** Of the one sequence that the expected memory has room for. Whole contexts would make every long one look too big. */
const expectedTokens = 4096;

const toMb = (bytes: number): number => Math.ceil(bytes / mb);

const limitOf = (context: number | null): Pick<NodeModel, 'limit'> => {
  if (context === null) return { limit: null };
  const limit: Limit = { context };
  return { limit };
};

const least = (a: number | null, b: number | null): number | null =>
  a === null || b === null ? (a ?? b) : Math.min(a, b);

type Placed = Pick<NodeModel, 'devices' | 'vram_used_mb' | 'quant' | 'capabilities' | 'limit'>;

/** PyTorch's names of types in ours. */
const quantOnDisk: Readonly<Record<string, string>> = { float32: 'f32', float16: 'f16', bfloat16: 'bf16' };

const quantOf = ({ facts }: KnownModel): string | null =>
  facts.weightType === null ? null : (quantOnDisk[facts.weightType] ?? facts.weightType);

const placed = ({ known, device, loaded, side, weightType }: LoadedModel): Placed => ({
  quant: weightType === 'auto' ? quantOf(known) : weightType,
  devices: [device.info.index],
  vram_used_mb: toMb(loaded.bytes),
  capabilities: side.vision === null ? ['text'] : ['text', 'vision'],
  ...limitOf(Math.min(loaded.contextMax, loaded.kvTokens)),
});

const servableOf = (known: KnownModel, state: ModelState, devices: readonly Device[]): NodeModel['servable'] => {
  if (known.facts.refusal !== null) return { ok: false, reason: known.facts.refusal };
  const its = state.kind === 'loaded' ? [state.model.device] : devices;
  const working = its.some(({ poisonedReason }) => poisonedReason === null);
  if (working) return { ok: true };
  return { ok: false, reason: `its device is out of service: ${its[0]?.poisonedReason ?? 'there is none'}` };
};

const stateFields = (state: ModelState, etaSecs: number | null): Pick<NodeModel, 'progress' | 'error'> => {
  switch (state.kind) {
    case 'loading':
      return { progress: { ...state.progress, eta_secs: etaSecs } };
    case 'failed':
      return { error: state.error.message };
    case 'available':
    case 'loaded':
    case 'unloading':
      break;
  }
  return {};
};

export const nodeModelOf = (known: KnownModel, state: ModelState, context: NodeModelContext): NodeModel => {
  const { facts } = known;
  const onDisk: Placed = {
    quant: quantOf(known),
    devices: [],
    vram_used_mb: 0,
    capabilities: facts.hasVision ? ['text', 'vision'] : ['text'],
    ...limitOf(least(facts.contextMax, context.contextMax)),
  };
  const tokens = least(expectedTokens, facts.contextMax) ?? expectedTokens;
  return {
    id: known.id,
    harness: context.harness,
    status: state.kind,
    ...(state.kind === 'loaded' || state.kind === 'unloading' ? placed(state.model) : onDisk),
    vram_needed_mb: toMb(known.bytes + facts.kvBytesPerToken * tokens),
    tool_call: facts.toolCall,
    reasoning: facts.reasoning,
    servable: servableOf(known, state, context.devices),
    ...stateFields(state, context.etaSecs),
  };
};

/** One that is still on its way from the hub: nothing but its progress is known. */
export const downloadingModel = (
  { id, progress }: { readonly id: string; readonly progress: LoadProgress },
  harness: string,
): NodeModel => ({
  id,
  harness,
  status: 'loading',
  devices: [],
  vram_used_mb: 0,
  capabilities: ['text'],
  servable: { ok: true },
  progress: { ...progress, eta_secs: null },
});
