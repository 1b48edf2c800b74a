/**
 * The wire between cortex and neuron (JSON, snake_case): what `/discovery`, `/health` and `/models` answer,
 * what `/models/load` and `/models/unload` take. The gateway parses with these schemas; the neuron writes
 * values of their types.
 */
import { z } from 'zod';

/** Set by a gateway on what it forwards: an opaque name for who asks, and an integer that is larger for who goes first. */
export const callerHeaders = { client: 'x-cortex-client', priority: 'x-cortex-priority' } as const;

/** Of a streamed answer: the tokens of its prompt, which `usage` only tells a client that stays to the end. */
export const promptTokensHeader = 'x-cortex-prompt-tokens';

const nonNegative = z.number().nonnegative();

export const deviceInfoSchema = z.looseObject({
  index: z.int().nonnegative(),
  name: z.string(),
  /** `cpu`, `cuda`, `vulkan`, `metal`. */
  backend: z.string(),
  vram_total_mb: nonNegative,
  /** Free when it was asked. */
  vram_free_mb: nonNegative.nullish(),
  compute_capability: z.string().nullish(),
  /** Such as `0000:01:00.0`. */
  pci_id: z.string().nullish(),
  driver_version: z.string().nullish(),
});
export type DeviceInfo = z.infer<typeof deviceInfoSchema>;

export const discoverySchema = z.looseObject({
  hostname: z.string(),
  os: z.string(),
  kernel: z.string(),
  cuda_version: z.string().nullish(),
  driver_version: z.string().nullish(),
  /** Why no CUDA device is served, and what to do about it. */
  cuda_unavailable_reason: z.string().nullish(),
  /** CUDA's runtime libraries by name: the file that is loaded, or null where it is not found. */
  cuda_libraries: z.record(z.string(), z.string().nullable()).nullish(),
  /** The npm package that the engine's libraries come from, and the one that would bring an idle GPU in. */
  engine: z
    .looseObject({ package: z.string().nullish(), installed: z.array(z.string()), recommended: z.string().nullish() })
    .nullish(),
  devices: z.array(deviceInfoSchema),
  harnesses: z.array(z.string()),
  /** Largest prompt any model may take here, in tokens; null when each model's own limit decides. */
  max_prompt_tokens: z.int().positive().nullish(),
});
export type Discovery = z.infer<typeof discoverySchema>;

export const deviceHealthSchema = z.looseObject({
  index: z.int().nonnegative(),
  vram_used_mb: nonNegative,
  vram_free_mb: nonNegative,
  utilization_pct: nonNegative.nullish(),
  temp_c: z.number().nullish(),
  /** What the engine itself holds of native memory for this device, and in how many pieces. */
  native_bytes: nonNegative.nullish(),
  native_handles: nonNegative.nullish(),
  poisoned: z.boolean().default(false),
  /** Why it is poisoned, as the native library or the watchdog said. */
  poisoned_reason: z.string().nullish(),
});
export type DeviceHealth = z.infer<typeof deviceHealthSchema>;

/** Devices that can be used together no more until the neuron is restarted: native code is stuck with all of them. */
export const brokenGroupSchema = z.looseObject({
  devices: z.array(z.int().nonnegative()),
  /** With layers of their own on each and the host; otherwise with parts of every layer. */
  by_layers: z.boolean(),
  /** What happened, as the native library or the watchdog said. */
  reason: z.string(),
});
export type BrokenGroup = z.infer<typeof brokenGroupSchema>;

export const modelActivitySchema = z.looseObject({
  id: z.string(),
  in_flight: z.int().nonnegative(),
  queue_depth: z.int().nonnegative(),
  max_in_flight: z.int().positive(),
  /** Tokens a second over the last minute of work; null before any. */
  tok_s_prefill: nonNegative.nullish(),
  tok_s_decode: nonNegative.nullish(),
  /** Requests refused since start because the queue was full. */
  rejected: z.int().nonnegative().default(0),
  /** Milliseconds since the last request ended or began; null if none yet. */
  idle_ms: nonNegative.nullish(),
});
export type ModelActivity = z.infer<typeof modelActivitySchema>;

export const healthSchema = z.looseObject({
  status: z.string().default('ok'),
  uptime_secs: nonNegative,
  /** Of the host's memory, for layers that no device has room for. */
  host_free_mb: nonNegative.nullish(),
  devices: z.array(deviceHealthSchema),
  /** Each of their devices goes on by itself, if it is not `poisoned` too. */
  broken_groups: z.array(brokenGroupSchema).nullish(),
  /** How far the `default_models` of this neuron have come. */
  activation: z.looseObject({
    state: z.enum(['idle', 'loading', 'ready', 'failed']),
    loaded: z.array(z.string()),
    failed: z.array(z.looseObject({ id: z.string(), error: z.string() })),
  }),
  models: z.array(modelActivitySchema),
});
export type Health = z.infer<typeof healthSchema>;

export const modelStatuses = ['loaded', 'loading', 'unloading', 'available', 'failed'] as const;

export const limitSchema = z.looseObject({
  /** Prompt and answer together, in tokens. */
  context: z.int().positive(),
  input: z.int().positive().nullish(),
  output: z.int().positive().nullish(),
});
export type Limit = z.infer<typeof limitSchema>;

/** While loading: 0..1, what is being done, and an estimate from earlier loads. */
export const loadProgressSchema = z.looseObject({
  fraction: z.number().min(0).max(1),
  phase: z.string(),
  eta_secs: nonNegative.nullish(),
});

/** What one of several devices has of a model whose layers are on all of them. */
export const layerPartSchema = z.looseObject({
  /** Index of the device; null: the host's memory. */
  device: z.int().nonnegative().nullable(),
  name: z.string(),
  layers: z.int().nonnegative(),
  /** Of its memory. */
  mb: nonNegative,
});
export type LayerPart = z.infer<typeof layerPartSchema>;

/** What devices take that share a model by parts of every layer (`tensor_parallel`), however many they are. */
export const sharingSchema = z.looseObject({
  /** Of each, whatever its part: what is there whole, and room to compute with. */
  each_mb: nonNegative,
  /** Of the one with the lowest index besides: the vision tower. */
  first_mb: nonNegative,
  /** The rest is dealt out in whole pieces, of every kind one at least to each. */
  parts: z.array(
    z.looseObject({
      /** Such as `key/value heads`. */
      name: z.string(),
      count: z.int().positive().max(1_000_000_000),
      /** Of one piece. */
      mb: nonNegative,
    }),
  ),
});
export type Sharing = z.infer<typeof sharingSchema>;

export const nodeModelSchema = z.looseObject({
  id: z.string().min(1),
  harness: z.string(),
  status: z.enum(modelStatuses),
  /** Indices of the devices it is on; empty when it is not loaded. */
  devices: z.array(z.int().nonnegative()),
  /** On its devices, without the host's memory. */
  vram_used_mb: nonNegative,
  /** Of that, what each of `devices` has where they share it; empty or absent on one. */
  devices_mb: z.array(nonNegative).nullish(),
  /** Loaded with layers of its own on each of several devices and the host: what each has. */
  layers: z.array(layerPartSchema).nullish(),
  /** No device has room for it: its layers could be on all of them and in so much of the host's memory. */
  layer_offload: z
    .looseObject({
      host_mb: nonNegative,
      /** False: only where a load asks for it. Default: true. */
      by_default: z.boolean().nullish(),
    })
    .nullish(),
  /** What the weights and one sequence are expected to need before it is loaded. */
  vram_needed_mb: nonNegative.nullish(),
  /** Where the node's operator has it loaded: how many devices share it, and which; absent: any one. */
  placement: z
    .looseObject({ tensor_parallel: z.int().positive(), devices: z.array(z.int().nonnegative()).nullish() })
    .nullish(),
  /** How several devices would share it, with room for one sequence; absent where there are none, or it cannot be. */
  sharing: sharingSchema.nullish(),
  /** Number type of its weights: as it was loaded, or as on disk. */
  quant: z.string().nullish(),
  capabilities: z.array(z.string()),
  limit: limitSchema.nullish(),
  tool_call: z.boolean().nullish(),
  reasoning: z.boolean().nullish(),
  servable: z.looseObject({ ok: z.boolean(), reason: z.string().nullish() }),
  progress: loadProgressSchema.nullish(),
  error: z.string().nullish(),
});
export type NodeModel = z.infer<typeof nodeModelSchema>;

export const nodeModelsSchema = z.array(nodeModelSchema);

export const loadRequestSchema = z.looseObject({
  model_id: z.string().min(1),
  harness: z.string().nullish(),
  quant: z.string().nullish(),
  tensor_parallel: z.int().positive().nullish(),
  /**
   * Whether its layers may be spread over devices and the host's memory if no device has room for it; `devices` are then
   * those that may be used. Default: the neuron's `layer_offload`.
   */
  layer_offload: z.boolean().nullish(),
  devices: z.array(z.int().nonnegative()).nullish(),
  /** True: answer only when it is loaded (or failed). Default: answer `loading` at once. */
  wait: z.boolean().nullish(),
});
export type LoadRequest = z.infer<typeof loadRequestSchema>;

export const loadAnswerSchema = z.looseObject({ status: z.enum(['loaded', 'loading']) });
export type LoadAnswer = z.infer<typeof loadAnswerSchema>;

export const unloadRequestSchema = z.looseObject({
  model_id: z.string().min(1),
  /** While requests run: `refuse` answers 409 `model_busy`, `wait` lets them end first, `force` ends them. */
  mode: z.enum(['refuse', 'wait', 'force']).nullish(),
});
export type UnloadRequest = z.infer<typeof unloadRequestSchema>;

/** Answered once the memory is free. */
export const unloadAnswerSchema = z.looseObject({ status: z.literal('unloaded') });
export type UnloadAnswer = z.infer<typeof unloadAnswerSchema>;

export interface Version {
  readonly name: 'neuron';
  readonly version: string;
  readonly node: string;
  readonly ggml: { readonly version: string; readonly commit: string };
  readonly backends: readonly string[];
}
