/**
 * llama.cpp itself as the reference: it loads what our writer makes of a model, and says the same of the same text.
 * Skipped where it is not installed.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDevice } from '../src/model/device-host.ts';
import type { DeviceHost, DeviceModel } from '../src/model/device-model.ts';
import { argmax } from '../src/sampling/argmax.ts';
import { Tokenizer } from '../src/tokenizer/tokenizer.ts';
import { tinyQwen3, tinyQwen35, tinyQwen35Moe, tinyQwen3Moe } from './generated-models.ts';
import { howToInstall, isInstalled } from './peer/llama-addon.ts';
import { EngineProcess, llamaProgram } from './peer/engine-process.ts';
import { writeCheckpoint } from './write-checkpoint.ts';
import { writeGguf, type WriteGgufOptions } from './write-gguf.ts';

const fixture = fileURLToPath(new URL('../../../fixtures/models/qwen3_5-vl-tiny', import.meta.url));
const nContinued = 24;
/** The same kernels in the same order, but for a few that llama.cpp combines otherwise. */
const tolerance = 2e-5;
const nTokensMax = 512;

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'llama-parity-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const prompt = Int32Array.from({ length: 61 }, (_, i) => (i * 7919 + 13) % 600);

const openTheirs = (peer: EngineProcess, path: string): Promise<void> =>
  peer.open({ path, threads: 1, nSequences: 1, nTokensMax, kvCacheType: 'f32' });

const loadOurs = (host: DeviceHost, dir: string): Promise<DeviceModel> =>
  host.loadModel(
    {
      modelId: 'parity',
      dir,
      weightType: 'f32',
      kvCacheType: 'f32',
      contextMax: null,
      kvTokens: nTokensMax,
      nSlots: 1,
      chunkMax: nTokensMax,
    },
    () => {},
  );

const continueOurs = (model: DeviceModel): { readonly ids: readonly number[]; readonly logits: Float32Array } => {
  using sequence = model.open(nTokensMax);
  if (sequence === null) throw new Error('no slot is free');
  const logits = model.forward(sequence, prompt, 0, 'last').slice();
  const ids = [argmax(logits, model.nLogits)];
  while (ids.length < nContinued) ids.push(argmax(model.decode([{ sequence, id: ids.at(-1) ?? -1 }]), model.nLogits));
  return { ids, logits };
};

const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((largest, value, i) => Math.max(largest, Math.abs(value - (b[i] ?? Infinity))), 0);

interface Case {
  readonly name: string;
  /** Writes a checkpoint and says where. */
  readonly checkpoint: (dir: string) => Promise<string>;
  readonly options?: WriteGgufOptions;
}

const cases: readonly Case[] = [
  { name: 'the reference model', checkpoint: async () => fixture },
  ...Object.entries({
    qwen3: tinyQwen3(),
    'qwen3 with experts': tinyQwen3Moe(),
    'qwen3.5': tinyQwen35({ vision: false }),
    'qwen3.5 with experts': tinyQwen35Moe({ vision: false }),
  }).map(([name, model]) => ({
    name,
    checkpoint: async (dir: string) => {
      await writeCheckpoint(dir, model);
      return dir;
    },
  })),
  {
    name: 'qwen3.5 with fused experts in three files',
    checkpoint: async (dir) => {
      await writeCheckpoint(dir, tinyQwen35Moe({ vision: true, experts: 'separate' }));
      return dir;
    },
    options: { nSplits: 3, fusedExperts: true },
  },
];

describe.skipIf(!isInstalled())(`llama.cpp (${howToInstall})`, () => {
  let peer: EngineProcess;
  beforeAll(() => {
    peer = EngineProcess.start(llamaProgram);
  });
  afterAll(() => peer[Symbol.asyncDispose]());

  it.each(cases)('continues like this engine with $name', async ({ name, checkpoint, options }) => {
    const dir = await checkpoint(join(root, name));
    const [file = ''] = writeGguf(dir, join(root, `${name}.gguf`), options);
    await openTheirs(peer, file);
    const theirs = await peer.continue([...prompt], nContinued);
    using host = openDevice({ index: 0, threads: 1 });
    for (const source of [dir, file]) {
      using model = await loadOurs(host, source);
      const ours = continueOurs(model);
      expect(distance(ours.logits, theirs.logits)).toBeLessThan(tolerance);
      expect(ours.ids).toEqual(theirs.ids);
    }
  });

  it('splits text into the same tokens', async () => {
    const tokenizer = await Tokenizer.load(fixture);
    const [file = ''] = writeGguf(fixture, join(root, 'tokenizer.gguf'));
    await openTheirs(peer, file);
    for (const text of texts) {
      for (const parseSpecial of [true, false]) {
        const theirs = await peer.tokenize(text, { parseSpecial });
        expect({ text, ids: theirs }).toEqual({ text, ids: tokenizer.encode(text, { parseSpecial }) });
      }
    }
  });
});

/** Without accents that compose: llama.cpp does not normalise, Hugging Face does. */
const texts = [
  '',
  ' ',
  'Hello, world',
  "don't DON'T I'll we'VE",
  '  leading and trailing  ',
  'line\nline\r\nline\n\n\n  indented\t\ttabs',
  '1234567890 3.14 ١٢٣ Ⅷ ½',
  'naïve café Straße ﬁne',
  'नमस्ते दुनिया ภาษาไทย 你好，世界 한국어',
  '👩‍👩‍👧‍👦🏳️‍🌈 x\u0301 \u200b\ufeff',
  '<|im_start|>user\n<think>\n</think> <tool_call>{"a": [1, 2]}</tool_call><|im_end|>',
  '<|im_start <|im_end|> |> <|endoftext|><|endoftext|>',
  '!?.,;:()[]{}<>@#$%^&*~`|\\/"\'',
  '\u0000\u0001\u007f\u0085\u2028',
];
