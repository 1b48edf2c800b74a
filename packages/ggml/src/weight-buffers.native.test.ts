/** Weights that a device multiplies by from buffers other than its own, and rows converted by the CPU's threads. */
import { describe, expect, it } from 'vitest';
import { cpu } from '../test/compute.ts';
import {
  Buffer,
  Context,
  fromF32,
  GraphAllocator,
  ops,
  quietly,
  rowBytes,
  RowConverter,
  takesWeight,
  tensorTypes,
  weightBufferTypes,
  type BufferType,
  type TensorType,
} from './index.ts';

const values = (n: number, seed = 1): Float32Array =>
  Float32Array.from({ length: n }, (_, i) => Math.sin(seed * (i + 1) * 12.9898) * 0.05);

const device = cpu();
const { native } = device;
const nIn = 512;
const nOut = 64;

const quantised = (type: TensorType, nRows: number): Uint8Array => {
  const bytes = new Uint8Array(rowBytes(type, nIn) * nRows);
  fromF32(native, type, values(nIn * nRows), bytes, { nRows, nPerRow: nIn });
  return bytes;
};

/** The product of a weight that lies in a buffer of `bufferType` with a few columns; of experts, of the last one. */
const productFrom = (bufferType: BufferType, type: TensorType, nExperts: number): Float32Array => {
  using weights = new Context(native, { nTensorsMax: 1 });
  const weight = weights.tensor(type, [nIn, nOut, nExperts]);
  using buffer = Buffer.allocate(weights, bufferType, 'weights');
  expect(buffer.nBytes).toBeGreaterThanOrEqual(weight.nBytes);
  quietly(native, () => weight.write(quantised(type, nOut * nExperts)));
  using ctx = new Context(native, { nTensorsMax: 8, nNodesMax: 8 });
  const x = ctx.tensor(tensorTypes.f32, nExperts === 1 ? [nIn, 5] : [nIn, 1, 5]).asInput();
  const ids = ctx.tensor(tensorTypes.i32, [1, 5]).asInput();
  const product = nExperts === 1 ? ops.mulMat(ctx, weight, x) : ops.mulMatId(ctx, weight, x, ids);
  const graph = ctx.graph();
  graph.expand(product.asOutput());
  using allocator = new GraphAllocator(native, device.bufferType);
  allocator.allocate(graph);
  x.write(values(nIn * 5, 2));
  if (nExperts > 1) ids.write(new Int32Array(5).fill(nExperts - 1));
  using backend = device.open();
  backend.compute(graph);
  return product.read(new Float32Array(product.nElements));
};

const taken = (dims: readonly number[]) =>
  weightBufferTypes(device).flatMap((bufferType) =>
    Object.values(tensorTypes)
      .filter((type) => type.blockSize > 1 && takesWeight(device, bufferType, type, dims))
      .map((type) => ({ bufferType, type })),
  );

describe("buffers besides the device's own", () => {
  it('never take a norm or indices', () => {
    for (const bufferType of weightBufferTypes(device)) {
      expect(takesWeight(device, bufferType, tensorTypes.f32, [nIn, 7])).toBe(false);
    }
  });

  // The CPU of every platform that is built for repacks 4-bit rows.
  it.each([1, 4])('give the same products as plain memory, of %i experts', (nExperts) => {
    const found = taken([nIn, nOut, nExperts]);
    expect(found.map(({ type }) => type.name)).toContain('q4_0');
    for (const { bufferType, type } of found) {
      const wanted = productFrom(device.bufferType, type, nExperts);
      productFrom(bufferType, type, nExperts).forEach((value, i) => expect(value).toBeCloseTo(wanted[i] ?? NaN, 3));
    }
  });
});

describe('the converter of rows', () => {
  const nRows = 6;
  const { f32, f16, bf16, q8_0, q6_K, q5_K, q4_K, q4_0, q5_0, q5_1, iq4_xs } = tensorTypes;

  it.each([f16, bf16, q8_0, q6_K, q5_K, q4_K, q4_0, q5_0, q5_1, iq4_xs])('makes of f32 the bytes of $name', (to) => {
    using backend = device.open();
    backend.setThreads(2);
    using converter = new RowConverter(backend);
    const got = converter.convert({ from: f32, to, rowLength: nIn, nRows }, values(nIn * nRows));
    expect(sameBytes(got, quantised(to, nRows))).toBe(true);
  });

  it.each([f16, bf16])('takes rows of $name, and gives every type that it makes back as f32', (from) => {
    using backend = device.open();
    using converter = new RowConverter(backend);
    const source = quantised(from, nRows);
    for (const to of [f32, f16, bf16, q8_0, q4_K]) {
      const made = converter.convert({ from, to, rowLength: nIn, nRows }, source).slice();
      const back = to === f32 ? made : converter.convert({ from: to, to: f32, rowLength: nIn, nRows }, made).slice();
      const wanted = values(nIn * nRows);
      const error = new Float32Array(back.buffer).reduce((sum, x, i) => sum + (x - (wanted[i] ?? 0)) ** 2, 0);
      expect(Math.sqrt(error / nIn / nRows)).toBeLessThan(0.004);
    }
  });

  it('refuses bytes that are not the rows', () => {
    using backend = device.open();
    using converter = new RowConverter(backend);
    expect(() => converter.convert({ from: f32, to: f16, rowLength: 32, nRows: 2 }, values(63))).toThrow(
      '252 bytes for rows of 256',
    );
  });
});

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((x, i) => x === b[i]);

describe('the table of types', () => {
  it.each(Object.values(tensorTypes))(
    'has the block of $name as the library has it',
    ({ id, blockSize, blockBytes }) => {
      expect({ blockSize: native.ggml_blck_size(id), blockBytes: native.ggml_type_size(id) }).toEqual({
        blockSize,
        blockBytes,
      });
    },
  );
});
