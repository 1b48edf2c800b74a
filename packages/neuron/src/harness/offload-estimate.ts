/** Whether several devices and the host could have the layers of a model: an estimate, for the load decides by each layer. */
import type { Device } from '../device/contract.ts';
import { kvShareOf, type MemoryLimits, type MemoryNeeds, type MemoryParts } from '../model/memory-plan.ts';

const sum = (all: readonly number[]): number => all.reduce((total, n) => total + n, 0);

/** The host is no help to a device that is itself in its memory alone. */
export const isAccelerator = ({ info }: Pick<Device, 'info'>): boolean => info.backend !== 'cpu';

/** @param rooms bytes of each device, and last of the host */
export const fitsInLayers = ({ weights, kv, state, compute, tower }: MemoryParts, rooms: readonly number[]): boolean =>
  sum(rooms.map((room) => Math.max(0, room - compute))) >= weights + kv + state + tower;

/** Needs and limits as of one device that has the memory of all: each computes with as much as one that has every layer. */
export const joined = (
  needs: MemoryNeeds,
  limits: Omit<MemoryLimits, 'freeBytes' | 'kvShare'>,
  rooms: readonly number[],
): { readonly needs: MemoryNeeds; readonly limits: MemoryLimits } => ({
  needs: { ...needs, computeBytes: (contextMax) => rooms.length * needs.computeBytes(contextMax) },
  limits: { ...limits, freeBytes: sum(rooms), kvShare: kvShareOf('host') },
});
