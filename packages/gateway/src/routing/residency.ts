/**
 * Who may take whose memory, by `residency_priority` of models.toml. A priority is a class, not a rank: a model may
 * displace residents of its own class and below, so models that take turns share a number, and one is protected by
 * standing above whatever must not evict it.
 */
import { residencyPriorityDefault, type ModelProfile } from '@cortex/core';

export const residencyClass = (profile: ModelProfile | undefined): number =>
  profile?.residency_priority ?? residencyPriorityDefault;

/** Pinned: `pinned_on` names the node and no class was written, so nothing may evict it there. */
export const isPinned = (profile: ModelProfile | undefined, node: string): boolean =>
  profile !== undefined && profile.residency_priority === undefined && profile.pinned_on.includes(node);

export const mayDisplace = (incoming: ModelProfile | undefined, resident: ModelProfile | undefined): boolean =>
  residencyClass(incoming) >= residencyClass(resident);
