import type { DeviceSnapshot, FleetSnapshot, NodeModelSnapshot, NodeSnapshot } from '@cortex/core';
import { describe, expect, it } from 'vitest';
import { recordedTerminal } from '../../test/recorded-terminal.ts';
import { statusLines } from './status-report.ts';

const device: DeviceSnapshot = {
  index: 0,
  name: 'RTX 4090',
  backend: 'cuda',
  vram_total_mb: 24_576,
  vram_used_mb: 12_288,
  vram_free_mb: 12_288,
  vram_reserved_mb: 0,
  utilization_pct: 87.4,
  temp_c: 61,
  poisoned: false,
  poisoned_reason: null,
};

const model: NodeModelSnapshot = {
  id: 'org/model',
  status: 'loaded',
  devices: [0],
  vram_used_mb: 9216,
  devices_mb: [9216],
  layers: [],
  in_flight: 2,
  foreign_in_flight: 1,
  max_in_flight: 4,
  tok_s_decode: 81.24,
  idle_secs: 0,
  closing_for: null,
  pinned: false,
  progress: null,
  reason: null,
};

const node: NodeSnapshot = {
  name: 'beast',
  endpoint: 'http://10.0.0.5:13131',
  kind: 'neuron',
  reach: 'up',
  down_reason: null,
  draining: false,
  circuit: 'closed',
  hostname: 'beast',
  uptime_secs: 3661,
  in_flight: 2,
  cycles: 0,
  defrag_due: false,
  broken_groups: [],
  devices: [device],
  models: [model],
};

const fleet = (changes: Partial<FleetSnapshot>): FleetSnapshot => ({
  nodes: [node],
  queue: { waiting: 0, max: 10, oldest_secs: 0, by_model: [] },
  plans: [],
  models: [],
  ...changes,
});

const lines = (snapshot: FleetSnapshot, isTty = false): readonly string[] =>
  statusLines(snapshot, 'http://gw', recordedTerminal(isTty, { NO_COLOR: '1' }));

describe('the status of a fleet', () => {
  it('is its nodes, with memory, models, load and speed', () => {
    expect(lines(fleet({}))).toEqual([
      'cortex  http://gw  1 of 1 node up · 1 model loaded · none waiting',
      '',
      'beast  up  http://10.0.0.5:13131 · up 1 h 1 min · 2 requests',
      '  cuda 0  RTX 4090  12 GB of 24 GB  87 %, 61 °C',
      '  org/model  loaded  9 GB  3 of 4 running  81.2 tok/s',
    ]);
  });

  it('names the layers of a model that several devices have', () => {
    const layers = [
      { device: 0, name: 'CUDA0', layers: 20, mb: 9216 },
      { device: 1, name: 'CUDA1', layers: 0, mb: 0 },
      { device: null, name: 'CPU', layers: 8, mb: 3072 },
    ];
    expect(lines(fleet({ nodes: [{ ...node, models: [{ ...model, layers }] }] })).at(-1)).toBe(
      '  org/model  loaded  9 GB  3 of 4 running  81.2 tok/s  20 layers on cuda 0, 8 on the host (3 GB)',
    );
  });

  it('has bars of memory for a person', () => {
    expect(lines(fleet({}), true)[3]).toBe('  cuda 0  RTX 4090  ████████░░░░░░░░ 12 GB of 24 GB  87 %, 61 °C');
  });

  it('says why a node is away, what fails on it, and what is only on disk', () => {
    const ids = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
    const onDisk = ids.map((id) => ({ ...model, id, status: 'available' as const, tok_s_decode: null }));
    const failed = { ...model, id: 'bad', status: 'failed' as const, tok_s_decode: null, reason: 'no\u001B[2J memory' };
    const down = {
      ...node,
      reach: 'down' as const,
      down_reason: 'connect ECONNREFUSED',
      devices: [{ ...device, poisoned: true, poisoned_reason: 'CUDA error' }],
      models: [failed, ...onDisk],
    };
    const text = lines(fleet({ nodes: [down] }));
    expect(text[0]).toContain('0 of 1 node up · 0 models loaded');
    expect(text.slice(3)).toEqual([
      '  connect ECONNREFUSED',
      '  cuda 0  RTX 4090  12 GB of 24 GB  87 %, 61 °C  out of service: CUDA error',
      '  bad  failed  no[2J memory',
      '  on disk: a, b, c, d, e and 2 more',
    ]);
  });

  it('tells loads in progress with what gives way, and the queue', () => {
    const plan = {
      model: 'new',
      node: 'beast',
      phase: 'unloading' as const,
      evicting: ['old'],
      fraction: 0.25,
      eta_secs: 12,
      elapsed_secs: 3,
    };
    const queue = { waiting: 3, max: 10, oldest_secs: 7, by_model: [] };
    expect(lines(fleet({ plans: [plan], queue })).slice(0, 2)).toEqual([
      'cortex  http://gw  1 of 1 node up · 1 model loaded · 3 waiting, 7.0 s at most',
      'unloading new on beast in the place of old: 25 %, 12 s left',
    ]);
  });
});
