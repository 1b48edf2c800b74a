/** Gateways that list each other as upstreams, directly and around a corner: no loops, and no models that nobody has. */
import { createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import type { Gateway } from '../src/main.ts';
import type { FakeNeuron } from './fake-neuron/fake-neuron.ts';
import { ask } from './protocols.ts';
import { closeAll, get, loaded, neuron, start, states, until } from './whole-gateway.ts';

afterEach(closeAll);

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
};

/** Each lists the next one as an upstream, the last one the first; only the first has a neuron. */
const ring = async (n: number): Promise<{ gateways: readonly Gateway[]; node: FakeNeuron }> => {
  const node = await neuron('a', loaded());
  const ports = await Promise.all(Array.from({ length: n }, freePort));
  const gateways: Gateway[] = [];
  for (const [i, port] of ports.entries()) {
    const next = `[[upstreams]]\nname = "next"\nendpoint = "http://127.0.0.1:${ports[(i + 1) % n]}"\n`;
    gateways.push(await start(i === 0 ? [node] : [], next, '', 0.05, port));
  }
  return { gateways, node };
};

const placesOf = async (gateway: Gateway): Promise<readonly string[]> => {
  const { data } = (await get(`${gateway.url}/v1/models`)) as { data: { nodes: { name: string }[] }[] };
  return data.flatMap(({ nodes }) => nodes.map(({ name }) => name));
};

describe.each([2, 3])('%i gateways in a ring', (n) => {
  it('serve what one of them has, list it where it is, and forget it together with its node', async () => {
    const { gateways, node } = await ring(n);
    const each = async (holds: (gateway: Gateway) => Promise<boolean>): Promise<boolean> =>
      (await Promise.all(gateways.map(holds))).every(Boolean);
    await until(() => each(async (gateway) => (await states(gateway))['m'] === 'loaded'));
    // Long enough for every list to have gone round.
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(await Promise.all(gateways.map(placesOf))).toEqual(gateways.map((_, i) => [i === 0 ? 'a' : 'next']));
    for (const gateway of gateways)
      expect(await ask(gateway.url, 'messages', 'stream')).toEqual({ kind: 'answered', complete: true });
    expect(node.seen.at(-1)?.headers['via']).toMatch(/^1\.1 cortex-\w+, 1\.1 cortex-\w+/);
    await node.stop();
    await until(() => each(async (gateway) => (await placesOf(gateway)).length === 0));
    const outcomes = await Promise.all(gateways.map((gateway) => ask(gateway.url, 'chat', 'whole')));
    for (const outcome of outcomes) expect(outcome).toMatchObject({ kind: 'refused' });
    await node.start();
    await until(() => each(async (gateway) => (await states(gateway))['m'] === 'loaded'));
  });

  it('send no request back to where it came from, and blame nobody for it', async () => {
    const { gateways, node } = await ring(n);
    const last = gateways.at(-1);
    await until(async () => last !== undefined && (await states(last))['m'] === 'loaded');
    await node.stop();
    // Before the news has gone round.
    const outcomes = await Promise.all(gateways.map((gateway) => ask(gateway.url, 'chat', 'whole')));
    for (const outcome of outcomes) expect(outcome).toMatchObject({ kind: 'refused' });
    const fleets = await Promise.all(gateways.map((gateway) => get(`${gateway.url}/api/fleet`)));
    const nodes = fleets.flatMap((fleet) => fleet['nodes'] as { name: string; circuit: string }[]);
    expect(nodes.filter(({ name }) => name === 'next').map(({ circuit }) => circuit)).toEqual(
      gateways.map(() => 'closed'),
    );
  });
});
