/** For tests: the reference fixtures, their tensors and the byte order their hashes are taken in. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = new URL('../../../fixtures/', import.meta.url);

export const fixtureBytes = (path: string): Uint8Array => readFileSync(new URL(path, root));

// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- a fixture's form is the caller's to state
export const fixtureJson = <T>(path: string): T => JSON.parse(readFileSync(new URL(path, root), 'utf8')) as T;

export const fixtureNames = (folder: string, ending: string): string[] =>
  readdirSync(fileURLToPath(new URL(folder, root)))
    .filter((name) => name.endsWith(ending))
    .sort();

export interface Tensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  /** I64 as numbers. */
  readonly values: Float32Array | Uint8Array | Int32Array;
}

/** A small safetensors file, whole; only the types the cases use. */
export const fixtureTensors = (path: string): Map<string, Tensor> => {
  const file = fixtureBytes(path);
  const headerBytes = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + headerBytes))) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const tensors = new Map<string, Tensor>();
  for (const [name, { dtype, shape, data_offsets: [from, to] = [0, 0] }] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const bytes = file.slice(8 + headerBytes + from, 8 + headerBytes + to);
    const { buffer } = new Uint8Array(bytes);
    if (dtype === 'F32') tensors.set(name, { dtype, shape, values: new Float32Array(buffer) });
    else if (dtype === 'U8') tensors.set(name, { dtype, shape, values: new Uint8Array(buffer) });
    else if (dtype === 'I64')
      tensors.set(name, { dtype, shape, values: Int32Array.from(new BigInt64Array(buffer), Number) });
    else throw new Error(`${path}: ${name} is ${dtype}`);
  }
  return tensors;
};

/** sha256 of [channels, height, width], from [height, width, channels]. */
export const chwSha256 = (image: { rgb: Uint8Array; width: number; height: number }): string => {
  const plane = image.width * image.height;
  const chw = new Uint8Array(plane * 3);
  for (let i = 0; i < chw.length; i++) chw[(i % 3) * plane + Math.floor(i / 3)] = image.rgb[i]!;
  return createHash('sha256').update(chw).digest('hex');
};

export const dataUri = (bytes: Uint8Array, type = 'image/png'): string =>
  `data:${type};base64,${Buffer.from(bytes).toString('base64')}`;
