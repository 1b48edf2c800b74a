/** Which of the ports that are wanted somebody else has, who that is, and by which flag another is chosen. */
import { createServer } from 'node:net';
import { CortexError } from '@cortex/core';
import { callJson } from '../api/http-call.ts';

export interface WantedPort {
  readonly host: string;
  /** 0 is never taken. */
  readonly port: number;
  readonly flag: string;
}

const canBind = ({ host, port }: WantedPort): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'EADDRINUSE'));
    server.listen(port, host, () => server.close(() => resolve(true)));
  });

const probeMs = 1000;

/** By what `/version` says; a neuron with a token tells nobody else what it is. Null for anything else. */
export const whoAnswers = async (
  host: string,
  port: number,
): Promise<'cortex' | 'neuron' | 'program that wants a token' | null> => {
  const reachable = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  const url = `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`;
  const signal = AbortSignal.timeout(probeMs);
  const version = await callJson({ url }, { method: 'GET', path: '/version', signal }).catch(
    (thrown: unknown) => thrown,
  );
  if (version instanceof CortexError && version.code === 'invalid_api_key') return 'program that wants a token';
  const name = typeof version === 'object' && version !== null && 'name' in version ? version.name : null;
  return name === 'cortex' || name === 'neuron' ? name : null;
};

const another = (port: number): number => (port + 100 <= 65_535 ? port + 100 : port - 100);

/** A line for each that is taken. */
export const takenPorts = async (wanted: readonly WantedPort[]): Promise<readonly string[]> => {
  const lines: string[] = [];
  for (const one of wanted) {
    const { host, port, flag } = one;
    if (port === 0 || (await canBind(one))) continue;
    const who = await whoAnswers(host, port);
    const hint = who === 'cortex' ? ' (cortex status shows it)' : '';
    const what = who === null ? 'something else listens there' : `a ${who} answers there${hint}`;
    lines.push(`port ${port} is taken: ${what}. Choose another, such as ${flag} ${another(port)}`);
  }
  return lines;
};
