/** What `cortex up` and its neuron process say to each other. The channel's end is the word for: the other is gone. */
import type { NeuronConfig } from '@cortex/core';

export type ToNeuron =
  | { readonly kind: 'start'; readonly config: NeuronConfig }
  /** Let running requests end, then end. */
  | { readonly kind: 'stop' };

export type FromNeuron =
  | { readonly kind: 'listening'; readonly url: string }
  /** It could not start, and ends. */
  | { readonly kind: 'failed'; readonly message: string };
