import { Context, GraphAllocator, openLibrary, ops, tensorTypes } from '@cortex/ggml';
import { expect, it } from 'vitest';
import { expandInputs } from './expand-inputs.ts';

const device = openLibrary().devices.find(({ type }) => type === 'cpu');
if (device === undefined) throw new Error('no CPU');

it.each([[[1]], [[1, 1]], [[1, 1, 1]], [[8, 1, 20]], [[16]]])(
  'lets what follows inputs of %j numbers begin at a cache line',
  (lengths) => {
    const { native } = device;
    using ctx = new Context(native, { nTensorsMax: 16, nNodesMax: 16 });
    const inputs = lengths.map((length) => ctx.tensor(tensorTypes.i32, [length]).asInput());
    const x = ctx.tensor(tensorTypes.f32, [64, 4]).asInput();
    const graph = ctx.graph();
    expandInputs(ctx, graph, [...inputs, x]);
    const sum = ops.add(ctx, x, x);
    graph.expand(sum);
    using allocator = new GraphAllocator(native, device.bufferType);
    allocator.allocate(graph);
    expect(native.ggml_get_data(sum.ptr) % 64n).toBe(0n);
    for (const input of inputs) input.write(new Int32Array(input.ne[0]));
  },
);
