/** `neuron.toml`: every setting of the daemon. Keys, types, defaults and the example file come from this schema. */
import { z } from 'zod';
import { quantNames } from '../quant.ts';

const positiveInt = z.int().positive();

const ggmlSchema = z.strictObject({
  allow_download: z
    .boolean()
    .default(false)
    .describe('Fetch models that are not on disk from the Hugging Face hub, into its shared cache.'),
  parallel: z
    .int()
    .min(1)
    .max(256)
    .default(4)
    .describe('Sequences that one model generates at once; more requests than this wait in the queue.'),
  queue_max: z
    .int()
    .min(0)
    .max(100_000)
    .default(64)
    .describe('Requests that may wait per model; one more is answered 429, unless its client has none yet.'),
  queue_timeout_secs: z
    .number()
    .positive()
    .max(86_400)
    .default(300)
    .describe('A request that waited this long for room on the device is answered 503.'),
  context_max: positiveInt
    .optional()
    .describe("Longest prompt and answer together, in tokens. Default: the model's own limit.")
    .meta({ examples: [32_768] }),
  kv_tokens: positiveInt
    .optional()
    .describe('Tokens that the KV cache of one model holds for all its sequences together. Default: what fits.')
    .meta({ examples: [65_536] }),
  quant: z
    .enum(quantNames)
    .default('auto')
    .describe('Number type that weights are loaded as where a load asks for none; auto and GGUF files: as on disk.'),
  kv_cache_type: z
    .enum(['auto', 'f16', 'f32', 'q8_0'])
    .default('auto')
    .describe(
      'Number type of the KV cache: auto takes f16 on a GPU and f32 on the CPU; q8_0 takes about half of f16, for models and devices that can.',
    ),
  prefill_chunk: z
    .int()
    .min(1)
    .max(8192)
    .optional()
    .describe(
      'Prompt tokens computed in one step; smaller steps let running answers go on between them. Default: 512 on a GPU, 256 on the CPU.',
    )
    .meta({ examples: [512] }),
  prefill_step_ms: z
    .int()
    .min(10)
    .max(60_000)
    .default(150)
    .describe(
      'While answers are running, prompts are computed in steps of about this long, so that none of them stops.',
    ),
  prefix_cache: z
    .boolean()
    .default(true)
    .describe(
      'Go on from what earlier requests computed where a prompt begins like theirs, instead of computing it again.',
    ),
  prefix_cache_mb: z
    .int()
    .min(0)
    .optional()
    .describe(
      "Host memory per model for prefixes: states of recurrent layers, and what had to leave the device's KV cache. Default: a tenth of the machine's memory.",
    )
    .meta({ examples: [4096] }),
  draft_max: z
    .int()
    .min(0)
    .max(64)
    .default(8)
    .describe(
      "Tokens guessed ahead while one answer is generated alone, by the checkpoint's own layer for that (MTP) where there is one, and from repetitions in the text; the answer is the same, sooner. 0 turns it off, and leaves that layer out of memory.",
    ),
  layer_offload: z
    .boolean()
    .default(false)
    .describe(
      "Load a model that no GPU has room for with its layers over several of them and the host's memory, where a load does not say: slower, but it runs. Without it such a load is refused.",
    ),
  device_memory_max_mb: positiveInt
    .optional()
    .describe(
      'Memory of each device that models may take, in MB; the rest is left to others. Default: all that is free.',
    )
    .meta({ examples: [20_000] }),
  threads: z
    .int()
    .min(1)
    .max(1024)
    .optional()
    .describe('CPU threads of one device. Default: one a physical core, within the limits of the container.')
    .meta({ examples: [8] }),
  step_timeout_secs: z
    .number()
    .positive()
    .max(86_400)
    .default(300)
    .describe('A step that takes longer means a hung device: it is taken out of service until a restart.'),
  image_pixels_max: positiveInt
    .default(50_000_000)
    .describe('Largest image that is decoded, in pixels (width times height); a larger one is answered 413.'),
  image_resized_pixels_max: z
    .int()
    .min(65_536)
    .default(4_194_304)
    .describe(
      "Images are shrunk to at most this area before the model sees them, or to the model's own limit where that is lower. An area of 1024 pixels is one prompt token.",
    ),
  images_max: z.int().min(0).max(1024).default(64).describe('Images in one request.'),
});
export type GgmlConfig = z.output<typeof ggmlSchema>;

const tokenText = z
  .string()
  .min(8, 'a token has at least 8 characters')
  .refine((text) => !/\s/.test(text), 'a token has no spaces')
  .refine((text) => !text.startsWith('sha256:') || /^sha256:[0-9a-f]{64}$/.test(text), {
    message: 'after sha256: come 64 lower-case hex digits',
  });

export const neuronConfigSchema = z.strictObject({
  host: z.string().min(1).default('0.0.0.0').describe('Address to listen on. 127.0.0.1 keeps it on this machine.'),
  port: z.int().min(0).max(65_535).default(13_131).describe('Port to listen on; 0 takes any free one.'),
  token: tokenText
    .optional()
    .describe('Callers must send it as "Authorization: Bearer ...": as it is, or as sha256:<hex of its SHA-256>.')
    .meta({ examples: ['change-me-please'] }),
  model_dirs: z
    .array(z.string().min(1))
    .default([])
    .describe('Folders of checkpoints, DIR/NAME or DIR/ORG/NAME; a relative one starts at this file.'),
  body_limit_mb: z
    .int()
    .min(1)
    .max(1024)
    .default(64)
    .describe('Largest request body; images come inside it as base64.'),
  keepalive_secs: z
    .number()
    .min(0.05)
    .max(3600)
    .default(5)
    .describe('A stream that is silent for this long gets a comment line, so that no proxy gives up on it.'),
  drain_secs: z.number().min(0).max(3600).default(30).describe('At shutdown, running requests get this long to end.'),
  log_level: z
    .enum(['fatal', 'error', 'warn', 'info', 'debug', 'silent'])
    .default('info')
    .describe('How much is logged, as JSON lines on standard output.'),
  harness: z.strictObject({ ggml: ggmlSchema.prefault({}).describe('The inference engine.') }).prefault({}),
  default_models: z
    .array(
      z.strictObject({
        id: z
          .string()
          .min(1)
          .describe('Its id: a folder under model_dirs, or ORG/NAME as on the hub.')
          .meta({ examples: ['Qwen/Qwen3.5-0.8B'] }),
        quant: z
          .enum(quantNames)
          .optional()
          .describe('Quantise its weights while loading; default: [harness.ggml] quant.')
          .meta({ examples: ['q8_0'] }),
        tensor_parallel: z
          .int()
          .min(1)
          .max(16)
          .optional()
          .describe('GPUs of this host that share it, each with a part of every layer. Default: one has all of it.')
          .meta({ examples: [2] }),
        layer_offload: z
          .boolean()
          .optional()
          .describe(
            "Spread its layers over GPUs and the host's memory where no GPU has room for it. Default: [harness.ggml] layer_offload.",
          )
          .meta({ examples: [true] }),
        devices: z
          .array(z.int().min(0))
          .min(1)
          .optional()
          .describe('Indices of those GPUs, as `cortex status` shows them. Default: those with the most free memory.')
          .meta({ examples: [[0, 1]] }),
      }),
    )
    .default([])
    .describe('Models loaded at start, one table each, while the port already answers.'),
});
export type NeuronConfig = z.output<typeof neuronConfigSchema>;
export type DefaultModel = NeuronConfig['default_models'][number];

/** `NEURON_PORT`, `NEURON_HARNESS__GGML__PARALLEL`, … */
export const neuronEnvironment = { prefix: 'NEURON' } as const;
