/**
 * `npm run bench engine`: the engine alone, on the fixture and on a generated 0.6B-shaped model with random weights, in
 * one run. Medians; the share of a decode step that is TypeScript is everything outside ggml's compute call.
 */
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Backend } from '@cortex/ggml';
import type { DeviceModel, ImageInput } from '../packages/neuron/src/model/device-model.ts';
import { openDevice } from '../packages/neuron/src/model/device-host.ts';
import { Sampler, SamplerWorkspace } from '../packages/neuron/src/sampling/sampler.ts';
import { qwen3Shaped06b } from '../packages/neuron/test/generated-models.ts';
import { writeCheckpoint } from '../packages/neuron/test/write-checkpoint.ts';
import { planImageFile } from '../packages/neuron/src/vision/plan-images.ts';
import { prepareImage } from '../packages/neuron/src/vision/prepare-image.ts';
import { defaultVisionLimits } from '../packages/neuron/src/vision/vision-limits.ts';
import { parseVisionMeta } from '../packages/neuron/src/vision/vision-meta.ts';
import { median } from './median.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const chunk = 512;
const nPrompt = 512;
const nDecode = 64;
const nRuns = 5;
const nSampledVocab = 512;

let computeMs = 0;
// oxlint-disable-next-line typescript/unbound-method -- called with its own receiver below
const compute = Backend.prototype.compute;
Backend.prototype.compute = function timed(this: Backend, graph) {
  const start = performance.now();
  compute.call(this, graph);
  computeMs += performance.now() - start;
};

const timed = <T>(work: () => T): { readonly ms: number; readonly value: T } => {
  const start = performance.now();
  const value = work();
  return { ms: performance.now() - start, value };
};

interface Run {
  readonly prefillMs: number;
  readonly firstTokenMs: number;
  readonly stepMs: number;
  readonly stepOutsideMs: number;
}

const runOnce = (model: DeviceModel, nVocab: number): Run => {
  using sequence = openSequence(model);
  const ids = Int32Array.from({ length: nPrompt }, (_, i) => (i * 7919) % Math.min(nVocab, nSampledVocab));
  const sampler = new Sampler(
    {
      temperature: 0.7,
      topP: 0.8,
      topK: 20,
      minP: 0,
      presencePenalty: 0,
      frequencyPenalty: 0,
      repetitionPenalty: 1,
      logitBias: [],
      seed: 1,
    },
    { nVocab, bannedIds: [], workspace: new SamplerWorkspace() },
  );
  const first = timed(() => {
    const prefill = timed(() => model.forward(sequence, ids, 0, 'last'));
    const { id } = sampler.sample(prefill.value, { nTopLogprobs: null });
    sampler.accept(id);
    return { id, prefillMs: prefill.ms };
  });
  let { id } = first.value;
  const steps: number[] = [];
  const outside: number[] = [];
  for (let i = 0; i < nDecode; i++) {
    computeMs = 0;
    const step = timed(() => {
      const logits = model.decode([{ sequence, id }]);
      ({ id } = sampler.sample(logits, { nTopLogprobs: null }));
      sampler.accept(id);
    });
    steps.push(step.ms);
    outside.push(step.ms - computeMs);
  }
  return {
    prefillMs: first.value.prefillMs,
    firstTokenMs: first.ms,
    stepMs: median(steps),
    stepOutsideMs: median(outside),
  };
};

const openSequence = (model: DeviceModel) => {
  const sequence = model.open(nPrompt + nDecode + 1);
  if (sequence === null) throw new Error('no room for a sequence');
  return sequence;
};

const loadModel = async (dir: string) => {
  const host = openDevice({ index: 0, threads: availableParallelism() });
  const start = performance.now();
  const model = await host.loadModel(
    {
      modelId: dir,
      dir,
      weightType: 'auto',
      kvCacheType: 'auto',
      contextMax: null,
      kvTokens: 2048,
      nSlots: 2,
      chunkMax: chunk,
    },
    () => {},
  );
  return { host, model, loadMs: performance.now() - start };
};

const fixtureImage = async (): Promise<ImageInput> => {
  const read = (file: string): unknown =>
    JSON.parse(readFileSync(`${root}fixtures/models/qwen3_5-vl-tiny/${file}`, 'utf8'));
  const meta = parseVisionMeta({ config: read('config.json'), preprocessor: read('preprocessor_config.json') });
  if (meta === null) throw new Error('the fixture has no tower');
  const bytes = new Uint8Array(readFileSync(`${root}fixtures/images/square-448.png`));
  return prepareImage(await planImageFile(bytes, meta, defaultVisionLimits), meta);
};

const report = (name: string, value: string): void => console.log(`  ${name.padEnd(34)} ${value}`);

const measure = async (name: string, dir: string): Promise<void> => {
  const { host, model, loadMs } = await loadModel(dir);
  console.log(name);
  report('load', `${(loadMs / 1000).toFixed(2)} s, ${(model.bytes / 2 ** 20).toFixed(0)} MiB on the device`);
  runOnce(model, model.nLogits);
  const runs = Array.from({ length: nRuns }, () => runOnce(model, model.nLogits));
  const of = (pick: (run: Run) => number): number => median(runs.map(pick));
  const stepMs = of((run) => run.stepMs);
  const outside = of((run) => run.stepOutsideMs);
  report(`prefill of ${nPrompt}`, `${((nPrompt / of((run) => run.prefillMs)) * 1000).toFixed(1)} tok/s`);
  report('time to first token', `${of((run) => run.firstTokenMs).toFixed(1)} ms`);
  report('decode', `${(1000 / stepMs).toFixed(1)} tok/s (${stepMs.toFixed(2)} ms a step)`);
  report('of a step outside ggml', `${outside.toFixed(3)} ms, ${((outside / stepMs) * 100).toFixed(2)} %`);
  if (model.hasVision) {
    const image = await fixtureImage();
    const times = Array.from({ length: nRuns }, () => timed(() => model.encodeImage(image)[Symbol.dispose]()).ms);
    report(`image of ${image.nTokens} tokens`, `${median(times).toFixed(1)} ms`);
  }
  report('compute buffers and all', `${(model.bytes / 2 ** 20).toFixed(0)} MiB`);
  report('process peak', `${(process.resourceUsage().maxRSS / 1024).toFixed(0)} MiB`);
  model[Symbol.dispose]();
  host[Symbol.dispose]();
};

export const run = async (): Promise<void> => {
  await measure('qwen3_5-vl-tiny (fixture, F32)', `${root}fixtures/models/qwen3_5-vl-tiny`);
  const big = `${root}.cache/bench/qwen3-0.6b`;
  if (!existsSync(`${big}/model.safetensors`)) {
    console.log('generating a 0.6B-shaped checkpoint with random weights …');
    await writeCheckpoint(big, qwen3Shaped06b(), { dtype: 'BF16' });
  }
  await measure('Qwen3-0.6B-shaped, random weights (BF16 → F16)', big);
};
