/**
 * For tests: the predictor of a Qwen3.5 checkpoint in plain loops and double precision, for text. It knows nothing of the
 * engine but the hidden states that it is given.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CheckpointValues } from './gguf/checkpoint-values.ts';
import { textSizes } from './gguf/text-config.ts';

type Vector = ArrayLike<number>;

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

const dot = (a: Vector, b: Vector, offset = 0): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] ?? NaN) * (b[offset + i] ?? NaN);
  return sum;
};

/** w [out, in] row by row. */
const times = (w: Float32Array, x: Vector): Float64Array =>
  Float64Array.from({ length: w.length / x.length }, (_, row) => dot(x, w, row * x.length));

const plus = (a: Vector, b: Vector): Float64Array => Float64Array.from(a, (value, i) => value + (b[i] ?? NaN));

export class PredictorReference {
  readonly #values = new Map<string, Float32Array>();
  readonly #sizes: ReturnType<typeof textSizes>;
  readonly #embeds: Float32Array;
  readonly #head: Float32Array;

  /** @param dir A dense model's folder. */
  constructor(dir: string) {
    this.#sizes = textSizes(JSON.parse(readFileSync(join(dir, 'config.json'), 'utf8')) as Record<string, unknown>);
    using checkpoint = new CheckpointValues(dir);
    const read = (name: string): Float32Array =>
      checkpoint.read(
        name,
        0,
        checkpoint.shape(name).reduce((n, dim) => n * dim, 1),
      );
    const layer = ['input_layernorm', 'post_attention_layernorm'];
    const attention = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'q_norm', 'k_norm'].map((name) => `self_attn.${name}`);
    const mlp = ['gate_proj', 'up_proj', 'down_proj'].map((name) => `mlp.${name}`);
    const own = ['fc', 'pre_fc_norm_embedding', 'pre_fc_norm_hidden', 'norm'];
    for (const name of [...own, ...[...layer, ...attention, ...mlp].map((part) => `layers.0.${part}`)])
      this.#values.set(name, read(`mtp.${name}.weight`));
    const prefix = checkpoint.has('model.norm.weight') ? 'model' : 'model.language_model';
    this.#embeds = read(`${prefix}.embed_tokens.weight`);
    this.#head = checkpoint.has('lm_head.weight') ? read('lm_head.weight') : this.#embeds;
  }

  /**
   * The likeliest tokens behind the last of `ids`, one after the other: `hidden[i]` is the model's final hidden state of
   * `ids[i]`, for all but the last.
   */
  guess(ids: Vector, hidden: readonly Vector[], n: number): number[] {
    const [allIds, allHidden] = [Array.from(ids), [...hidden]];
    return Array.from({ length: n }, () => {
      const inputs = allIds.slice(1).map((id, i) => this.#input(id, allHidden[i] ?? []));
      const out = this.#layer(inputs);
      const logits = times(this.#head, out);
      const next = logits.indexOf(Math.max(...logits));
      allIds.push(next);
      allHidden.push(out);
      return next;
    });
  }

  #weight(name: string): Float32Array {
    const values = this.#values.get(name);
    if (values === undefined) throw new Error(`the predictor has no ${name}`);
    return values;
  }

  /** By the distance of its weights from one. */
  #normed(x: Vector, name: string): Float64Array {
    const w = this.#weight(name);
    const scale = 1 / Math.sqrt(dot(x, x) / x.length + this.#sizes.normEps);
    return Float64Array.from(x, (value, i) => value * scale * (1 + (w[i] ?? NaN)));
  }

  #input(id: number, before: Vector): Float64Array {
    const { hidden } = this.#sizes;
    const embed = this.#embeds.subarray(id * hidden, (id + 1) * hidden);
    const [e, h] = [this.#normed(embed, 'pre_fc_norm_embedding'), this.#normed(before, 'pre_fc_norm_hidden')];
    return times(this.#weight('fc'), [...e, ...h]);
  }

  /** The first dimensions of a head turned by its place. */
  #turned(head: Float64Array, place: number): Float64Array {
    const { hybrid, ropeTheta } = this.#sizes;
    const nDims = hybrid?.nRotated ?? 0;
    const turned = head.slice();
    for (let pair = 0; pair < nDims / 2; pair++) {
      const angle = place * ropeTheta ** ((-2 * pair) / nDims);
      const [a, b] = [head[pair] ?? NaN, head[pair + nDims / 2] ?? NaN];
      turned[pair] = a * Math.cos(angle) - b * Math.sin(angle);
      turned[pair + nDims / 2] = a * Math.sin(angle) + b * Math.cos(angle);
    }
    return turned;
  }

  #heads(x: Vector, name: string, nHeads: number): Float64Array[] {
    const all = times(this.#weight(`layers.0.self_attn.${name}`), x);
    const width = all.length / nHeads;
    return Array.from({ length: nHeads }, (_, head) => all.slice(head * width, (head + 1) * width));
  }

  /** The output of the last input. */
  #layer(inputs: readonly Float64Array[]): Float64Array {
    const { nHeads, nHeadsKv, headDim } = this.#sizes;
    const normed = inputs.map((x) => this.#normed(x, 'layers.0.input_layernorm'));
    const at = inputs.length - 1;
    const x = inputs[at] ?? new Float64Array(0);
    const keys = normed.map((each, place) =>
      this.#heads(each, 'k_proj', nHeadsKv).map((k) =>
        this.#turned(this.#normed(k, 'layers.0.self_attn.k_norm'), place + 1),
      ),
    );
    const values = normed.map((each) => this.#heads(each, 'v_proj', nHeadsKv));
    const attended = this.#heads(normed[at] ?? [], 'q_proj', nHeads).flatMap((both, head) => {
      const q = this.#turned(this.#normed(both.slice(0, headDim), 'layers.0.self_attn.q_norm'), at + 1);
      const kv = Math.floor((head * nHeadsKv) / nHeads);
      const weights = keys.map((k) => Math.exp(dot(q, k[kv] ?? []) / Math.sqrt(headDim)));
      const sum = weights.reduce((total, weight) => total + weight, 0);
      return Array.from(both.slice(headDim), (gate, i) => {
        const mixed = weights.reduce((total, weight, j) => total + (weight / sum) * (values[j]?.[kv]?.[i] ?? NaN), 0);
        return mixed * sigmoid(gate);
      });
    });
    const y = plus(x, times(this.#weight('layers.0.self_attn.o_proj'), attended));
    const z = this.#normed(y, 'layers.0.post_attention_layernorm');
    const up = times(this.#weight('layers.0.mlp.up_proj'), z);
    const inner = times(this.#weight('layers.0.mlp.gate_proj'), z).map((g, i) => g * sigmoid(g) * (up[i] ?? NaN));
    return this.#normed(plus(y, times(this.#weight('layers.0.mlp.down_proj'), inner)), 'norm');
  }
}
