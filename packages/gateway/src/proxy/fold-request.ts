/**
 * Late system turns, for an engine that has just refused them. Neurons fit a conversation to their templates
 * themselves, and a client that speaks chat is given the engine's own word.
 */
import type { ChatMessage, CortexError } from '@cortex/core';
import type { Target } from '../fleet/contract.ts';
import type { JsonObject } from '../translate/contract.ts';
import { foldLateSystem, hasLateSystem, refusesLateSystem } from '../translate/system-turns.ts';
import type { Exchange } from './exchange.ts';

/** The request as the engine may take it; null where folding is not the answer to what it said. */
export const foldedFor = (
  target: Target,
  { translation }: Exchange,
  request: JsonObject,
  refusal: CortexError,
): JsonObject | null => {
  if (target.kind !== 'upstream' || translation.reply.kind !== 'translated') return null;
  if (!refusesLateSystem(refusal.message)) return null;
  // Written by our own translators.
  const messages = request['messages'] as readonly ChatMessage[];
  return hasLateSystem(messages) ? { ...request, messages: foldLateSystem(messages) } : null;
};
