/** What the processes of `npm run bench devices` are told and what they answer. Plain data. */
import type { WeightType } from '../../packages/neuron/src/model/weight-types.ts';

/** A device, or several that share the model, by parts of every layer or by layers of their own. */
export interface Place {
  /** As ggml calls it, such as `CPU` or `Vulkan0`; of several `CUDA0+CUDA1`, or `CUDA0/CUDA1`, `CUDA0/CPU` by layers. */
  readonly name: string;
  /** The maker's name. */
  readonly description: string;
  readonly backend: string;
  /** In ggml's registry. */
  readonly index: number;
  readonly others: readonly number[];
  /** By layers: whether the host has as many as each device, or none. */
  readonly layers?: { readonly areOnHost: boolean };
}

export interface MeasureJob {
  readonly kind: 'measure';
  readonly place: Place;
  readonly dir: string;
  readonly type: WeightType;
  readonly ids: readonly number[];
  readonly nDecode: number;
  readonly nRuns: number;
  readonly threads: number;
  /** The logits of the prompt that count as right: read from there, or written there. */
  readonly reference: { readonly file: string; readonly isWritten: boolean };
}

export type Job = { readonly kind: 'list' } | MeasureJob;

export interface Figures {
  readonly loadMs: number;
  /** The first prompt: on a GPU its kernels are made ready meanwhile. */
  readonly coldMs: number;
  readonly prefillTokS: number;
  readonly ttftMs: number;
  readonly decodeTokS: number;
  readonly memoryMb: number;
  /** Of the prompt's logits from the reference: root mean square of the difference over that of the logits. */
  readonly deviation: number;
  /** Largest difference of one logit. */
  readonly maxAbs: number;
  /** Share of tokens after which the likeliest next one is the reference's. */
  readonly sameTop: number;
}

export type Answer =
  | { readonly kind: 'listed'; readonly places: readonly Place[] }
  | { readonly kind: 'measured'; readonly figures: Figures }
  | { readonly kind: 'failed'; readonly reason: string };
