/** The neuron on this machine as `cortex up` looks at it: what it has found, and how far its first models are. */
import { setTimeout as delay } from 'node:timers/promises';
import {
  CortexError,
  describeIssue,
  discoverySchema,
  healthSchema,
  nodeModelsSchema,
  type Health,
  type NodeModel,
} from '@cortex/core';
import { callJson, type Endpoint } from '../api/http-call.ts';
import { LiveLine } from '../terminal/live-line.ts';
import { durationText } from '../terminal/quantities.ts';
import type { Terminal } from '../terminal/terminal.ts';
import type { Found } from './up-report.ts';

const lookMs = 150;

type Schema<T> = {
  safeParse(body: unknown): { success: true; data: T } | { success: false; error: Parameters<typeof describeIssue>[0] };
};

/** An answer of a neuron. @throws CortexError also when it is not of the form it should be. */
export const askNeuron = async <T>(
  neuron: Endpoint,
  path: string,
  schema: Schema<T>,
  signal?: AbortSignal,
): Promise<T> => {
  const body = await callJson(neuron, { method: 'GET', path, ...(signal === undefined ? {} : { signal }) });
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  throw new CortexError('upstream_error', `${neuron.url}${path}: ${describeIssue(parsed.error).message}`);
};

export const lookAtNeuron = async (neuron: Endpoint): Promise<Found> => ({
  discovery: await askNeuron(neuron, '/discovery', discoverySchema),
  health: await askNeuron(neuron, '/health', healthSchema),
  models: await askNeuron(neuron, '/models', nodeModelsSchema),
});

const show = (line: LiveLine, model: NodeModel): void => {
  const { progress } = model;
  const left =
    progress?.eta_secs === null || progress?.eta_secs === undefined
      ? ''
      : `, ${durationText(progress.eta_secs * 1000)} left`;
  line.show(
    `  loading  ${model.id}`,
    progress?.fraction ?? 0,
    progress === null || progress === undefined ? '' : `${progress.phase}${left}`,
  );
};

/** Resolves when each of its first models is loaded or has failed, with how that went. */
export const untilActivated = async (
  neuron: Endpoint,
  terminal: Terminal,
  stopped: AbortSignal,
): Promise<Health['activation']> => {
  const line = new LiveLine(terminal);
  for (;;) {
    try {
      const { activation } = await askNeuron(neuron, '/health', healthSchema, stopped);
      if (activation.state !== 'loading') {
        line.clear();
        return activation;
      }
      const models = await askNeuron(neuron, '/models', nodeModelsSchema, stopped);
      const loading = models.find(({ status }) => status === 'loading');
      if (loading !== undefined) show(line, loading);
    } catch (thrown) {
      // It may die of a load, and another takes its place.
      if (!(thrown instanceof CortexError) || thrown.code !== 'upstream_disconnected') throw thrown;
    }
    await delay(lookMs, undefined, { signal: stopped });
  }
};
