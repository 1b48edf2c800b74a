import { describe, expect, it } from 'vitest';
import { profiles } from '../../test/fleet/simulated-fleet.ts';
import { nodeView, topologyOf } from '../../test/fleet/views.ts';
import { describeModel, listModels, listNames } from './catalogue.ts';
import { unknownModel, refuseRequest, visionUnsupported } from './refusals.ts';

const limit = { context: 32_768 };

describe('the catalogue', () => {
  const tables = profiles(
    { id: 'feasible', vram_mb: 8000, capabilities: ['text', 'vision'], limit, cost: { input: 0, output: 1.5 } },
    { id: 'too-big', vram_mb: 99_000 },
    { id: 'loaded', capabilities: ['ignored'], quant: 'q4_k' },
  );
  const nodes = [
    nodeView('one', {
      models: {
        loaded: { capabilities: ['text', 'vision', 'x-odd'], limit, toolCall: true },
        disk: { status: 'available', capabilities: ['text'] },
        broken: { status: 'available', servable: false },
      },
    }),
    nodeView('two', {
      models: {
        loaded: { status: 'available', capabilities: ['text'] },
        coming: { status: 'loading', progress: { fraction: 0.4, phase: 'weights', etaSecs: 3 } },
      },
    }),
    nodeView('away', { reach: 'down', models: { lost: {} } }),
    nodeView('engine', { kind: 'upstream', devices: [], models: { theirs: { capabilities: null, devices: [] } } }),
  ];
  const topology = topologyOf(nodes, tables, {
    'claude-*': 'loaded',
    fast: 'disk',
    chain: 'fast',
    dangling: 'nothing',
    orphan: 'lost',
  });
  const models = listModels(topology);
  const byId = new Map(models.map((model) => [model.id, model]));

  it('holds what is loaded, on its way, on disk or feasible, and aliases of those, in this order', () => {
    expect(models.map((model) => `${model.id} ${model.state}`)).toEqual([
      'loaded loaded',
      'theirs loaded',
      'coming loading',
      'disk available',
      'feasible available',
      'fast available',
      'chain available',
    ]);
  });

  it('knows the names alone too', () => {
    expect(listNames(topology).toSorted()).toEqual(models.map((model) => model.id).toSorted());
  });

  it('forwards capabilities verbatim from where it is loaded', () => {
    expect(byId.get('loaded')?.capabilities).toEqual(['text', 'vision', 'x-odd']);
    expect(byId.get('feasible')?.capabilities).toEqual(['text', 'vision']);
    expect(byId.get('theirs')?.capabilities).toEqual([]);
  });

  it('tells limits, cost, progress and the nodes', () => {
    expect(byId.get('feasible')).toMatchObject({ limit, cost: { input: 0, output: 1.5 } });
    expect(byId.get('feasible')?.nodes.map((node) => node.name)).toEqual(['one', 'two']);
    expect(byId.get('loaded')).toMatchObject({
      limit,
      tool_call: true,
      quant: 'q4_k',
      cost: null,
      nodes: [
        { name: 'one', state: 'loaded', devices: [0] },
        { name: 'two', state: 'available', devices: [] },
      ],
    });
    expect(byId.get('coming')?.progress).toEqual({ fraction: 0.4, phase: 'weights', eta_secs: 3 });
  });

  it('says what an alias stands for', () => {
    expect(byId.get('chain')).toMatchObject({ id: 'chain', alias_of: 'disk', state: 'available' });
  });

  it('has nothing to say of a model that only a dead node has', () => {
    expect(describeModel(topology, 'lost')).toBeNull();
  });

  it.each([
    ['that is larger than any of its devices', { vramNeededMb: 70_000 }, {}],
    ['that is pinned elsewhere', {}, { pinned_on: ['two'] }],
    ['that must be split over more devices', {}, { min_devices: 2 }],
    ['that asks for larger devices', {}, { min_device_vram_mb: 24_000 }],
    ['that it has on a poisoned device', { status: 'loaded', poisoned: true }, {}],
  ] as const)('has nothing to say of a model on disk %s', (_why, facts, table) => {
    const node = nodeView('one', { models: { m: { status: 'available', ...facts } } });
    expect(listModels(topologyOf([node, nodeView('two', { reach: 'down' })], profiles({ id: 'm', ...table })))).toEqual(
      [],
    );
  });

  it('has a model that a node would have in layers over its devices and the host', () => {
    const m = { status: 'available', vramNeededMb: 70_000 } as const;
    const listed = (facts: object) =>
      listNames(topologyOf([nodeView('one', { models: { m: { ...m, ...facts } } })], []));
    expect(listed({})).toEqual([]);
    expect(listed({ offload: { hostMb: 60_000, isDefault: true } })).toEqual(['m']);
  });

  it('names only the nodes that may load it, and where it is loaded whatever is said of those', () => {
    const disk = { m: { status: 'available' } } as const;
    const three = [
      nodeView('one', { models: disk }),
      nodeView('two', { models: disk }),
      nodeView('three', { models: { m: {} } }),
    ];
    const [model] = listModels(topologyOf(three, profiles({ id: 'm', pinned_on: ['two'] })));
    expect(model?.nodes.map(({ name, state }) => `${name} ${state}`)).toEqual(['three loaded', 'two available']);
  });

  it('survives JSON unchanged', () => {
    expect(JSON.parse(JSON.stringify(models))).toEqual(models);
  });
});

describe('a request that no node can serve', () => {
  const nodes = [
    nodeView('one', {
      models: {
        'org/text-9b': { capabilities: ['text'], contextMax: 4096 },
        'org/seeing-9b': { capabilities: ['text', 'vision'] },
      },
    }),
    nodeView('two', { models: { 'org/text-9b': { capabilities: ['text'], contextMax: 8192 } } }),
  ];
  const topology = topologyOf(nodes, profiles({ id: 'planned', capabilities: ['text'], limit: { context: 100 } }));
  const ask = { needsVision: false, tokensMin: 1 };

  it('for an unknown name is told the nearest ones', () => {
    const error = unknownModel(topology, 'Org/tekst-9b');
    expect(error.code).toBe('model_not_found');
    expect(error.message).toContain("Did you mean 'org/text-9b'");
    expect(error.facts['suggestions']).toContain('org/text-9b');
    expect(unknownModel(topology, 'zzz').message).toContain('There are: org/seeing-9b, org/text-9b');
    expect(unknownModel(topologyOf([]), 'zzz').message).toContain('No node has any model.');
  });

  it('is told to come again, and of each node, while none has answered since the start', () => {
    const away = nodeView('away', { reach: 'down', polledMs: -Infinity, downReason: 'connect ECONNREFUSED' });
    const unseen = nodeView('unseen', { reach: 'unknown', polledMs: -Infinity });
    const error = unknownModel(topologyOf([away, unseen], profiles({ id: 'planned' })), 'zzz');
    expect(error).toMatchObject({ code: 'no_healthy_node', retryAfterSecs: 5 });
    expect(error.message).toContain('(away: connect ECONNREFUSED; unseen: not polled yet)');
    expect(unknownModel(topologyOf([away, ...nodes]), 'zzz').code).toBe('model_not_found');
  });

  it('with an image for a model that cannot see is told who can', () => {
    const error = refuseRequest(topology, 'org/text-9b', { ...ask, needsVision: true });
    expect(error).toMatchObject({
      code: 'vision_unsupported',
      facts: {
        model_id: 'org/text-9b',
        models: ['org/seeing-9b'],
        suggestion: expect.stringContaining('org/seeing-9b'),
      },
    });
    expect(refuseRequest(topology, 'org/seeing-9b', { ...ask, needsVision: true })).toBeNull();
    expect(refuseRequest(topology, 'planned', { ...ask, needsVision: true })?.code).toBe('vision_unsupported');
    expect(visionUnsupported(topologyOf([]), 'x').message).toContain('Leave the images out');
  });

  it('longer than the largest context is told both numbers', () => {
    expect(refuseRequest(topology, 'org/text-9b', { ...ask, tokensMin: 8000 })).toBeNull();
    expect(refuseRequest(topology, 'org/text-9b', { ...ask, tokensMin: 9000 })).toMatchObject({
      code: 'context_length_exceeded',
      facts: { limit: 8192, got: 9000 },
    });
    expect(refuseRequest(topology, 'planned', { ...ask, tokensMin: 101 })?.code).toBe('context_length_exceeded');
  });
});
