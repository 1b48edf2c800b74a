/** A model that can answer: its weights on a device and its prompt side here. */
import { CortexError } from '@cortex/core';
import type { Device } from '../device/contract.ts';
import type { LoadedFacts } from '../device/protocol.ts';
import type { Admission } from './admission.ts';
import type { WeightType } from '../model/weight-types.ts';
import type { KnownModel } from './model-catalogue.ts';
import type { PromptSide } from './prompt-side.ts';

export interface LoadedModel {
  readonly known: KnownModel;
  readonly device: Device;
  readonly weightType: WeightType;
  readonly loaded: LoadedFacts;
  readonly side: PromptSide;
  readonly admission: Admission;
}

/** Prompt and answer of one request together, in tokens: what a sequence may hold and the cache has room for. */
export const contextMaxOf = ({ loaded }: LoadedModel): number => Math.min(loaded.contextMax, loaded.kvTokens);

/** Says what is to be done about it. */
export const outOfService = ({ members, info: { name } }: Pick<Device, 'members' | 'info'>): string =>
  members.length === 1
    ? `device ${members.join('+')} (${name}) is out of service until the neuron is restarted`
    : `devices ${members.join('+')} (${name}) are out of service together until the neuron is restarted, each goes on alone`;

/** @throws CortexError `device_poisoned`. */
export const requireWorkingDevice = ({ known, device }: LoadedModel): void => {
  if (device.poisonedReason === null) return;
  throw new CortexError('device_poisoned', `${outOfService(device)}: ${device.poisonedReason}`, {
    facts: { model_id: known.id, device: device.info.index },
  });
};

/** Resolves once the device's memory is free. That of a poisoned device never is, but nobody can use it either. */
export const closeModel = async ({ known, device, side }: LoadedModel): Promise<void> => {
  try {
    await device.run({ kind: 'unload', modelId: known.id });
  } catch (error) {
    if (device.poisonedReason === null) throw error;
  } finally {
    await side.close();
  }
};
