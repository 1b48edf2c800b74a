/** `cortex.toml`: every setting of the gateway. Keys, types, defaults and the example file come from this schema. */
import { z } from 'zod';

const seconds = z.number().positive().max(86_400);
const count = z.int().min(1).max(1_000_000);
const nodeName = z.string().regex(/^[\w.-]{1,64}$/, 'letters, digits, dot, dash and underscore, at most 64 of them');

export interface ListenAddress {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
}

/** `127.0.0.1:31313`, `[::1]:31313`, `:31313` for every interface. */
export const listenSchema = z.string().transform((text, context): ListenAddress => {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]\s]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) {
    context.addIssue({ code: 'custom', message: `expected HOST:PORT, got ${JSON.stringify(text)}` });
    return z.NEVER;
  }
  return { host: match[1] ?? (match[2] === '' || match[2] === undefined ? '::' : match[2]), port };
});

/** A base URL as `http://host:port/prefix`, without a slash at its end. */
export const endpointSchema = z.string().transform((text, context): string => {
  const url = URL.canParse(text) ? new URL(text) : null;
  const plain = url !== null && url.username === '' && url.password === '' && url.search === '' && url.hash === '';
  if (!plain || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    const message = 'expected http://HOST:PORT or https://…, without user, query or fragment';
    context.addIssue({ code: 'custom', message });
    return z.NEVER;
  }
  return url.href.replace(/\/+$/, '');
});

const gatewaySchema = z.strictObject({
  listen: listenSchema.prefault('0.0.0.0:31313').describe('Address of the API, HOST:PORT.'),
  metrics_listen: listenSchema
    .prefault('0.0.0.0:31314')
    .describe('Address of the Prometheus metrics. They need no key: keep this port on the private network.'),
  require_auth: z.boolean().default(false).describe('Refuse every call that brings none of the [[keys]].'),
  neuron_token: z
    .string()
    .min(8)
    .optional()
    .describe('Sent to the neurons as "Authorization: Bearer ...": the token of their neuron.toml.')
    .meta({ examples: ['change-me-please'] }),
  browser_hosts: z
    .array(z.string().regex(/^[\w.-]{1,253}$/, 'a host name, without port'))
    .default([])
    .describe('Names by which browsers may call without a key, beside addresses and local names (DNS rebinding).'),
  body_limit_mb: z
    .int()
    .min(1)
    .max(1024)
    .default(64)
    .describe('Largest request body, as it was before it was compressed; images come inside it as base64.'),
  keepalive_secs: z
    .number()
    .min(0.05)
    .max(3600)
    .default(5)
    .describe('A stream that is silent for this long gets a sign of life, in the way of its protocol.'),
  whole_keepalive_secs: z
    .number()
    .min(0)
    .max(3600)
    .default(45)
    .describe('The same for answers that are not streamed: blank lines before the JSON, with status 200; 0 never.'),
  drain_secs: z.number().min(0).max(3600).default(60).describe('At shutdown, running requests get this long to end.'),
  log_level: z
    .enum(['fatal', 'error', 'warn', 'info', 'debug', 'silent'])
    .default('info')
    .describe('How much is logged, as JSON lines on standard output: one line for each request at info.'),
});

const proxySchema = z.strictObject({
  connect_timeout_secs: seconds.default(5).describe('A node must accept a connection within this.'),
  first_token_timeout_secs: seconds
    .default(300)
    .describe('Longest silence of a node before its first token. Its keepalive comments break the silence.'),
  token_gap_timeout_secs: seconds.default(60).describe('Longest silence of a node between two pieces of a stream.'),
  answer_timeout_secs: seconds
    .default(3600)
    .describe('An answer that is not streamed must be complete within this; nothing shows its progress before.'),
  attempts_max: z
    .int()
    .min(1)
    .max(16)
    .default(3)
    .describe('Nodes tried for one request, as long as none of its answer has been sent on.'),
  connections_per_node: count.default(4096).describe('Connections open to one node at once; more requests wait.'),
});

const queueSchema = z.strictObject({
  requests_max: count.default(1024).describe('Requests that may wait for a model; one more is answered 429.'),
  timeout_secs: seconds.default(600).describe('A request that waited this long is answered 503.'),
});

const pollerSchema = z.strictObject({
  interval_secs: z
    .number()
    .min(0.05)
    .max(3600)
    .default(2)
    .describe('A node that stops answering is out of routing within this; it is looked at a little more often.'),
  timeout_secs: seconds
    .default(2)
    .describe('A look that takes longer has failed: the node is down. While one is late, nothing new goes there.'),
});

const circuitSchema = z.strictObject({
  failures: z.int().min(1).max(1000).default(3).describe('Failed requests in a row that take a node out of routing.'),
  open_secs: seconds.default(5).describe('Until it is tried again; doubled on each further failure, up to 60 s.'),
});

const evictionSchema = z.strictObject({
  strategy: z
    .enum(['lru', 'priority'])
    .default('lru')
    .describe('Who makes room first: lru the longest unused, priority the lowest residency_priority, then the same.'),
  defrag_after_cycles: z
    .int()
    .min(0)
    .max(1_000_000)
    .default(0)
    .describe('Loads and unloads after which a node is shown as due for a restart (fragmented memory); 0 never.'),
  idle_unload_secs: z
    .number()
    .min(0)
    .max(31_536_000)
    .default(0)
    .describe('A model unused for this long is unloaded; 0 never. idle_unload_secs in models.toml stands over it.'),
});

const imagesSchema = z.strictObject({
  allow_remote: z
    .boolean()
    .default(false)
    .describe('Fetch image_url links of http and https, from public addresses only. Data URIs always work.'),
  remote_max: z.int().min(1).max(256).default(16).describe('Links fetched for one request.'),
  remote_limit_mb: z.int().min(1).max(1024).default(20).describe('Largest fetched image.'),
  remote_timeout_secs: seconds.default(15).describe('Time for all links of one request together.'),
  redirects_max: z.int().min(0).max(20).default(3).describe('Redirects followed, each checked like the first address.'),
});

const neuronSchema = z.strictObject({
  name: nodeName.describe('Its name in headers, logs, metrics and pinned_on.').meta({ examples: ['beast'] }),
  endpoint: endpointSchema.describe('Where it listens.').meta({ examples: ['http://10.0.0.5:13131'] }),
});

const upstreamSchema = z.strictObject({
  name: nodeName.describe('Its name, unlike that of any neuron.').meta({ examples: ['vllm'] }),
  endpoint: endpointSchema
    .transform((url) => url.replace(/\/v1$/, ''))
    .describe('Base URL, with /v1 or without: any OpenAI-compatible server (vLLM, llama-server, another cortex).')
    .meta({ examples: ['http://10.0.0.9:8000'] }),
  api_key: z
    .string()
    .min(1)
    .optional()
    .describe('Sent as "Authorization: Bearer ...".')
    .meta({ examples: ['sk-…'] }),
  max_in_flight: count
    .default(256)
    .describe('Requests at once for each of its models, which it does not tell; more wait here, or go elsewhere.'),
});

const keyHash = z.string().transform((text, context): string => {
  const hex = /^(?:sha256:)?([0-9a-fA-F]{64})$/.exec(text)?.[1];
  if (hex !== undefined) return hex.toLowerCase();
  context.addIssue({
    code: 'custom',
    message: 'expected sha256: and 64 hex digits, as `printf %s KEY | sha256sum` prints',
  });
  return z.NEVER;
});

const keySchema = z.strictObject({
  name: nodeName.describe('Who it is, in logs. The key itself is nowhere written.').meta({ examples: ['alice'] }),
  hash: keyHash
    .describe('SHA-256 of the key: sha256:<hex>.')
    .meta({ examples: ['sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae'] }),
  admin: z.boolean().default(false).describe('May also load and unload models and drain nodes.'),
  priority: z.int().min(-100).max(100).default(0).describe('Requests of a higher priority leave the queue first.'),
  max_concurrent: count
    .optional()
    .describe('Requests at once.')
    .meta({ examples: [8] }),
  tokens_per_minute: z
    .int()
    .min(1)
    .optional()
    .describe('Prompt and answer together.')
    .meta({ examples: [200_000] }),
  tokens_per_day: z
    .int()
    .min(1)
    .optional()
    .describe('The same over 24 hours.')
    .meta({ examples: [5_000_000] }),
});

const duplicate = (names: readonly string[]): number => names.findIndex((name, i) => names.indexOf(name) !== i);

export const cortexConfigSchema = z
  .strictObject({
    models_config: z
      .string()
      .min(1)
      .default('models.toml')
      .describe('The model catalogue; a relative path starts at this file. One of this name may be missing.'),
    gateway: gatewaySchema.prefault({}).describe('Who may call, and where.'),
    proxy: proxySchema
      .prefault({})
      .describe('Deadlines towards the nodes. Loading a model counts against none of them.'),
    queue: queueSchema.prefault({}).describe('Requests that wait while a model is placed and loaded.'),
    poller: pollerSchema.prefault({}).describe('How the gateway looks at its nodes.'),
    circuit: circuitSchema.prefault({}).describe('When a failing node is left alone.'),
    eviction: evictionSchema.prefault({}).describe('Which model makes room for another.'),
    images: imagesSchema.prefault({}).describe('Pictures that a request only links to.'),
    neurons: z.array(neuronSchema).default([]).describe('The nodes: one table each.'),
    upstreams: z.array(upstreamSchema).default([]).describe('Other engines as nodes; they load nothing on demand.'),
    keys: z.array(keySchema).default([]).describe('API keys, taken as "Authorization: Bearer ..." or "x-api-key".'),
  })
  .superRefine((config, context) => {
    const nodes = [...config.neurons, ...config.upstreams].map((node) => node.name);
    const node = duplicate(nodes);
    if (node >= config.neurons.length) {
      const path = ['upstreams', node - config.neurons.length, 'name'];
      context.addIssue({ code: 'custom', path, message: `a second node is called ${nodes[node]}` });
    } else if (node >= 0) {
      context.addIssue({
        code: 'custom',
        path: ['neurons', node, 'name'],
        message: `a second node is called ${nodes[node]}`,
      });
    }
    for (const field of ['name', 'hash'] as const) {
      const key = duplicate(config.keys.map((one) => one[field]));
      if (key >= 0)
        context.addIssue({ code: 'custom', path: ['keys', key, field], message: 'stands at an earlier key too' });
    }
    if (config.gateway.require_auth && config.keys.length === 0) {
      const path = ['gateway', 'require_auth'];
      context.addIssue({ code: 'custom', path, message: 'needs at least one table in [[keys]]' });
    }
  });
export type CortexConfig = z.output<typeof cortexConfigSchema>;
export type KeyConfig = CortexConfig['keys'][number];

/** `CORTEX_GATEWAY__LISTEN`, `CORTEX_PROXY__ATTEMPTS_MAX`, …; the reserved ones are the command line's own. */
export const cortexEnvironment = {
  prefix: 'CORTEX',
  reserved: ['CORTEX_URL', 'CORTEX_API_KEY', 'CORTEX_DEBUG'],
} as const;
