/**
 * `models.toml`: the catalogue, which says how each model may be placed on the nodes, what it advertises, and what it
 * is also called. What a node reports of a model it has stands over what is written here.
 */
import { z } from 'zod';

const megabytes = z.int().min(1).max(100_000_000);
const tokens = z.int().min(1).max(1_000_000_000);
const dollars = z.number().min(0);

const profileSchema = z.strictObject({
  id: z
    .string()
    .min(1)
    .describe('Its id, as the neurons know it.')
    .meta({ examples: ['Qwen/Qwen3.5-9B'] }),
  harness: z.string().min(1).default('ggml').describe('The engine that runs it.'),
  quant: z
    .string()
    .min(1)
    .optional()
    .describe('Quantise the weights while loading; default: as they are on disk.')
    .meta({ examples: ['q8_0'] }),
  vram_mb: megabytes
    .optional()
    .describe('Memory it needs, for choosing a node. A neuron that has the files knows better and is believed.')
    .meta({ examples: [11_000] }),
  min_devices: z.int().min(1).max(1024).default(1).describe('Devices it is split over: its tensor_parallel.'),
  min_device_vram_mb: megabytes
    .optional()
    .describe('Each of those devices must have at least this much memory in all.')
    .meta({ examples: [16_000] }),
  layer_offload: z
    .boolean()
    .optional()
    .describe(
      "Whether its layers may be spread over a node's GPUs and the host's memory where no GPU there has room for it: slower, but it runs. Default: as the node is set.",
    )
    .meta({ examples: [true] }),
  pinned_on: z
    .array(z.string().min(1))
    .default([])
    .describe('Only these nodes may run it, and there it is not evicted unless it has a residency_priority.'),
  residency_priority: z
    .int()
    .min(0)
    .max(1_000_000)
    .optional()
    .describe('Its class: it may evict models of its own class and of lower ones, never of higher ones. Default 100.')
    .meta({ examples: [100] }),
  idle_unload_secs: z
    .number()
    .min(0)
    .max(31_536_000)
    .optional()
    .describe('Unload it when unused for this long; 0 never. Default: [eviction] of cortex.toml.')
    .meta({ examples: [1800] }),
  capabilities: z
    .array(z.string().min(1))
    .min(1)
    .optional()
    .describe('What it takes, for models that no node has on disk yet.')
    .meta({ examples: [['text', 'vision']] }),
  limit: z
    .strictObject({
      context: tokens.describe('Prompt and answer together, in tokens.').meta({ examples: [32_768] }),
      input: tokens
        .optional()
        .describe('Of that, the prompt.')
        .meta({ examples: [28_672] }),
      output: tokens
        .optional()
        .describe('Of that, the answer.')
        .meta({ examples: [4096] }),
    })
    .optional()
    .describe('What it is advertised with while no node has it loaded.'),
  cost: z
    .strictObject({
      input: dollars.describe('Prompt tokens.').meta({ examples: [0] }),
      output: dollars.describe('Answer tokens.').meta({ examples: [0] }),
      cache_read: dollars
        .optional()
        .describe('Prompt tokens found in a cache.')
        .meta({ examples: [0] }),
      cache_write: dollars
        .optional()
        .describe('Prompt tokens put into a cache.')
        .meta({ examples: [0] }),
    })
    .optional()
    .describe('US dollars for a million tokens, shown by /v1/models as it is. Left out: unknown. 0: free.'),
});
export type ModelProfile = z.output<typeof profileSchema>;

export const modelsConfigSchema = z
  .strictObject({
    models: z.array(profileSchema).default([]).describe('One table for each model.'),
    aliases: z
      .record(z.string().min(1), z.string().min(1))
      .default({})
      .describe('Other names, as "name" = "id". A name may hold * for any text: "claude-*" = "Qwen/Qwen3.5-9B".'),
  })
  .superRefine((config, context) => {
    for (const [i, { layer_offload: mayOffload, min_devices: nDevices }] of config.models.entries()) {
      if (mayOffload !== true || nDevices === 1) continue;
      const message = 'devices share every layer (min_devices) or have layers of their own, not both';
      context.addIssue({ code: 'custom', path: ['models', i, 'layer_offload'], message });
    }
    const ids = config.models.map((model) => model.id);
    for (const [i, id] of ids.entries()) {
      if (ids.indexOf(id) === i) continue;
      context.addIssue({ code: 'custom', path: ['models', i, 'id'], message: 'stands in an earlier table too' });
    }
    for (const alias of Object.keys(config.aliases)) {
      if (!ids.includes(alias)) continue;
      context.addIssue({ code: 'custom', path: ['aliases', alias], message: 'is the id of a model' });
    }
  });
export type ModelsConfig = z.output<typeof modelsConfigSchema>;

/** Models without a class of their own. */
export const residencyPriorityDefault = 100;
