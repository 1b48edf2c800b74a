/** `cortex load`: a model into memory now, with its progress. Who stops waiting does not stop the load. */
import { setTimeout as delay } from 'node:timers/promises';
import type { FleetSnapshot } from '@cortex/core';
import { Command } from 'commander';
import { gatewayOf, withClientOptions, type ClientOptions } from '../api/client-options.ts';
import type { GatewayApi } from '../api/gateway-api.ts';
import type { CommandParts } from '../command-parts.ts';
import { LiveLine } from '../terminal/live-line.ts';
import { durationText } from '../terminal/quantities.ts';
import { exampleModel } from '../example-model.ts';

interface LoadOptions extends ClientOptions {
  readonly node?: string;
}

const lookMs = 250;

/** How far the load of a model is; null while none is to be seen. */
const loadProgress = (
  fleet: FleetSnapshot,
  model: string,
): { readonly fraction: number; readonly details: string } | null => {
  const id = fleet.models.find((one) => one.id === model)?.alias_of ?? model;
  const plan = fleet.plans.find((one) => one.model === id);
  if (plan === undefined) return null;
  const left = plan.eta_secs === null ? '' : `, ${durationText(plan.eta_secs * 1000)} left`;
  return { fraction: plan.fraction, details: `${plan.phase} on ${plan.node}${left}` };
};

const watchLoad = async (gateway: GatewayApi, model: string, line: LiveLine, ended: AbortSignal): Promise<void> => {
  while (!ended.aborted) {
    const fleet = await gateway.fleet(ended).catch(() => null);
    const progress = fleet === null ? null : loadProgress(fleet, model);
    if (progress !== null && !ended.aborted) line.show(`loading ${model}`, progress.fraction, progress.details);
    await delay(lookMs, undefined, { signal: ended }).catch(() => undefined);
  }
};

const load = async (parts: CommandParts, model: string, options: LoadOptions): Promise<void> => {
  const gateway = gatewayOf(options, parts.env);
  const line = new LiveLine(parts.err);
  const ended = new AbortController();
  const startedMs = performance.now();
  const watching = watchLoad(gateway, model, line, ended.signal);
  try {
    const node = await gateway.load(model, options.node, parts.interruption());
    parts.out.line(`${model} is loaded on ${node} (${durationText(performance.now() - startedMs)})`);
  } finally {
    ended.abort();
    await watching;
    line.clear();
  }
};

export const loadCommand = (parts: CommandParts): Command =>
  withClientOptions(new Command('load'))
    .description('Load a model, making room for it as for a request. Ctrl-C stops waiting, not the load.')
    .argument('<model>', 'as cortex models lists it')
    .option('-n, --node <name>', 'there, instead of where it fits best')
    .addHelpText('after', `\nExamples:\n  cortex load ${exampleModel}\n  cortex load ${exampleModel} --node beast`)
    .action((model: string, options: LoadOptions) => load(parts, model, options));
