/**
 * `/` for browsers: the page and its files. They are open to everybody, hold nothing of the fleet and ask the API with
 * the key that a person types; whoever is no browser gets the version at `/`, as from any server of these protocols.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { CortexError } from '@cortex/core';
import { restOfPath, type Route } from '../context.ts';
import type { Encoding, PageFile, PageFiles } from '../page-files.ts';

/** Nothing from elsewhere, nothing inline, nowhere to send anything but here, and no page around this one. */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' blob: data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

const guards = {
  'content-security-policy': policy,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), microphone=(), geolocation=(), payment=(), usb=()',
} as const;

const notBuilt = `The page of this cortex has not been built; the API works without it.

In the repository:  npm run build
`;

const encodings: readonly Encoding[] = ['br', 'gzip'];

/** What the client takes and the build made. A quality of 0 is a refusal; other qualities are not weighed. */
const encodingFor = (file: PageFile, accepted: string): Encoding | null => {
  const parts = accepted.toLowerCase().split(',');
  const wanted = parts.map((part) => part.trim()).filter((part) => !/;\s*q=0(?:\.0*)?$/.test(part));
  const taken = new Set(wanted.map((part) => part.split(';')[0]?.trim()));
  return encodings.find((encoding) => file.packed[encoding] !== undefined && taken.has(encoding)) ?? null;
};

const knows = ({ 'if-none-match': known }: IncomingHttpHeaders, etag: string): boolean =>
  known !== undefined && (known === '*' || known.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag));

const send = (request: FastifyRequest, reply: FastifyReply, file: PageFile, caching: string): FastifyReply => {
  void reply.headers({ ...guards, etag: file.etag, 'cache-control': caching, vary: 'accept, accept-encoding' });
  if (knows(request.headers, file.etag)) return reply.code(304).send();
  const encoding = encodingFor(file, request.headers['accept-encoding'] ?? '');
  if (encoding !== null) void reply.header('content-encoding', encoding);
  return reply.type(file.type).send((encoding === null ? undefined : file.packed[encoding]) ?? file.plain);
};

const wantsPage = ({ accept = '' }: IncomingHttpHeaders): boolean => accept.includes('text/html');

export const pageRoutes = (files: PageFiles): readonly Route[] => [
  {
    method: 'GET',
    url: '/',
    access: 'open',
    handle: (context, request, reply) => {
      // `HEAD /` is how Claude Code asks whether somebody is there.
      if (!wantsPage(request.headers)) {
        void reply.header('vary', 'accept');
        return { ...context.version, api: ['/v1/models', '/v1/chat/completions', '/v1/messages', '/health'] };
      }
      const index = files.get('index.html');
      if (index === undefined) return reply.code(503).type('text/plain; charset=utf-8').send(notBuilt);
      return send(request, reply, index, 'no-cache');
    },
  },
  {
    method: 'GET',
    url: '/assets/*',
    access: 'open',
    handle: (_context, request, reply) => {
      const file = files.get(`assets/${restOfPath(request)}`);
      if (file === undefined) throw new CortexError('not_found', 'there is no such file of the page here');
      // The name holds a hash of what is in it.
      return send(request, reply, file, 'public, max-age=31536000, immutable');
    },
  },
];
