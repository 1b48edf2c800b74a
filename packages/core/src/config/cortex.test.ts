import { describe, expect, it } from 'vitest';
import { readFileSync } from 'node:fs';
import { cortexConfigSchema, cortexEnvironment, type CortexConfig } from './cortex.ts';
import { exampleToml, exampleWithEverything } from './example.ts';
import { parseConfig } from './load.ts';

const read = (text: string, env: Record<string, string> = {}): CortexConfig =>
  parseConfig(cortexConfigSchema, { file: 'cortex.toml', text, env, environment: cortexEnvironment });

const listen = (text: string): unknown => read(`[gateway]\nlisten = "${text}"`).gateway.listen;

const endpoint = (text: string): string | undefined =>
  read(`[[neurons]]\nname = "a"\nendpoint = "${text}"`).neurons[0]?.endpoint;

const upstreamEndpoint = (url: string): string | undefined =>
  read(`[[upstreams]]\nname = "a"\nendpoint = "${url}"`).upstreams[0]?.endpoint;

const hash = (text: string): string | undefined => read(`[[keys]]\nname = "a"\nhash = "${text}"`).keys[0]?.hash;

describe('cortex.toml', () => {
  it('needs nothing: every key has a default or may be left out', () => {
    const config = read('');
    expect(config.gateway.listen).toEqual({ host: '0.0.0.0', port: 31_313 });
    expect(config.gateway.metrics_listen).toEqual({ host: '0.0.0.0', port: 31_314 });
    expect(config.images.allow_remote).toBe(false);
    expect(config.eviction).toEqual({ strategy: 'lru', defrag_after_cycles: 0, idle_unload_secs: 0 });
  });

  it('takes listen addresses of IPv4, IPv6, names and every interface', () => {
    expect(listen('127.0.0.1:1')).toEqual({ host: '127.0.0.1', port: 1 });
    expect(listen('[::1]:2')).toEqual({ host: '::1', port: 2 });
    expect(listen('box.lan:3')).toEqual({ host: 'box.lan', port: 3 });
    expect(listen(':4')).toEqual({ host: '::', port: 4 });
    for (const wrong of ['localhost', '1.2.3.4:70000', '::1:80', 'a b:1', ''])
      expect(() => listen(wrong)).toThrow(/cortex\.toml:2: gateway\.listen: expected HOST:PORT/);
  });

  it('is overridden by CORTEX_GATEWAY__LISTEN', () => {
    expect(read('', { CORTEX_GATEWAY__LISTEN: '127.0.0.1:9' }).gateway.listen.port).toBe(9);
  });

  it('takes the slash off endpoints and refuses what is not one', () => {
    expect(endpoint('http://10.0.0.5:13131/')).toBe('http://10.0.0.5:13131');
    expect(endpoint('https://host/prefix/')).toBe('https://host/prefix');
    for (const wrong of ['10.0.0.5:13131', 'ftp://x', 'http://user:pass@x', 'http://x/?a=1', 'http://x/#a'])
      expect(() => endpoint(wrong)).toThrow(/cortex\.toml:3: neurons\[0\]\.endpoint: expected http/);
  });

  it('takes the /v1 of a base URL off upstreams', () => {
    expect(upstreamEndpoint('http://10.0.0.9:8000/v1/')).toBe('http://10.0.0.9:8000');
    expect(upstreamEndpoint('https://host/openai/v1')).toBe('https://host/openai');
    expect(upstreamEndpoint('https://host/v1beta')).toBe('https://host/v1beta');
  });

  it('refuses two nodes of one name, also across neurons and upstreams', () => {
    const neuron = '[[neurons]]\nname = "a"\nendpoint = "http://x"\n';
    expect(() => read(neuron + neuron)).toThrow(/neurons\[1\]\.name: a second node is called a/);
    expect(() => read(`${neuron}[[upstreams]]\nname = "a"\nendpoint = "http://y"`)).toThrow(
      /upstreams\[0\]\.name: a second node is called a/,
    );
  });

  it('takes key hashes with or without their prefix, and nothing that might be a key itself', () => {
    const hex = 'AB'.repeat(32);
    expect(hash(`sha256:${hex}`)).toBe(hex.toLowerCase());
    expect(hash(hex)).toBe(hex.toLowerCase());
    expect(() => hash('sk-secret')).toThrow(/keys\[0\]\.hash: expected sha256/);
  });

  it('refuses require_auth without a key', () => {
    expect(() => read('[gateway]\nrequire_auth = true')).toThrow(/gateway\.require_auth: needs at least one/);
  });
});

describe('cortex.example.toml', () => {
  const text = exampleToml(cortexConfigSchema, 'Settings of the gateway. Every value here is the default.');

  it('is the schema written out', () => {
    expect(readFileSync(new URL('../../../../cortex.example.toml', import.meta.url), 'utf8')).toBe(text);
  });

  it('means the same as an empty file', () => {
    expect(read(text)).toEqual(read(''));
  });

  it('names every key: written out in full it still parses', () => {
    const everything = read(exampleWithEverything(cortexConfigSchema));
    expect(everything.neurons).toHaveLength(1);
    expect(everything.upstreams[0]?.api_key).toBeDefined();
    expect(everything.keys[0]?.tokens_per_day).toBeGreaterThan(0);
  });
});
