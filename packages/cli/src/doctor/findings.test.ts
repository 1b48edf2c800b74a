import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { GatewayConfig } from '@cortex/gateway';
import { describe, expect, it } from 'vitest';
import { recordedTerminal } from '../../test/recorded-terminal.ts';
import { engineFindings, type EngineFacts } from './engine-findings.ts';
import { findingLines } from './finding.ts';
import { nodeFinding } from './host-findings.ts';
import { neuronFindings } from './node-findings.ts';

const base = '@node-llama-cpp/linux-x64';
const cpu = { name: 'EPYC', backend: 'cpu', memoryTotalMb: 2048, memoryFreeMb: 1024, served: true };
const gpu = {
  index: 0,
  pciId: '0000:01:00.0',
  name: 'RTX 4090',
  driverVersion: '580.1',
  memoryTotalMb: 24_564,
  memoryUsedMb: 0,
  memoryFreeMb: 24_564,
  utilizationPct: 0,
  tempC: 40,
  computeCapability: '8.9',
};

const facts = (changes: Partial<EngineFacts>): EngineFacts => ({
  packages: { available: [`${base}-cuda@3.22.1`, `${base}-vulkan@3.22.1`, `${base}@3.22.1`], installed: [base] },
  result: {
    kind: 'found',
    probe: { packageName: base, ggmlVersion: '0.25.1', backends: ['CPU'], devices: [cpu] },
  },
  gpus: { kind: 'unavailable', reason: 'nvidia-smi is not installed' },
  hasRenderNode: false,
  ...changes,
});

const nvidia = { kind: 'ok', gpus: [gpu], cudaVersion: '13.0' } as const;
const badOnes = (changes: Partial<EngineFacts>) =>
  engineFindings(facts(changes)).filter(({ level }) => level === 'warning' || level === 'broken');

describe('the doctor, of the engine', () => {
  it('is content with a CPU where there is nothing else', () => {
    expect(badOnes({})).toEqual([]);
    expect(engineFindings(facts({})).map(({ text }) => text)).toEqual([
      `ggml 0.25.1 of ${base}, backends CPU`,
      'cpu: EPYC, 2 GB',
      'no NVIDIA GPU: nvidia-smi is not installed',
      'none found: models run on the CPU',
    ]);
  });

  it('names the package for a GPU that lies idle', () => {
    expect(badOnes({ gpus: nvidia })).toEqual([
      expect.objectContaining({ level: 'warning', remedy: expect.stringContaining(`npm install ${base}-cuda@3.22.1`) }),
    ]);
  });

  it('names the libraries when the package is there and its backend is not', () => {
    const packages = { ...facts({}).packages, installed: [`${base}-cuda`, base] };
    expect(badOnes({ gpus: nvidia, packages })[0]?.remedy).toContain('libcudart.so.13');
  });

  it('has nothing to say of a GPU that is used', () => {
    const used = { ...cpu, backend: 'cuda' };
    const probe = { packageName: `${base}-cuda`, ggmlVersion: '0.25.1', backends: ['CUDA', 'CPU'], devices: [used] };
    expect(badOnes({ gpus: nvidia, result: { kind: 'found', probe } })).toEqual([]);
  });

  it('knows of Vulkan for the others', () => {
    const note = engineFindings(facts({ hasRenderNode: true })).at(-1);
    expect(note).toMatchObject({ level: 'note', remedy: expect.stringContaining(`${base}-vulkan@3.22.1`) });
    const packages = { ...facts({}).packages, installed: [`${base}-vulkan`, base] };
    expect(badOnes({ hasRenderNode: true, packages })[0]?.remedy).toContain('mesa-vulkan-drivers');
  });

  it('survives a driver that does not', () => {
    const [crash] = badOnes({ result: { kind: 'crashed', how: 'SIGSEGV' } });
    expect(crash).toMatchObject({ level: 'broken', text: `loading ${base} ended the process with SIGSEGV` });
    const [refusal] = badOnes({ result: { kind: 'refused', reason: 'no ggml libraries' } });
    expect(refusal).toMatchObject({ level: 'broken', remedy: `npm install ${base}@3.22.1` });
  });
});

describe('the doctor, of Node', () => {
  it('wants the version that package.json wants', () => {
    expect(['v20.18.9', 'v18.0.0', 'v20.19.0', 'v24.1.0'].map((version) => nodeFinding(version).level)).toEqual([
      'broken',
      'broken',
      'ok',
      'ok',
    ]);
  });
});

describe('the doctor, of neurons', () => {
  it('knows one that is not there from one that wants another token and from something else', async () => {
    const answers = { '/a/health': [401, '{"error":{"code":"invalid_api_key","message":"the token is not right"}}'] };
    const server = createServer((request, response) => {
      const [status, body] = Object.entries(answers).find(([path]) => path === request.url)?.[1] ?? [404, 'no'];
      response.writeHead(Number(status)).end(body);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const neurons = [`${url}/a`, `${url}/b`, 'http://127.0.0.1:1'].map((endpoint) => ({ name: 'desk', endpoint }));
    const config = { cortex: { neurons, gateway: {} } } as unknown as GatewayConfig;
    const [token, other, none] = await neuronFindings(config);
    server.close();
    expect(token).toMatchObject({ level: 'broken', remedy: expect.stringContaining('neuron_token') });
    expect(token?.text).toBe(`desk (${url}/a): the token is not right`);
    expect(other?.remedy).toMatch(/no neuron: look at its endpoint/);
    expect(none?.remedy).toMatch(/^start it there .* let 127\.0\.0\.1:1 through its firewall$/);
  });
});

describe('a finding', () => {
  it('stands in a line, its remedy beneath it', () => {
    const lines = findingLines(
      [{ level: 'broken', subject: 'Node', text: 'too\nold', remedy: 'a newer one' }],
      recordedTerminal(false),
    );
    expect(lines).toEqual(['✗ Node      too old', '            → a newer one']);
  });
});
