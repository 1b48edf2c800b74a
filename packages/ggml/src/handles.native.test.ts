/** Shapes are refused before C sees them, handles die with what they belong to, and both sides agree on bytes. */
import { describe, expect, it } from 'vitest';
import { compute, cpu } from '../test/compute.ts';
import {
  Buffer,
  Context,
  GraphAllocator,
  ggmlVersion,
  holdings,
  HostMemory,
  openLibrary,
  ops,
  OutOfMemoryError,
  ShapeError,
  tensorTypes,
} from './index.ts';
import type { Tensor } from './tensor.ts';

const { f32, f16, i32, i64, q8_0, q4_K } = tensorTypes;
const newContext = (nTensorsMax = 64): Context => new Context(cpu().native, { nTensorsMax, nNodesMax: 8 });

describe('the library', () => {
  it('is the pinned one, from the package it says, and is opened once', () => {
    const library = openLibrary();
    expect(library.version).toBe(ggmlVersion);
    expect(library.commit).toMatch(/^[0-9a-f]{7,40}/);
    expect(library.packageName).toMatch(/^@node-llama-cpp\//);
    expect(library.backends).toContain('CPU');
    expect(openLibrary()).toBe(library);
  });

  it('knows each device, its memory and its backend', () => {
    const device = cpu();
    const { freeBytes, totalBytes } = device.memory();
    expect(device.backend).toBe('cpu');
    expect(device.description).not.toBe('');
    expect(freeBytes).toBeGreaterThan(0);
    expect(totalBytes).toBeGreaterThanOrEqual(freeBytes);
  });
});

describe('shapes that do not fit', () => {
  type Make = (ctx: Context, t: (...dims: number[]) => Tensor, ids: (...dims: number[]) => Tensor) => unknown;
  const cases: readonly (readonly [string, readonly string[], Make])[] = [
    ['add', ['f32[4, 3]', 'f32[3]'], (ctx, t) => ops.add(ctx, t(4, 3), t(3))],
    ['mul', ['f32[4]', 'f32[4, 2]'], (ctx, t) => ops.mul(ctx, t(4), t(4, 2))],
    ['mul_mat', ['f32[8, 2]', 'f32[7, 2]'], (ctx, t) => ops.mulMat(ctx, t(8, 2), t(7, 2))],
    ['mul_mat', ['f32[8, 2, 3]', 'f32[8, 2, 4]'], (ctx, t) => ops.mulMat(ctx, t(8, 2, 3), t(8, 2, 4))],
    ['mul_mat', ['f32[2, 8]'], (ctx, t) => ops.mulMat(ctx, ops.transpose(ctx, t(8, 2)), t(2, 5))],
    [
      'mul_mat_id',
      ['i32[2, 3]', 'f32[8, 1, 4]'],
      (ctx, t, ids) => ops.mulMatId(ctx, t(8, 2, 5), t(8, 1, 4), ids(2, 3)),
    ],
    ['get_rows', ['f32[4, 2]'], (ctx, t) => ops.getRows(ctx, t(4, 9), t(4, 2))],
    ['set_rows', ['f32[4, 9]', 'f32[5, 2]'], (ctx, t, ids) => ops.setRows(ctx, t(4, 9), t(5, 2), ids(2))],
    ['set_rows', ['f32[4, 2]', 'i32[3]'], (ctx, t, ids) => ops.setRows(ctx, t(4, 9), t(4, 2), ids(3))],
    ['argsort_top_k', ['f32[4, 2]'], (ctx, t) => ops.argsortTopK(ctx, t(4, 2), 5)],
    ['reshape', ['f32[4, 3]'], (ctx, t) => ops.reshape(ctx, t(4, 3), 5, 2)],
    ['reshape', ['f32[3, 4]'], (ctx, t) => ops.reshape(ctx, ops.transpose(ctx, t(4, 3)), 12)],
    ['view', ['f32[4, 3]'], (ctx, t) => ops.view(ctx, t(4, 3), [4, 2], { offset: 20 })],
    ['permute', ['f32[4, 3]'], (ctx, t) => ops.permute(ctx, t(4, 3), [0, 0, 1, 2])],
    ['concat', ['f32[4, 3]', 'f32[4, 2]'], (ctx, t) => ops.concat(ctx, t(4, 3), t(4, 2), 0)],
    ['cpy', ['f32[4, 3]', 'f32[4, 4]'], (ctx, t) => ops.copyInto(ctx, t(4, 3), t(4, 4))],
    ['soft_max', ['i32[4]'], (ctx, _, ids) => ops.softMax(ctx, ids(4))],
    ['swiglu', ['f32[4, 3]', 'f32[4, 2]'], (ctx, t) => ops.swigluSplit(ctx, t(4, 3), t(4, 2))],
    [
      'rope',
      ['f32[8, 2, 3]', 'i32[3]'],
      (ctx, t, ids) =>
        ops.rope(ctx, t(8, 2, 3), ids(3), {
          mode: 'interleavedMrope',
          nDims: 8,
          freqBase: 1e4,
          sections: [2, 1, 1, 0],
        }),
    ],
    [
      'flash_attn',
      ['f32[8, 5, 4]', 'f32[8, 9, 3]'],
      (ctx, t) => ops.flashAttention(ctx, { q: t(8, 5, 4), k: t(8, 9, 3), v: t(8, 9, 3), mask: null, scale: 1 }),
    ],
    [
      'flash_attn',
      ['f16[9, 4]', 'f32[8, 9, 2]', 'f32[8, 5, 4]'],
      (ctx, t) => {
        const mask = ctx.tensor(f16, [9, 4]);
        return ops.flashAttention(ctx, { q: t(8, 5, 4), k: t(8, 9, 2), v: t(8, 9, 2), mask, scale: 1 });
      },
    ],
    ['ssm_conv', ['f32[3, 6]', 'f32[4, 6]'], (ctx, t) => ops.ssmConv(ctx, t(3, 6), t(4, 6))],
    [
      'gated_delta_net',
      ['f32[8, 4, 6, 2]', 'f32[8, 3, 6, 2]'],
      (ctx, t) => {
        const key = t(8, 3, 6, 2);
        const gate = t(1, 4, 6, 2);
        return ops.gatedDeltaNet(ctx, { q: key, k: key, v: t(8, 4, 6, 2), g: gate, beta: gate, state: t(8, 8, 4, 2) });
      },
    ],
  ];

  it.each(cases)('%s refuses %j', (op, shapes, make) => {
    using ctx = newContext();
    const failure = (): unknown =>
      make(
        ctx,
        (...dims) => ctx.tensor(f32, dims),
        (...dims) => ctx.tensor(i32, dims),
      );
    expect(failure).toThrow(ShapeError);
    expect(failure).toThrow(`${op}: ${shapes.join(' and ')}: `);
  });

  it('are not made into tensors either', () => {
    using ctx = newContext();
    for (const dims of [[], [0], [-1], [1.5], [1, 2, 3, 4, 5], [NaN]])
      expect(() => ctx.tensor(f32, dims)).toThrow('not a tensor shape');
    expect(() => ctx.tensor(q8_0, [33])).toThrow('rows of q8_0 are multiples of 32');
  });
});

describe('both sides', () => {
  it.each([
    [f32, [5, 3, 2]],
    [f16, [7, 2]],
    [i64, [9]],
    [q8_0, [64, 3]],
    [q4_K, [512, 2, 2]],
  ] as const)('count the same bytes of a tensor: $0.name $1', (type, dims) => {
    using ctx = newContext();
    const tensor = ctx.tensor(type, dims);
    expect(tensor.nBytes).toBe(cpu().native.ggml_nbytes(tensor.ptr));
  });

  it('agree on results, views and permutations', () => {
    using ctx = newContext();
    const [a, b] = [ctx.tensor(f32, [8, 6, 4]), ctx.tensor(f32, [8, 5, 4])];
    const product = ops.mulMat(ctx, a, b);
    const made = [
      product,
      ops.view(ctx, a, [4, 3, 2], { nb1: a.nb[1], nb2: a.nb[2], offset: 16 }),
      ops.permute(ctx, a, [0, 2, 1, 3]),
      ops.transpose(ctx, a),
      ops.concat(ctx, a, b, 1),
      ops.cont(ctx, ops.transpose(ctx, a)),
      ops.argsortTopK(ctx, product, 3),
    ];
    for (const { ne, nb, type, ptr } of made) {
      // What ggml counts for any strides: from the first byte to the last.
      const spanned = ne.reduce((bytes, n, dim) => bytes + (n - 1) * nb[dim]!, type.blockBytes);
      expect(cpu().native.ggml_nbytes(ptr)).toBe(spanned);
    }
  });

  it('put the values where the strides say', () => {
    const values = Array.from({ length: 24 }, (_, i) => i);
    const got = compute((builder) => {
      const a = builder.f32([4, 3, 2], values);
      return ops.cont(builder.ctx, ops.permute(builder.ctx, a, [2, 0, 1, 3]));
    });
    // Dimension 0 of `a` is now dimension 2, 1 is 0, 2 is 1.
    const wanted = values.map((_, i) => (Math.floor(i / 6) % 4) + 4 * (i % 3) + 12 * (Math.floor(i / 3) % 2));
    expect([...got]).toEqual(wanted);
  });
});

describe('handles', () => {
  it('of a freed context are refused, the context freed twice is not', () => {
    const ctx = newContext();
    const tensor = ctx.tensor(f32, [4]);
    const graph = ctx.graph();
    ctx[Symbol.dispose]();
    ctx[Symbol.dispose]();
    for (const use of [
      () => tensor.ptr,
      () => tensor.write(new Float32Array(4)),
      () => tensor.named('x'),
      () => graph.nNodes,
      () => ctx.tensor(f32, [1]),
      () => ctx.graph(),
      () => ops.silu(ctx, tensor),
    ])
      expect(use).toThrow(/has been freed/);
  });

  it('of data before it is allocated and after its buffer is freed are refused', () => {
    const device = cpu();
    using ctx = new Context(device.native, { nTensorsMax: 1 });
    const tensor = ctx.tensor(tensorTypes.f32, [4]);
    expect(() => tensor.write(new Float32Array(4))).toThrow('write: tensor [4] has no memory');
    const buffer = Buffer.allocate(ctx, device.bufferType);
    tensor.write(Float32Array.of(1, 2, 3, 4));
    expect([...tensor.read(new Float32Array(4))]).toEqual([1, 2, 3, 4]);
    buffer[Symbol.dispose]();
    expect(() => tensor.read(new Float32Array(4))).toThrow('read: tensor [4] has no memory');
    expect(() => tensor.fill(0)).toThrow('fill: tensor [4] has no memory');
  });

  it('of freed buffers, allocators and backends are refused', () => {
    const device = cpu();
    using ctx = newContext();
    ctx.tensor(f32, [4]);
    const buffer = Buffer.allocate(ctx, device.bufferType);
    const allocator = new GraphAllocator(device.native, device.bufferType);
    const backend = device.open();
    const graph = ctx.graph();
    for (const handle of [buffer, allocator, backend]) {
      handle[Symbol.dispose]();
      handle[Symbol.dispose]();
    }
    expect(() => buffer.clear()).toThrow('the buffer has been freed');
    expect(() => allocator.allocate(graph)).toThrow('the graph allocator has been freed');
    expect(() => allocator.nBytes).toThrow('the graph allocator has been freed');
    expect(() => backend.compute(graph)).toThrow('is closed');
  });

  it('are no more than the context has room for', () => {
    using ctx = newContext(3);
    const [a, b] = [ctx.tensor(f32, [4]), ctx.tensor(f32, [4])];
    ops.add(ctx, a, b);
    expect(() => ops.add(ctx, a, b)).toThrow('it was made for 3 tensors');
    expect(() => ctx.tensor(f32, [1])).toThrow('it was made for 3 tensors');
  });

  it('read and write within their tensor only', () => {
    using ctx = newContext();
    const tensor = ctx.tensor(f32, [4]);
    using buffer = Buffer.allocate(ctx, cpu().bufferType);
    buffer.clear();
    tensor.write(Float32Array.of(1, 2), 8);
    expect([...tensor.read(new Float32Array(4))]).toEqual([0, 0, 1, 2]);
    expect(() => tensor.write(Float32Array.of(1, 2), 12)).toThrow('bytes 12..20 of a tensor of 16');
    expect(() => tensor.read(new Float32Array(5))).toThrow('bytes 0..20 of a tensor of 16');
    expect(() => tensor.read(new Float32Array(1), -4)).toThrow(RangeError);
    expect(() => ops.transpose(ctx, ctx.tensor(f32, [4, 2])).read(new Float32Array(8))).toThrow('is not contiguous');
  });
});

describe('what is held', () => {
  it('is counted from its making to its freeing, with the bytes of its data', () => {
    const before = holdings();
    const ctx = newContext();
    ctx.tensor(f32, [1024]);
    const buffer = Buffer.allocate(ctx, cpu().bufferType);
    const allocator = new GraphAllocator(cpu().native, cpu().bufferType);
    expect(holdings()).toEqual({ nHandles: before.nHandles + 3, nBytes: before.nBytes + buffer.nBytes });
    expect(buffer.nBytes).toBeGreaterThanOrEqual(4096);
    for (const held of [allocator, buffer, ctx, ctx]) held[Symbol.dispose]();
    expect(holdings()).toEqual(before);
  });

  it('of the host is there until it is freed, and counted', () => {
    const before = holdings();
    const memory = new HostMemory(100_000);
    expect(memory.bytes.length).toBe(100_000);
    expect(memory.bytes.every((byte) => byte === 0)).toBe(true);
    memory.bytes.fill(7);
    expect(memory.bytes[99_999]).toBe(7);
    expect(holdings()).toEqual({ nHandles: before.nHandles + 1, nBytes: before.nBytes + 100_000 });
    for (const _ of [1, 2]) memory[Symbol.dispose]();
    expect(holdings()).toEqual(before);
    expect(() => memory.bytes).toThrow('has been freed');
    expect(() => new HostMemory(2 ** 52)).toThrow(OutOfMemoryError);
    expect(() => new HostMemory(0)).toThrow(RangeError);
  });
});
