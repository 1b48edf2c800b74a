/**
 * Who may take whose memory, by `residency_priority` of models.toml. A priority is a class, not a rank: a model may
 * displace residents of its own class and below, so models that take turns share a number, and one is protected by
 * standing above whatever must not evict it.
 */
import { residencyPriorityDefault, type ModelProfile } from '@cortex/core';
import type { ModelOnNode } from './topology.ts';

export const residencyClass = (profile: ModelProfile | undefined): number =>
  profile?.residency_priority ?? residencyPriorityDefault;

interface Pinnable extends Pick<ModelOnNode, 'pin'> {
  readonly node: { readonly name: string };
}

/** Pinned: an operator said so, or `pinned_on` names the node and no class was written. Nothing may evict it there. */
export const isPinned = (profile: ModelProfile | undefined, { pin, node }: Pinnable): boolean =>
  pin ?? (profile !== undefined && profile.residency_priority === undefined && profile.pinned_on.includes(node.name));

export const mayDisplace = (incoming: ModelProfile | undefined, resident: ModelProfile | undefined): boolean =>
  residencyClass(incoming) >= residencyClass(resident);
