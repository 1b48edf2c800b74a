export { onNativeAbort } from './abort.ts';
export { Backend } from './backend.ts';
export { Buffer, OutOfMemoryError, type BufferType } from './buffer.ts';
export { Context } from './context.ts';
export type { Device } from './device.ts';
export { DeviceGroup } from './device-group.ts';
export { exitNow } from './exit-now.ts';
export { FileMapping } from './file-mapping.ts';
export { DeviceRunner, GraphAllocator } from './graph-allocator.ts';
export type { GraphRunner } from './graph-runner.ts';
export { GraphScheduler, type SchedulerSize } from './graph-scheduler.ts';
export { holdings, type Holdings } from './holdings.ts';
export { HostMemory } from './host-memory.ts';
export type { Graph } from './graph.ts';
export {
  ggmlVersion,
  installedPackages,
  LibraryError,
  openLibrary,
  packageNames,
  packageVersion,
  type Library,
  type LibraryOptions,
} from './library.ts';
export type { Bytes, Native } from './native.ts';
export * as ops from './ops/index.ts';
export { ShapeError } from './ops/check.ts';
export { asPlaceless, bytesIn, EmptyBuffer } from './placeless.ts';
export { quietly } from './quietly.ts';
export { RowConverter, type RowConversion } from './row-converter.ts';
export { fromF32, toF32 } from './rows.ts';
export { giveBackFreed, keepLittleFreed } from './system-allocator.ts';
export { shapeText, Tensor, type Shape } from './tensor.ts';
export { sliceShape, type TensorSplit } from './tensor-split.ts';
export { rowBytes, tensorTypes, type BufferUsage, type TensorType, type TensorTypeName } from './types.ts';
export { supportsRows, takesWeight, weightBufferTypes } from './weight-buffers.ts';
