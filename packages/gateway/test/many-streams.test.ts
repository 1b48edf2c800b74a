/** A thousand streams at once: none lost, none mixed up, and nothing left behind. */
import { readdirSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { eventually, startEdge, type Edge } from './start-edge.ts';

const nStreams = 1000;
const nTokens = 10;
/** Fewer than a listener's backlog, which drops what is beyond it; TCP tries that again only after seconds. */
const nConnecting = 100;
const waveMs = 150_000;

const nOpenFiles = (): number => readdirSync('/proc/self/fd').length;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const heapMb = (): number => {
  collect();
  return process.memoryUsage().heapUsed / 1e6;
};

interface Stream {
  readonly text: string;
  readonly nErrors: number;
}

/** Apart from comments that keep the stream alive. */
const tokensIn = (text: string): readonly string[] => text.match(/w\d+ /g) ?? [];

const readStream = (edge: Edge, agent: Agent, leaveAfter: number): Promise<Stream> =>
  new Promise((resolve, reject) => {
    const body = JSON.stringify({ model: 'm', stream: true, messages: [{ role: 'user', content: 'hello' }] });
    const headers = { 'content-type': 'application/json', 'content-length': body.length };
    const sent = request(`${edge.url}/v1/chat/completions`, { method: 'POST', agent, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (piece: string) => {
        text += piece;
        if (tokensIn(text).length >= leaveAfter) response.destroy();
      });
      response.once('close', () => resolve({ text, nErrors: text.split('"error"').length - 1 }));
    });
    sent.once('error', reject);
    sent.end(body);
  });

/** @param leaveAfter every fifth client leaves after so many tokens */
const wave = async (edge: Edge, leaveAfter: number): Promise<readonly Stream[]> => {
  const agent = new Agent({ keepAlive: true, maxSockets: nStreams });
  const model = edge.node.model('m');
  model.hold = true;
  const streams: Promise<Stream>[] = [];
  try {
    while (streams.length < nStreams) {
      const i = streams.length;
      streams.push(readStream(edge, agent, i % 5 === 0 ? leaveAfter : Infinity));
      if (streams.length % nConnecting === 0) await eventually(() => edge.node.nInFlight === streams.length, waveMs);
    }
    model.hold = false;
    return await Promise.all(streams);
  } finally {
    agent.destroy();
  }
};

const complete = Array.from({ length: nTokens }, (_, i) => `w${i} `);

it.skipIf(process.platform !== 'linux')(
  'holds a thousand streams at once and is back to where it was after them (needs /proc)',
  async () => {
    const edge = await startEdge({
      // A thousand connections at once may take a busy machine longer than the ordinary deadline.
      config: '[proxy]\nconnect_timeout_secs = 60\n',
      model: { token_ms: 5, tokens: nTokens },
    });
    try {
      await wave(edge, Infinity);
      await eventually(() => edge.node.nSockets === 0, 15_000);
      const before = { files: nOpenFiles(), heapMb: heapMb() };
      const streams = await wave(edge, 3);
      for (const [i, stream] of streams.entries()) {
        expect(stream.nErrors).toBe(0);
        if (i % 5 === 0) continue;
        expect(tokensIn(stream.text)).toEqual(complete);
        expect(stream.text.endsWith('data: [DONE]\n\n')).toBe(true);
      }
      await eventually(() => edge.node.nInFlight === 0 && edge.fleet.nLeased === 0);
      // Idle connections to the node are closed after a few seconds.
      await eventually(() => edge.node.nSockets === 0, 15_000);
      await eventually(() => nOpenFiles() <= before.files + 5, 5000);
      edge.node.seen.length = 0;
      edge.fleet.requests.length = 0;
      expect(heapMb() - before.heapMb).toBeLessThan(8);
    } finally {
      await edge.close();
    }
  },
  2 * waveMs + 60_000,
);
