/**
 * The least a proxy in Node can be: bytes in, bytes out, one node, no questions. The benchmark's yardstick for what a
 * second hop costs by itself. `bare-proxy.ts PORT NODE_URL`
 */
import { createServer } from 'node:http';
import { Pool } from 'undici';

const [port = '0', node = 'http://127.0.0.1:13131'] = process.argv.slice(2);
const pool = new Pool(node, { connections: 4096, headersTimeout: 0, bodyTimeout: 0 });

createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const headers = { 'content-type': 'application/json' };
    pool.dispatch(
      { method: 'POST', path: request.url ?? '/', headers, body: Buffer.concat(chunks) },
      {
        onRequestStart: () => undefined,
        onResponseStart: (_controller, status, found) =>
          void response.writeHead(status, { 'content-type': String(found['content-type']) }),
        onResponseData: (_controller, chunk) => void response.write(chunk),
        onResponseEnd: () => void response.end(),
        onResponseError: () => void response.destroy(),
      },
    );
  });
}).listen(Number(port), '127.0.0.1');
