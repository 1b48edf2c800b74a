/** A request that links to a picture, from the client to the node. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startEdge, type Edge } from './start-edge.ts';

const png = Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex');
let nFetched = 0;
const pictures = createServer((_request, response) => {
  nFetched += 1;
  response.end(png);
});

let edge: Edge;
let link: string;
beforeAll(async () => {
  await new Promise<void>((resolve) => pictures.listen(0, '127.0.0.1', resolve));
  link = `http://127.0.0.1:${(pictures.address() as AddressInfo).port}/a.png`;
  edge = await startEdge({
    config: '[images]\nallow_remote = true\n',
    nNodes: 2,
    model: { capabilities: ['text', 'vision'] },
    fleet: { seeing: ['m'] },
    images: { allows: () => true },
  });
});
afterAll(async () => {
  await edge.close();
  pictures.close();
});
beforeEach(() => {
  nFetched = 0;
});

const ask = (model: string): Promise<Response> =>
  fetch(`${edge.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model,
      messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: link, detail: 'low' } }] }],
    }),
  });

describe('a linked picture', () => {
  it('is fetched once, however many nodes are tried, and no node ever sees the link', async () => {
    edge.node.faults.push({ kind: 'status', status: 500 });
    expect((await ask('m')).status).toBe(200);
    expect(nFetched).toBe(1);
    for (const node of edge.nodes) {
      expect(node.seen).toHaveLength(1);
      const { messages } = JSON.parse(node.seen[0]?.body ?? '') as { messages: unknown };
      const url = `data:image/png;base64,${png.toString('base64')}`;
      expect(messages).toEqual([{ role: 'user', content: [{ type: 'image_url', image_url: { url, detail: 'low' } }] }]);
    }
  });

  it('is not fetched for a request that nobody can serve', async () => {
    expect((await ask('alias')).status).toBe(400);
    expect((await ask('nope')).status).toBe(404);
    expect(nFetched).toBe(0);
  });
});
