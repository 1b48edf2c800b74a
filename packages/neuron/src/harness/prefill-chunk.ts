import type { DeviceInfo, GgmlConfig } from '@cortex/core';

/**
 * Tokens of a prompt that are computed in one step. A GPU gains by large products; a core multiplies the weights by what
 * of the tokens its cache holds, and is fastest with these many (docs/speed.md).
 */
export const prefillChunk = (
  { prefill_chunk: chosen }: Pick<GgmlConfig, 'prefill_chunk'>,
  { backend }: Pick<DeviceInfo, 'backend'>,
): number => chosen ?? (backend === 'cpu' ? 256 : 512);
