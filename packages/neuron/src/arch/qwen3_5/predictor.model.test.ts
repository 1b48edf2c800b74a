/** The bundled model's predictor, trained elsewhere, foretells its answers about pictures. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDevice } from '../../model/device-host.ts';
import type { DeviceHost, DeviceModel, ModelSequence } from '../../model/device-model.ts';
import { argmax } from '../../sampling/argmax.ts';
import { mropePositions } from '../../vision/mrope-positions.ts';
import { planImageFile } from '../../vision/plan-images.ts';
import { prepareImage } from '../../vision/prepare-image.ts';
import { defaultVisionLimits } from '../../vision/vision-limits.ts';
import { parseVisionMeta } from '../../vision/vision-meta.ts';

const dir = fileURLToPath(new URL('../../../../../models/shapes-vl', import.meta.url));
const readJson = (file: string): unknown => JSON.parse(readFileSync(`${dir}/${file}`, 'utf8'));

interface Sample {
  readonly file: string;
  readonly questions?: readonly { readonly prompt_ids: readonly number[] }[];
}

const samples = readJson('samples/samples.json') as readonly Sample[];
const endIds = (readJson('generation_config.json') as { readonly eos_token_id: readonly number[] }).eos_token_id;
const nGuessed = 3;

let host: DeviceHost;
let model: DeviceModel;
beforeAll(async () => {
  host = openDevice({ index: 0, threads: 1 });
  const room = { contextMax: 512, kvTokens: 1024, nSlots: 2, chunkMax: 512, draftMax: nGuessed };
  const options = { modelId: 'shapes-vl', dir, weightType: 'auto', kvCacheType: 'auto', ...room } as const;
  model = await host.loadModel(options, () => {});
});
afterAll(() => {
  model[Symbol.dispose]();
  host[Symbol.dispose]();
});

const read = async (sequence: ModelSequence, file: string, promptIds: readonly number[]): Promise<Float32Array> => {
  const meta = parseVisionMeta({ config: readJson('config.json'), preprocessor: readJson('preprocessor_config.json') });
  if (meta === null) throw new Error('the model has no tower');
  const bytes = new Uint8Array(readFileSync(`${dir}/samples/${file}`));
  const image = await prepareImage(await planImageFile(bytes, meta, defaultVisionLimits), meta);
  const pad = model.imageTokenId ?? -1;
  const ids = Int32Array.from(promptIds);
  using embeds = model.encodeImage(image);
  const prompt = { ids, positions: mropePositions(ids, pad, [image.mergedGrid]), embeds: [embeds] };
  return model.forwardWithVision(sequence, ids, 0, prompt, pad, 'last');
};

describe('the predictor of the bundled model', () => {
  it('foretells most of what the model says about its sample pictures', async () => {
    const right = Array.from({ length: nGuessed }, () => 0);
    const all = [...right];
    const asked = samples.flatMap(({ file, questions = [] }) => questions.map((question) => ({ file, ...question })));
    for (const { file, prompt_ids: promptIds } of asked.slice(0, 16)) {
      using sequence = model.open(256)!;
      let id = argmax(await read(sequence, file, promptIds), model.nLogits);
      const said: number[] = [];
      const guesses: Int32Array[] = [];
      while (!endIds.includes(id) && said.length < 60) {
        guesses.push(model.guess(sequence, id, nGuessed));
        said.push(id);
        id = argmax(model.decode([{ sequence, id }]), model.nLogits);
      }
      said.push(id);
      for (const [at, guess] of guesses.entries()) {
        const wanted = said.slice(at + 1, at + 1 + nGuessed);
        const nRight = wanted.findIndex((token, i) => token !== guess[i]);
        for (const i of wanted.keys()) {
          all[i] = (all[i] ?? 0) + 1;
          if (nRight === -1 || i < nRight) right[i] = (right[i] ?? 0) + 1;
        }
      }
    }
    expect(all[0]).toBeGreaterThan(80);
    const shares = right.map((n, i) => n / (all[i] ?? NaN));
    expect(shares[0]).toBeGreaterThan(0.85);
    expect(shares[1]).toBeGreaterThan(0.7);
    expect(shares[2]).toBeGreaterThan(0.55);
  });
});
