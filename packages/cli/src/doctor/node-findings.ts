/** Whether each neuron of the settings answers, and what the running gateway says of its fleet. */
import { CortexError, healthSchema, type FleetSnapshot } from '@cortex/core';
import type { GatewayConfig } from '@cortex/gateway';
import type { GatewayApi } from '../api/gateway-api.ts';
import { askNeuron } from '../up/local-neuron.ts';
import { counted, durationText } from '../terminal/quantities.ts';
import type { Finding } from './finding.ts';

const patienceMs = 5000;

const why = (thrown: unknown): string =>
  thrown instanceof Error && thrown.name === 'TimeoutError'
    ? `no answer within ${patienceMs / 1000} s`
    : CortexError.from(thrown).message;

/** By what came instead of an answer: nothing, a refusal, or something that no neuron says. */
const remedyFor = (thrown: unknown, url: string): string => {
  const { hostname, port } = new URL(url);
  const code = thrown instanceof CortexError ? thrown.code : null;
  if (code === 'invalid_api_key' || code === 'forbidden')
    return 'neuron_token in cortex.toml has to be the secret whose hash stands as token in its neuron.toml';
  if (code === 'upstream_error' || code === 'not_found')
    return 'that is no neuron: look at its endpoint in cortex.toml';
  return `start it there (neuron serve --port ${port}), and let ${hostname}:${port} through its firewall`;
};

const neuronFinding = async (name: string, url: string, apiKey: string | undefined): Promise<Finding> => {
  const subject = 'neuron';
  const startedMs = performance.now();
  try {
    const endpoint = { url, ...(apiKey === undefined ? {} : { apiKey }) };
    const health = await askNeuron(endpoint, '/health', healthSchema, AbortSignal.timeout(patienceMs));
    const poisoned = health.devices.filter((device) => device.poisoned);
    const [group] = health.broken_groups ?? [];
    const took = durationText(performance.now() - startedMs);
    if (poisoned.length === 0 && group === undefined)
      return { level: 'ok', subject, text: `${name} (${url}) answers in ${took}` };
    const what =
      group === undefined ? counted(poisoned.length, 'device') : `devices ${group.devices.join(', ')} taken together`;
    const cause = group?.reason ?? poisoned[0]?.poisoned_reason ?? '?';
    const text = `${name} (${url}): ${what} out of service: ${cause}`;
    return { level: 'broken', subject, text, remedy: 'restart that neuron; if it happens again, look at its log' };
  } catch (thrown) {
    return { level: 'broken', subject, text: `${name} (${url}): ${why(thrown)}`, remedy: remedyFor(thrown, url) };
  }
};

/** All at once: a dead one takes its whole patience. */
export const neuronFindings = ({ cortex }: GatewayConfig): Promise<readonly Finding[]> =>
  Promise.all(cortex.neurons.map(({ name, endpoint }) => neuronFinding(name, endpoint, cortex.gateway.neuron_token)));

const fleetFindings = (fleet: FleetSnapshot, url: string): readonly Finding[] => {
  const subject = 'gateway';
  const down = fleet.nodes.filter(({ reach }) => reach === 'down');
  const up = fleet.nodes.length - down.length;
  return [
    { level: 'ok', subject, text: `${url} answers; ${up} of ${counted(fleet.nodes.length, 'node')} up` },
    ...down.map(({ name, down_reason: reason }): Finding => ({
      level: 'broken',
      subject,
      text: `it cannot reach ${name}: ${reason ?? '?'}`,
      remedy: 'start the neuron there, or look at the network between the two',
    })),
  ];
};

/** That no gateway runs is no fault, unless one was named. */
export const gatewayFindings = async (gateway: GatewayApi, wasNamed: boolean): Promise<readonly Finding[]> => {
  try {
    return fleetFindings(await gateway.fleet(), gateway.endpoint.url);
  } catch (thrown) {
    const text = CortexError.from(thrown).message.split('\n')[0] ?? '';
    const level =
      wasNamed || !(thrown instanceof CortexError) || thrown.code !== 'upstream_disconnected' ? 'broken' : 'note';
    const remedy = level === 'note' ? 'cortex up starts one' : 'look at its address, and at the key';
    return [{ level, subject: 'gateway', text, remedy }];
  }
};
