/** Serves `/metrics` on its own address, so that the API's port can be public and this one not. */
import { createServer, type Server } from 'node:http';
import type { ListenAddress } from '@cortex/core';
import type { GatewayMetrics } from './gateway-metrics.ts';

export interface MetricsServer {
  readonly port: number;
  close(): Promise<void>;
}

const listen = (server: Server, address: ListenAddress): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(address.port, address.host, resolve);
  });

/** @throws Node's `EADDRINUSE`, `EACCES`, … */
export const serveMetrics = async (metrics: GatewayMetrics, address: ListenAddress): Promise<MetricsServer> => {
  const server = createServer((request, response) => {
    const path = request.url?.split('?')[0];
    if (path !== '/metrics' || (request.method !== 'GET' && request.method !== 'HEAD')) {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('GET /metrics\n');
      return;
    }
    metrics.text().then(
      (text) => response.writeHead(200, { 'content-type': metrics.contentType }).end(text),
      (error: unknown) => response.writeHead(500, { 'content-type': 'text/plain' }).end(`${String(error)}\n`),
    );
  });
  await listen(server, address);
  const bound = server.address();
  return {
    port: typeof bound === 'object' && bound !== null ? bound.port : address.port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
};
