/** The number type of a KV cache: what is asked for, where the model's heads and the device's kernels allow it. */
import { CortexError } from '@cortex/core';
import { Context, ops, tensorTypes, type Device, type TensorType } from '@cortex/ggml';
import type { LayerCache } from '../arch/arch.ts';
import type { ModelOptions } from './device-model.ts';

type AttentionCache = Extract<LayerCache, { kind: 'attention' }>;

/** Tokens and cells of the step that is asked about: kernels may want a minimum. */
const nTokens = 32;
const nCells = 256;

const refused = (type: TensorType, why: string): CortexError =>
  new CortexError('unsupported_parameter', `kv_cache_type ${type.name} is not possible: ${why}`, {
    param: 'kv_cache_type',
  });

/** Whether the device writes rows of this type into a cache and attends over them. */
const computes = (device: Device, { rowLength, headDim }: AttentionCache, type: TensorType): boolean => {
  using ctx = new Context(device.native, { nTensorsMax: 16 });
  const nHeads = rowLength / headDim;
  const cache = ctx.tensor(type, [rowLength, nCells]);
  const rows = ctx.tensor(tensorTypes.f32, [rowLength, nTokens]);
  const heads = ctx.tensor(type, [headDim, nCells, nHeads]);
  const attention = ops.flashAttention(ctx, {
    q: ctx.tensor(tensorTypes.f32, [headDim, nTokens, nHeads]),
    k: heads,
    v: heads,
    mask: ctx.tensor(tensorTypes.f16, [nCells, nTokens]),
    scale: 1,
  });
  const write = ops.setRows(ctx, cache, rows, ctx.tensor(tensorTypes.i64, [nTokens]));
  return device.supports(write) && device.supports(attention);
};

/**
 * `auto` is f16, and f32 in the host's memory, where halves save nothing that is short.
 * @throws CortexError `unsupported_parameter` with the reason.
 */
export const kvTypeFor = (
  device: Device,
  caches: readonly LayerCache[],
  wanted: ModelOptions['kvCacheType'],
): TensorType => {
  if (wanted === 'auto') return device.type === 'cpu' ? tensorTypes.f32 : tensorTypes.f16;
  const type = tensorTypes[wanted];
  const attention = caches.filter((cache) => cache.kind === 'attention');
  const odd = attention.find(({ headDim }) => headDim % type.blockSize !== 0);
  if (odd !== undefined) {
    throw refused(type, `the model's heads of ${odd.headDim} values are no whole blocks of ${type.blockSize}`);
  }
  const [first] = attention;
  if (type.blockSize > 1 && first !== undefined && !computes(device, first, type)) {
    throw refused(type, `${device.name} does not attend over such a cache with heads of ${first.headDim} values`);
  }
  return type;
};
