/** For tests of the page: a gateway over a real neuron with the shapes model, and a simulated box of two GPUs beside it. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readGatewayConfig, startGateway, type Gateway } from '@cortex/gateway';
import { FakeNeuron } from '../../packages/gateway/test/fake-neuron/fake-neuron.ts';
import { newModel } from '../../packages/gateway/test/fake-neuron/settings.ts';
import { root, startNeuronProcess } from './neuron-process.ts';

export const adminKey = 'sk-of-the-page-test';
export const essayist = 'essayist-7b';
/** Not loaded, and a while to load. */
export const poet = 'poet-3b';

const pageFolder = join(root, 'packages/page');

/** The page as its source is now: `npm ci` built it, but it may have been changed since. */
const buildPage = (): void => {
  const built = join(pageFolder, 'dist/index.html');
  const builtMs = existsSync(built) ? statSync(built).mtimeMs : 0;
  const sources = readdirSync(join(pageFolder, 'src'), { recursive: true, encoding: 'utf8' });
  if (sources.every((file) => statSync(join(pageFolder, 'src', file)).mtimeMs <= builtMs)) return;
  execFileSync('npm', ['run', '--silent', 'build:page'], { cwd: root, stdio: 'inherit' });
};

const words = (text: string): readonly string[] => text.match(/\S+\s*/g) ?? [];

/** Reasoning, Markdown with hostile HTML in it, and a call of a tool. */
const essay = [
  ...words('The person wants a **short** answer. I should look up the weather first. ').map((piece) => ({
    reasoning_content: piece,
  })),
  ...words(
    'It depends on **where** you are:\n\n- inside: no\n- outside: `umbrella`\n\n```sh\nweather --today\n```\n\n<img src=x onerror="document.title=1">',
  ).map((piece) => ({ content: piece })),
  { tool_calls: [{ index: 0, id: 'call_1', function: { name: 'weather', arguments: '' } }] },
  { tool_calls: [{ index: 0, function: { arguments: '{"city":' } }] },
  { tool_calls: [{ index: 0, function: { arguments: '"Kyoto"}' } }] },
];

export interface PageGateways extends AsyncDisposable {
  readonly open: Gateway;
  /** The same fleet for those who have a key. */
  readonly locked: Gateway;
  readonly box: FakeNeuron;
}

export const startPageGateways = async (): Promise<PageGateways> => {
  buildPage();
  const dir = await mkdtemp(join(tmpdir(), 'page-'));
  const neuron = await startNeuronProcess({});
  const box = await new FakeNeuron({
    name: 'attic',
    devices: [
      { vram_total_mb: 24_576, backend: 'cuda' },
      { vram_total_mb: 12_288, backend: 'cuda' },
    ],
    models: [
      newModel(essayist, {
        status: 'loaded',
        vram_mb: 8100,
        devices: [0],
        reasoning: true,
        token_ms: 8,
        first_token_ms: 60,
        deltas: [...essay],
      }),
      newModel('coder-14b', { status: 'loaded', vram_mb: 9800, devices: [0], token_ms: 6, tokens: 60 }),
      newModel('embedder', { status: 'loaded', vram_mb: 1300, devices: [1], max_in_flight: 32 }),
      newModel(poet, { vram_mb: 3000, load_ms: 4000, token_ms: 20, tokens: 40 }),
      newModel('essayist-70b', { vram_mb: 22_000 }),
    ],
  }).start();
  const nodes = [
    `[[neurons]]\nname = "desk"\nendpoint = "${neuron.url}"\n`,
    `[[neurons]]\nname = "attic"\nendpoint = "${box.url}"\n`,
  ].join('');
  const common = 'listen = "127.0.0.1:0"\nmetrics_listen = "127.0.0.1:0"\nkeepalive_secs = 0.2\n';
  const poller = '[poller]\ninterval_secs = 0.2\n';
  const hash = createHash('sha256').update(adminKey).digest('hex');
  const start = async (name: string, gateway: string, rest: string): Promise<Gateway> => {
    const file = join(dir, name);
    await writeFile(file, `[gateway]\n${common}${gateway}${poller}${rest}${nodes}`);
    return startGateway(await readGatewayConfig({ file, env: {} }), { write: () => undefined });
  };
  const open = await start('open.toml', '', '');
  const locked = await start(
    'locked.toml',
    'require_auth = true\n',
    `[[keys]]\nname = "me"\nhash = "${hash}"\nadmin = true\n`,
  );
  return {
    open,
    locked,
    box,
    [Symbol.asyncDispose]: async () => {
      await open.close(0);
      await locked.close(0);
      await box.stop();
      await neuron[Symbol.asyncDispose]();
      await rm(dir, { recursive: true, force: true });
    },
  };
};
