/** A `GgmlHarness` over fake devices and the fixture's tokenizer, template and configuration; its answers collected. */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  chatRequestSchema,
  neuronConfigSchema,
  type ChatRequest,
  type CompletionEvent,
  type DefaultModel,
  type GgmlConfig,
  type Usage,
} from '@cortex/core';
import { GgmlHarness } from '../src/harness/ggml-harness.ts';
import type { ModelMeasurer } from '../src/harness/model-sizes.ts';
import { loadPromptSide, type PromptSide, type PromptSideLoader } from '../src/harness/prompt-side.ts';
import { ModelStore } from '../src/model-store/model-store.ts';
import { Tokenizer } from '../src/tokenizer/tokenizer.ts';
import { FakeDevice, type TokenScript } from './fake-device.ts';
import { dataUri, fixtureBytes } from './reference-files.ts';

const fixture = fileURLToPath(new URL('../../../fixtures/models/qwen3_5-vl-tiny', import.meta.url));
const tokenizer = await Tokenizer.load(fixture);

/** Ids: the fixture's model; the same without a tower; one of an unknown type. */
export const ids = { vision: 'tiny', text: 'plain', unknown: 'strange' } as const;

export const encode = (text: string): number[] => tokenizer.encode(text, { parseSpecial: true });

/** Every choice says this. */
export const says =
  (text: string): TokenScript =>
  () =>
    encode(text);

export const picture = dataUri(fixtureBytes('images/small-96x64.png'));

const withoutTower = (config: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(config).filter(([key]) => key !== 'vision_config'));

/** Folders of three models; the weights are named but empty, for no device here reads them. */
const writeModels = async (root: string): Promise<void> => {
  const config = JSON.parse(await readFile(path.join(fixture, 'config.json'), 'utf8')) as Record<string, unknown>;
  const configs = {
    [ids.vision]: config,
    [ids.text]: withoutTower(config),
    [ids.unknown]: { ...config, model_type: 'mamba9' },
  };
  for (const [id, changed] of Object.entries(configs)) {
    const dir = path.join(root, id);
    await cp(fixture, dir, {
      recursive: true,
      filter: (file) => !file.includes('model-') && !file.includes('.index.'),
    });
    await writeFile(path.join(dir, 'config.json'), JSON.stringify(changed));
    await writeFile(path.join(dir, 'model.safetensors'), Buffer.alloc(1024));
  }
};

export interface HarnessSetup extends AsyncDisposable {
  readonly harness: GgmlHarness;
  /** The first of `devices`. */
  readonly device: FakeDevice;
  readonly devices: readonly FakeDevice[];
  /** Those opened so far. */
  readonly groups: readonly FakeDevice[];
  readonly root: string;
  /** Loads and unloads that have ended. */
  readonly nMoved: () => number;
}

/** One for all loads of a folder's kind: starting a thread takes longer than most tests. */
const sides = new Map<string, Promise<PromptSide>>();

const sharedSide: PromptSideLoader = async (dir, modelId, options) => {
  const key = `${modelId} ${JSON.stringify(options)}`;
  const side = sides.get(key) ?? loadPromptSide(dir, modelId, options);
  sides.set(key, side);
  return { ...(await side), close: async () => {} };
};

/** What each device of a spread has, and the host. */
const partOfEach = { name: 'FAKE', nLayers: 3, nBytes: 300 * 2 ** 20 };

/** @param measurer by default none: the harness guesses what models need. */
export const setUp = async (
  config: Partial<GgmlConfig> = {},
  nDevices = 1,
  measurer: ModelMeasurer | null = null,
  defaultModels: readonly DefaultModel[] = [],
): Promise<HarnessSetup> => {
  const root = await mkdtemp(path.join(tmpdir(), 'harness-'));
  await writeModels(root);
  const device = new FakeDevice(0);
  const devices = [device, ...Array.from({ length: nDevices - 1 }, (_, i) => new FakeDevice(i + 1))];
  const groups: FakeDevice[] = [];
  let nMoved = 0;
  const harness = new GgmlHarness({
    devices,
    openGroup: async (indices, sharing) => {
      const group = new FakeDevice(indices[0], indices);
      if (sharing === 'layers') group.parts = [...indices.keys(), null].map((member) => ({ ...partOfEach, member }));
      groups.push(group);
      return group;
    },
    config: { ...neuronConfigSchema.parse({}).harness.ggml, ...config },
    hostFreeBytes: () => 4000 * 2 ** 20,
    store: new ModelStore({ modelDirs: [root], hubCacheDir: path.join(root, 'none'), hub: null }),
    supportedModelTypes: ['qwen3_5'],
    loadPromptSide: sharedSide,
    measurer,
    defaultModels,
    onMoved: () => {
      nMoved += 1;
    },
  });
  return {
    harness,
    device,
    devices,
    groups,
    root,
    nMoved: () => nMoved,
    [Symbol.asyncDispose]: async () => {
      await harness.close(0);
      await rm(root, { recursive: true });
    },
  };
};

export const chatRequest = (rest: Record<string, unknown> = {}): ChatRequest =>
  chatRequestSchema.parse({ model: ids.vision, messages: [{ role: 'user', content: 'Hi' }], ...rest });

export const userTurn = (...parts: readonly (string | { readonly image: string })[]): object => ({
  role: 'user',
  content: parts.map((part) =>
    typeof part === 'string' ? { type: 'text', text: part } : { type: 'image_url', image_url: { url: part.image } },
  ),
});

export interface Answer {
  readonly events: readonly CompletionEvent[];
  /** By choice. */
  readonly text: readonly string[];
  readonly reasoning: readonly string[];
  readonly finish: readonly string[];
  readonly usage: Usage;
  readonly calls: readonly { readonly name: string; readonly arguments: string }[];
}

const joinedBy = (events: readonly CompletionEvent[], kind: 'text' | 'reasoning'): string[] => {
  const texts: string[] = [];
  for (const event of events) if (event.kind === kind) texts[event.choice] = (texts[event.choice] ?? '') + event.text;
  return texts;
};

/** Reads an answer to its end. */
export const collect = async (stream: AsyncIterable<CompletionEvent>): Promise<Answer> => {
  const events: CompletionEvent[] = [];
  for await (const event of stream) events.push(event);
  const finish: string[] = [];
  const calls: { name: string; arguments: string }[] = [];
  for (const event of events) {
    if (event.kind === 'finish') finish[event.choice] = event.reason;
    if (event.kind !== 'tool_call') continue;
    const { name, arguments: before } = calls[event.index] ?? { name: event.name ?? '', arguments: '' };
    calls[event.index] = { name, arguments: before + event.arguments };
  }
  const last = events.at(-1);
  if (last?.kind !== 'usage') throw new Error('the answer does not end in its usage');
  const { usage } = last;
  return { events, text: joinedBy(events, 'text'), reasoning: joinedBy(events, 'reasoning'), finish, calls, usage };
};

export const newContext = (): {
  readonly controller: AbortController;
  readonly signal: AbortSignal;
  readonly requestId: string;
  readonly client: string;
  readonly priority: number;
} => {
  const controller = new AbortController();
  return { controller, signal: controller.signal, requestId: 'req-1', client: 'somebody', priority: 0 };
};

export const chat = ({ harness }: HarnessSetup, rest: Record<string, unknown> = {}): Promise<Answer> =>
  collect(harness.chat(chatRequest(rest), newContext()));
