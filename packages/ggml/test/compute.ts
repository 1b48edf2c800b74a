/** For tests: one small graph on the CPU, from host values to host values. */
import { Context, GraphAllocator, openLibrary, tensorTypes, type Bytes, type Tensor } from '../src/index.ts';

export interface GraphBuilder {
  readonly ctx: Context;
  f32(dims: readonly number[], values: ArrayLike<number>): Tensor;
  i32(dims: readonly number[], values: ArrayLike<number>): Tensor;
  /** From bits. */
  f16(dims: readonly number[], bits: ArrayLike<number>): Tensor;
}

export const cpu = () => {
  const device = openLibrary().devices.find(({ type }) => type === 'cpu');
  if (device === undefined) throw new Error('ggml finds no CPU');
  return device;
};

/** All inputs must be used by what `build` returns. */
export const compute = (build: (builder: GraphBuilder) => Tensor): Float32Array => {
  const device = cpu();
  using backend = device.open();
  backend.setThreads(1);
  using ctx = new Context(device.native, { nTensorsMax: 64, nNodesMax: 64 });
  const inputs: { tensor: Tensor; values: Bytes }[] = [];
  const input = (tensor: Tensor, values: Bytes): Tensor => {
    inputs.push({ tensor: tensor.asInput(), values });
    return tensor;
  };
  const output = build({
    ctx,
    f32: (dims, values) => input(ctx.tensor(tensorTypes.f32, dims), Float32Array.from(values)),
    i32: (dims, values) => input(ctx.tensor(tensorTypes.i32, dims), Int32Array.from(values)),
    f16: (dims, bits) => input(ctx.tensor(tensorTypes.f16, dims), Uint16Array.from(bits)),
  }).asOutput();
  const graph = ctx.graph();
  graph.expand(output);
  using allocator = new GraphAllocator(device.native, device.bufferType);
  allocator.allocate(graph);
  for (const { tensor, values } of inputs) tensor.write(values);
  backend.compute(graph);
  return output.read(new Float32Array(output.nElements));
};
