/** A model as `/models` shows it. Pure: what is known, its state, and how the devices are. */
import { sharedMb, type GgmlConfig, type LayerPart, type NodeModel } from '@cortex/core';
import type { Device } from '../device/contract.ts';
import type { LoadProgress } from '../model/device-model.ts';
import { addedParts, kvShareOf, needsFrom, partsText, planMemory, totalBytes } from '../model/memory-plan.ts';
import { estimateGroup, type GroupEstimate } from './group-estimate.ts';
import { deviceOfPart } from './held-memory.ts';
import { outOfService, type LoadedModel } from './loaded-model.ts';
import type { KnownModel } from './model-catalogue.ts';
import type { ModelState } from './model-registry.ts';
import type { ModelSettings } from './model-settings.ts';
import { expectedParts, expectedSharing, leastParts, type KnownSize } from './model-sizes.ts';
import { fitsInLayers, isAccelerator, joined } from './offload-estimate.ts';

export interface NodeModelContext {
  readonly harness: string;
  readonly devices: readonly Device[];
  /** Bytes of each device that are free or held by models, which may go. */
  readonly roomBytes: ReadonlyMap<Device, number>;
  /** The same of the host's memory, for layers that no device has room for. */
  readonly hostBytes: number;
  readonly config: GgmlConfig;
  readonly settings: ModelSettings;
  /** Null: not known yet. */
  readonly size: KnownSize | null;
  readonly etaSecs: number | null;
}

const mb = 1024 * 1024;

const toMb = (bytes: number): number => Math.ceil(bytes / mb);

/** A prompt leaves one token for the answer, an answer follows one token at least. */
const limitOf = (context: number | null): Pick<NodeModel, 'limit'> => {
  if (context === null) return { limit: null };
  const rest = Math.max(1, context - 1);
  return { limit: { context, input: rest, output: rest } };
};

const least = (a: number | null, b: number | null): number | null =>
  a === null || b === null ? (a ?? b) : Math.min(a, b);

type Measured = Extract<KnownSize, { kind: 'measured' }>;

/** Working devices that it may be on. */
const placesOf = ({ deviceIndices }: Measured, { devices }: NodeModelContext): readonly Device[] =>
  devices.filter(
    ({ poisonedReason, info }) =>
      poisonedReason === null && (deviceIndices === null || deviceIndices.includes(info.index)),
  );

const roomsOf = (size: Measured, context: NodeModelContext): readonly number[] =>
  placesOf(size, context).map((device) => context.roomBytes.get(device) ?? 0);

/** Rooms of the devices that may have layers of it, and last the host's; null where layers are not spread. */
const layerRooms = (size: Measured, context: NodeModelContext): readonly number[] | null => {
  const rooms = roomsOf(size, context);
  const isSpread = size.nDevices === 1 && rooms.length > 0 && context.devices.some(isAccelerator);
  return isSpread ? [...rooms, context.hostBytes] : null;
};

/** The same of a model that no device has room for. */
const offloadRooms = (size: Measured, context: NodeModelContext): readonly number[] | null => {
  const rooms = layerRooms(size, context);
  const parts = leastParts(size.needs, context.config);
  if (rooms === null || roomsOf(size, context).some((room) => room >= totalBytes(parts))) return null;
  return fitsInLayers(parts, rooms) ? rooms : null;
};

/** What model and operator allow. */
const wantedOf = ({ needs }: Measured, { config }: NodeModelContext) => ({
  contextMax: Math.min(needs.contextMax, config.context_max ?? Infinity),
  kvTokens: config.kv_tokens ?? null,
  nSlots: config.parallel,
});

const kvShareOn = (device: Pick<Device, 'info'> | undefined): number =>
  kvShareOf(device !== undefined && isAccelerator(device) ? 'device' : 'host');

/** Over the `n` devices with the most room, as a load over so many chooses them; null where it cannot be over so many. */
const groupOver = (n: number, size: Measured, context: NodeModelContext): GroupEstimate | null => {
  const { sharing } = size.needs;
  const roomOf = (device: Device): number => context.roomBytes.get(device) ?? 0;
  const roomiest = placesOf(size, context)
    .toSorted((a, b) => roomOf(b) - roomOf(a))
    .slice(0, n)
    .toSorted((a, b) => a.info.index - b.info.index);
  if (sharing === null || roomiest.length < n) return null;
  return estimateGroup(sharing, { ...wantedOf(size, context), kvShare: kvShareOn(roomiest[0]) }, roomiest.map(roomOf));
};

/** The longest that a load could give it: on the device with the most room, in layers over all, or shared. */
const affordableContext = (id: string, size: Measured, context: NodeModelContext): number => {
  const { needs, nDevices } = size;
  const wanted = wantedOf(size, context);
  if (nDevices > 1) return groupOver(nDevices, size, context)?.contextMax ?? wanted.contextMax;
  const rooms = context.settings.mayOffload(id) ? offloadRooms(size, context) : null;
  if (rooms !== null) {
    const all = joined(needsFrom(needs), wanted, rooms);
    return planMemory(all.needs, all.limits).plan.contextMax;
  }
  const contexts = placesOf(size, context).map((device) => {
    const limits = { ...wanted, freeBytes: context.roomBytes.get(device) ?? 0, kvShare: kvShareOn(device) };
    return planMemory(needsFrom(needs), limits).plan.contextMax;
  });
  return contexts.length === 0 ? wanted.contextMax : Math.max(...contexts);
};

const guessedTokens = 4096;

type Placed = Pick<
  NodeModel,
  'devices' | 'devices_mb' | 'vram_used_mb' | 'layers' | 'quant' | 'capabilities' | 'limit'
>;

/** PyTorch's names of types in ours. */
const quantOnDisk: Readonly<Record<string, string>> = { float32: 'f32', float16: 'f16', bfloat16: 'bf16' };

const quantOf = ({ facts }: KnownModel): string | null =>
  facts.weightType === null ? null : (quantOnDisk[facts.weightType] ?? facts.weightType);

/** What each device has of a model whose layers are on several; the host last. */
export const layersOf = (model: Pick<LoadedModel, 'device' | 'loaded'>): LayerPart[] =>
  model.loaded.parts.map(({ name, member, nLayers, nBytes }) => ({
    device: deviceOfPart(model, member),
    name,
    layers: nLayers,
    mb: toMb(nBytes),
  }));

const placed = (model: LoadedModel): Placed => {
  const { known, device, loaded, side, weightType } = model;
  const layers = layersOf(model);
  const onDevices = layers.filter((part) => part.device !== null);
  return {
    quant: weightType === 'auto' ? quantOf(known) : weightType,
    devices: [...device.members],
    vram_used_mb: layers.length === 0 ? toMb(loaded.bytes) : onDevices.reduce((sum, part) => sum + part.mb, 0),
    ...(layers.length > 0 ? { layers } : { devices_mb: loaded.memberBytes.map(toMb) }),
    capabilities: side.vision === null ? ['text'] : ['text', 'vision'],
    ...limitOf(Math.min(loaded.contextMax, loaded.kvTokens)),
  };
};

const roomsText = (size: Measured, context: NodeModelContext): string =>
  placesOf(size, context)
    .map((device) => `device ${device.info.index} has ${toMb(context.roomBytes.get(device) ?? 0)} MB`)
    .join(', ');

/** Why those that are to share it could not. */
const groupShortage = (size: Measured, context: NodeModelContext): string | null => {
  const { nDevices, needs } = size;
  if (needs.sharing === null) return null;
  const group = groupOver(nDevices, size, context);
  if (group === null)
    return `${nDevices} devices are to share it, and ${placesOf(size, context).length} are in service`;
  if (group.fits) return null;
  const parts = group.memory.map((plan) => plan.parts).reduce(addedParts);
  const steps = Math.min(...group.memory.map((plan) => plan.parts.compute + plan.parts.tower));
  const each = needs.sharing.mirroredBytes + steps;
  return (
    `over ${nDevices} devices it needs ${toMb(totalBytes(parts))} MB (${partsText(parts)}), ${toMb(each)} MB of it on each ` +
    `whatever its part; ${roomsText(size, context)}`
  );
};

/** Why no devices could ever hold it as they are now. */
const shortageOf = (id: string, size: Measured, context: NodeModelContext): string | null => {
  if (size.nDevices > 1) return groupShortage(size, context);
  const parts = leastParts(size.needs, context.config);
  const bytes = totalBytes(parts);
  const rooms = roomsOf(size, context);
  // Where nothing is said, a load may ask for several.
  const fitsOver = (n: number): boolean => groupOver(n, size, context)?.fits === true;
  if (rooms.some((room) => room >= bytes) || rooms.some((_, i) => i > 0 && fitsOver(i + 1))) return null;
  const layered = layerRooms(size, context);
  const fitsInLayersHere = layered !== null && fitsInLayers(parts, layered);
  if (fitsInLayersHere && context.settings.mayOffload(id)) return null;
  const remedy = fitsInLayersHere ? "; with layer_offload = true some of its layers could be in the host's memory" : '';
  return `it needs ${toMb(bytes)} MB (${partsText(parts)}), ${roomsText(size, context)}${remedy}`;
};

const obstacle = (known: KnownModel, state: ModelState, context: NodeModelContext): string | null => {
  const { refusal } = known.facts;
  if (refusal !== null) return refusal;
  const { devices, size } = context;
  const its = state.kind === 'loaded' ? [state.model.device] : devices;
  if (its.every(({ poisonedReason }) => poisonedReason !== null)) {
    const [first] = its;
    return first === undefined ? 'there is no device' : `${outOfService(first)}: ${first.poisonedReason ?? ''}`;
  }
  if (size === null || (state.kind !== 'available' && state.kind !== 'failed')) return null;
  return size.kind === 'broken' ? size.error.message : shortageOf(known.id, size, context);
};

const servableOf = (known: KnownModel, state: ModelState, context: NodeModelContext): NodeModel['servable'] => {
  const reason = obstacle(known, state, context);
  return reason === null ? { ok: true } : { ok: false, reason };
};

/** What it takes as it is used; of its files and its configuration as long as no more is known. */
const neededMb = ({ bytes, facts }: KnownModel, { size, config }: NodeModelContext): number => {
  if (size?.kind === 'measured') {
    const { needs, nDevices } = size;
    if (nDevices > 1 && needs.sharing !== null)
      return Math.ceil(sharedMb(expectedSharing(needs.sharing, needs, config), nDevices));
    return toMb(totalBytes(expectedParts(needs, config)) + needs.mappedBytes);
  }
  return toMb(bytes + facts.kvBytesPerToken * Math.min(guessedTokens, facts.contextMax ?? Infinity));
};

const sharingIn = ({ size, config }: NodeModelContext): Pick<NodeModel, 'sharing'> =>
  size?.kind !== 'measured' || size.needs.sharing === null
    ? {}
    : { sharing: expectedSharing(size.needs.sharing, size.needs, config) };

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

const contextOf = ({ id, facts }: KnownModel, context: NodeModelContext): number | null =>
  context.size?.kind === 'measured'
    ? affordableContext(id, context.size, context)
    : least(facts.contextMax, context.config.context_max ?? null);

const placementOf = ({ id }: KnownModel, { settings }: NodeModelContext): Pick<NodeModel, 'placement'> => {
  const { tensor_parallel: counted, devices, layer_offload: mayOffload } = settings.of(id);
  if (counted === undefined && devices === undefined) return {};
  const sharing = counted ?? (mayOffload === true ? 1 : (devices?.length ?? 1));
  return { placement: { tensor_parallel: sharing, ...(devices !== undefined && { devices }) } };
};

export const nodeModelOf = (known: KnownModel, state: ModelState, context: NodeModelContext): NodeModel => {
  const { facts } = known;
  const isOnDisk = state.kind === 'available' || state.kind === 'failed';
  const { size } = context;
  const offload = isOnDisk && size?.kind === 'measured' ? offloadRooms(size, context) : null;
  const mayOffload = context.settings.mayOffload(known.id);
  const onDisk: Placed = {
    quant: quantOf(known),
    devices: [],
    vram_used_mb: 0,
    capabilities: facts.hasVision ? ['text', 'vision'] : ['text'],
    ...limitOf(contextOf(known, context)),
  };
  return {
    id: known.id,
    harness: context.harness,
    status: state.kind,
    ...(state.kind === 'loaded' || state.kind === 'unloading' ? placed(state.model) : onDisk),
    vram_needed_mb: neededMb(known, context),
    ...sharingIn(context),
    ...(offload !== null && {
      layer_offload: { host_mb: Math.floor(context.hostBytes / mb), by_default: mayOffload },
    }),
    ...placementOf(known, context),
    tool_call: facts.toolCall,
    reasoning: facts.reasoning,
    servable: servableOf(known, state, context),
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
