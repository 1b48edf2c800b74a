/** The errors of routing, each with the facts that help the caller out: what would work, and when. */
import { CortexError } from '@cortex/core';
import { describeModel, isKnownModel, listNames } from './catalogue.ts';
import { circuitOpensMs } from './circuit.ts';
import { nearestNames } from './nearest-names.ts';
import type { Site } from './place-model.ts';
import type { ModelOnNode, NodeView, Topology } from './topology.ts';

const namesMax = 16;

const retryUnseenSecs = 5;

/** Before any node has been heard of, nobody can say which models there are. */
const noneSeen = (nodes: readonly NodeView[], name: string): CortexError => {
  const why = nodes
    .slice(0, namesMax)
    .map((node) => `${node.name}: ${node.downReason ?? 'not polled yet'}`)
    .join('; ');
  const message = `No node has answered yet, so that nobody knows whether there is a model '${name}' (${why}).`;
  return new CortexError('no_healthy_node', message, {
    facts: { model_id: name },
    retryAfterSecs: retryUnseenSecs,
  });
};

/** For a name that leads to no known model. */
export const unknownModel = (topology: Topology, asked: string): CortexError => {
  const name = asked.slice(0, 256);
  const nodes = [...topology.nodes.values()];
  if (nodes.length > 0 && nodes.every(({ polledMs }) => polledMs === -Infinity)) return noneSeen(nodes, name);
  const names = listNames(topology);
  const nearest = nearestNames(asked, names);
  const hint =
    nearest.length > 0
      ? ` Did you mean ${nearest.map((near) => `'${near}'`).join(' or ')}?`
      : names.length > 0
        ? ` There are: ${names.slice(0, namesMax).join(', ')}.`
        : ' No node has any model.';
  return new CortexError('model_not_found', `The model '${name}' does not exist here.${hint}`, {
    param: 'model',
    facts: { model_id: name, suggestions: nearest },
  });
};

const noEntries: readonly ModelOnNode[] = [];

const entriesOf = (topology: Topology, id: string): readonly ModelOnNode[] => topology.byModel.get(id) ?? noEntries;

const maySee = (topology: Topology, id: string): boolean => {
  const entries = entriesOf(topology, id);
  if (entries.length > 0) return entries.some((entry) => entry.maySee);
  return topology.profiles.get(id)?.capabilities?.includes('vision') ?? true;
};

const seeingModels = (topology: Topology): readonly string[] => {
  const able: string[] = [];
  for (const name of listNames(topology)) {
    if (able.length === namesMax) break;
    if (describeModel(topology, name)?.capabilities.includes('vision') === true) able.push(name);
  }
  return able;
};

export const visionUnsupported = (topology: Topology, id: string): CortexError => {
  const able = seeingModels(topology);
  const suggestion =
    able.length > 0
      ? `Send it to a model that can see: ${able.join(', ')}.`
      : 'Leave the images out: no model of this fleet can see.';
  return new CortexError('vision_unsupported', `The model '${id}' cannot see images. ${suggestion}`, {
    param: 'model',
    facts: { model_id: id, suggestion, models: able },
  });
};

const contextMaxOf = (topology: Topology, id: string): number => {
  const entries = entriesOf(topology, id);
  if (entries.length === 0) return topology.profiles.get(id)?.limit?.context ?? Infinity;
  return entries.reduce((most, entry) => Math.max(most, entry.contextMax), 0);
};

/** What no node could ever serve, so that it is refused before anything is loaded for it; null when all is well. */
export const refuseRequest = (
  topology: Topology,
  id: string,
  request: { readonly needsVision: boolean; readonly tokensMin: number },
): CortexError | null => {
  if (request.needsVision && !maySee(topology, id)) return visionUnsupported(topology, id);
  // Most requests fit the first node asked about; only those that do not are worth looking at all of them.
  if ((entriesOf(topology, id)[0]?.contextMax ?? 0) >= request.tokensMin) return null;
  const limit = contextMaxOf(topology, id);
  if (request.tokensMin <= limit) return null;
  return new CortexError(
    'context_length_exceeded',
    `The request needs at least ${request.tokensMin} tokens; the context of '${id}' is ${limit}.`,
    { facts: { model_id: id, limit, got: request.tokensMin } },
  );
};

const secsUntil = (untilMs: number, nowMs: number): number => Math.max(1, Math.ceil((untilMs - nowMs) / 1000));

const whyNot = (sites: readonly Site[]): string =>
  sites
    .slice(0, namesMax)
    .map((site) => `${site.node.name}: ${site.reason}`)
    .join('; ');

/** No node can take the model, now or soon: what stands in the way, the most hopeful first. */
export const refusePlacement = (topology: Topology, id: string, sites: readonly Site[], nowMs: number): CortexError => {
  const cooling = sites.filter((site) => site.kind === 'cooling');
  const soonest = cooling.toSorted((a, b) => a.coolDown.untilMs - b.coolDown.untilMs)[0];
  if (soonest !== undefined) {
    const { error, untilMs } = soonest.coolDown;
    const retryAfterSecs = secsUntil(untilMs, nowMs);
    return new CortexError(error.code, `Loading '${id}' on ${soonest.node.name} failed: ${error.message}`, {
      facts: { ...error.facts, model_id: id, node: soonest.node.name, retry_after_secs: retryAfterSecs },
      retryAfterSecs,
      cause: error,
    });
  }
  const unreachable = sites.filter((site) => site.kind === 'unreachable');
  if (unreachable.length > 0) {
    const opensMs = Math.min(...unreachable.map((site) => circuitOpensMs(site.node.circuit)));
    return new CortexError('no_healthy_node', `No healthy node for '${id}' (${whyNot(unreachable)}).`, {
      facts: { model_id: id },
      retryAfterSecs: secsUntil(opensMs, nowMs),
    });
  }
  const occupied = sites.filter((site) => site.kind === 'occupied');
  if (occupied.length > 0)
    return new CortexError('insufficient_vram', `No node has the memory for '${id}' (${whyNot(occupied)}).`, {
      facts: { model_id: id },
      retryAfterSecs: 10,
    });
  const broken = sites.filter((site) => site.kind === 'broken');
  if (broken.length > 0)
    return new CortexError('device_poisoned', `Nothing is left that could serve '${id}' (${whyNot(broken)}).`, {
      facts: { model_id: id, nodes: broken.map(({ node }) => node.name) },
      retryAfterSecs: 60,
    });
  if (sites.length === 0 || !isKnownModel(topology, id)) return unknownModel(topology, id);
  return new CortexError('model_not_found', `No node can load '${id}' (${whyNot(sites)}).`, {
    param: 'model',
    facts: { model_id: id },
  });
};
