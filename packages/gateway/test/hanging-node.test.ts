/** A node that hangs: it takes connections and requests, and answers nothing any more, looks included. */
import { afterEach, describe, expect, it } from 'vitest';
import type { Gateway } from '../src/main.ts';
import type { FakeNeuron } from './fake-neuron/fake-neuron.ts';
import { newModel } from './fake-neuron/settings.ts';
import { ask, type Outcome } from './protocols.ts';
import { closeAll, get, loaded, neuron, nodesUp, start, until } from './whole-gateway.ts';

afterEach(closeAll);

const complete: Outcome = { kind: 'answered', complete: true };

const reachOf = async (gateway: Gateway, name: string): Promise<string | undefined> => {
  const { nodes } = (await get(`${gateway.url}/api/fleet`)) as { nodes: { name: string; reach: string }[] };
  return nodes.find((node) => node.name === name)?.reach;
};

/** With a prefill that does not end before it is told to. */
const holding = (name: string): Promise<FakeNeuron> => neuron(name, [newModel('m', { status: 'loaded', hold: true })]);

describe('a node that hangs', () => {
  it('gets no new request once a look at it is late, and loses none that had gone there', async () => {
    const [a, b] = [await neuron('a', loaded()), await neuron('b', loaded())];
    // Looks may take for ever: nothing but their being late is what counts here.
    const gateway = await start([a, b], 'timeout_secs = 600\n');
    await nodesUp(gateway, 2);
    a.hangs = true;
    await until(async () => (await reachOf(gateway, 'a')) === 'silent');
    const nSeen = a.seen.length;
    const outcomes = await Promise.all(Array.from({ length: 10 }, () => ask(gateway.url, 'chat', 'stream')));
    expect(outcomes).toEqual(outcomes.map(() => complete));
    const { candidates } = (await get(`${gateway.url}/api/route?model=m`)) as { candidates: object[] };
    expect(candidates).toContainEqual({ node: 'a', verdict: 'rejected', reason: 'is late with its answer to a look' });
    b.hangs = true;
    await until(async () => (await reachOf(gateway, 'b')) === 'silent');
    const waiting = ask(gateway.url, 'chat', 'whole');
    a.hangs = false;
    expect(await waiting).toEqual(complete);
    expect(a.seen.length).toBe(nSeen + 1);
  });

  it.each(['stream', 'whole'] as const)('has what it was asked before given to another: %s', async (how) => {
    const [a, b] = [await holding('a'), await holding('b')];
    const gateway = await start([a, b], 'timeout_secs = 1\n');
    await nodesUp(gateway, 2);
    const outcome = ask(gateway.url, 'messages', how);
    await until(async () => a.nInFlight + b.nInFlight === 1);
    const [hung, other] = a.nInFlight === 1 ? [a, b] : [b, a];
    hung.hangs = true;
    await until(async () => other.nInFlight === 1);
    other.model('m').hold = false;
    expect(await outcome).toEqual(complete);
    await until(async () => hung.nAborted === 1);
  });

  it('keeps what nobody else can answer, and answers it when it goes on', async () => {
    const a = await holding('a');
    const gateway = await start([a], 'timeout_secs = 1\n');
    await nodesUp(gateway, 1);
    const outcome = ask(gateway.url, 'chat', 'stream');
    await until(async () => a.nInFlight === 1);
    a.hangs = true;
    const nPolls = a.nPolls;
    await until(async () => (await reachOf(gateway, 'a')) === 'down');
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect([a.nInFlight, a.nPolls]).toEqual([1, nPolls]);
    a.model('m').hold = false;
    expect(await outcome).toEqual(complete);
  });
});
