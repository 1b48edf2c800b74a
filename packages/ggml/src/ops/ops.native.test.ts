/** What the engine relies on of ggml's operations, against plain loops in double precision. */
import { describe, expect, it } from 'vitest';
import { compute } from '../../test/compute.ts';
import * as ops from './index.ts';

/** Evenly spread values of −1..1 that repeat after more than any test needs. */
const values = (n: number, seed: number): Float64Array =>
  Float64Array.from({ length: n }, (_, i) => Math.fround(Math.sin((i + 1) * 12.9898 + seed * 78.233)));

const distance = (got: ArrayLike<number>, wanted: ArrayLike<number>): number => {
  if (got.length !== wanted.length) return Infinity;
  return Array.from(got).reduce((largest, value, i) => Math.max(largest, Math.abs(value - (wanted[i] ?? NaN))), 0);
};

/** f16 bits of 0 and −∞. */
const [open, closed] = [0, 0xfc00] as const;

describe('a view', () => {
  it('whose rows overlap ends with the tensor as if they did not, and is else refused before ggml sees it', () => {
    const x = values(10, 1);
    const got = compute(({ ctx, f32 }) => {
      const tensor = f32([10], x);
      expect(() => ops.view(ctx, tensor, [8, 2], { nb1: 4 })).toThrow(ops.ShapeError);
      return ops.cont(ctx, ops.view(ctx, tensor, [4, 2], { nb1: 4 }), 4, 2);
    });
    expect(distance(got, [...x.slice(0, 4), ...x.slice(1, 5)])).toBe(0);
  });
});

describe('rope', () => {
  it('gives each axis of interleaved M-RoPE every third pair while its section lasts, and the fourth axis the rest', () => {
    const [headDim, nHeads, n, nDims] = [32, 2, 3, 24];
    const sections = [6, 4, 2] as const;
    const positions = { t: [0, 5, 9], h: [0, 7, 2], w: [0, 1, 30], rest: [0, 3, 11] };
    const x = values(headDim * nHeads * n, 1);
    const got = compute(({ ctx, f32, i32 }) =>
      ops.rope(
        ctx,
        f32([headDim, nHeads, n], x),
        i32([4 * n], [...positions.t, ...positions.h, ...positions.w, ...positions.rest]),
        { mode: 'interleavedMrope', nDims, freqBase: 10_000, sections: [...sections, 0] },
      ),
    );
    const axes = ['t', 'h', 'w'] as const;
    const axisOf = (pair: number): keyof typeof positions => {
      const axis = pair % 3;
      return pair < 3 * sections[axis]! ? axes[axis]! : 'rest';
    };
    const wanted = x.slice();
    for (let row = 0; row < n * nHeads; row++) {
      for (let pair = 0; pair < nDims / 2; pair++) {
        const position = positions[axisOf(pair)][Math.floor(row / nHeads)] ?? NaN;
        const angle = position * 10_000 ** ((-2 * pair) / nDims);
        const at = row * headDim + pair;
        const [a, b] = [x[at]!, x[at + nDims / 2]!];
        wanted[at] = a * Math.cos(angle) - b * Math.sin(angle);
        wanted[at + nDims / 2] = a * Math.sin(angle) + b * Math.cos(angle);
      }
    }
    expect(distance(got, wanted)).toBeLessThan(1e-5);
    // The test means something only if the axes differ.
    expect(distance(x, wanted)).toBeGreaterThan(0.5);
  });
});

describe('gated delta net', () => {
  it('is the recurrence, its outputs in front and its states behind them', () => {
    const [s, hk, hv, t, b] = [32, 2, 4, 5, 2];
    const unit = (rows: Float64Array): Float64Array =>
      rows.map((x, i) => {
        const row = rows.subarray(Math.floor(i / s) * s, Math.floor(i / s) * s + s);
        return Math.fround(x / Math.hypot(...row));
      });
    const [q, k] = [unit(values(s * hk * t * b, 1)), unit(values(s * hk * t * b, 2))];
    const v = values(s * hv * t * b, 3);
    const g = values(hv * t * b, 4).map((x) => Math.fround(-Math.abs(x)));
    const beta = values(hv * t * b, 5).map((x) => Math.fround(Math.abs(x)));
    const state = values(s * s * hv * b, 6);
    const got = compute(({ ctx, f32 }) =>
      ops.gatedDeltaNet(ctx, {
        q: f32([s, hk, t, b], q),
        k: f32([s, hk, t, b], k),
        v: f32([s, hv, t, b], v),
        g: f32([1, hv, t, b], g),
        beta: f32([1, hv, t, b], beta),
        state: f32([s, s, hv, b], state),
      }),
    );
    const outputs = new Float64Array(s * hv * t * b);
    const states = state.slice();
    for (let seq = 0; seq < b; seq++) {
      for (let head = 0; head < hv; head++) {
        // own[value · s + key]
        const own = states.subarray((seq * hv + head) * s * s, (seq * hv + head + 1) * s * s);
        for (let step = 0; step < t; step++) {
          const keyAt = ((seq * t + step) * hk + (head % hk)) * s;
          const gateAt = (seq * t + step) * hv + head;
          for (let value = 0; value < s; value++) {
            const row = own.subarray(value * s, (value + 1) * s);
            let seen = 0;
            for (let key = 0; key < s; key++) {
              row[key]! *= Math.exp(g[gateAt]!);
              seen += row[key]! * k[keyAt + key]!;
            }
            const delta = beta[gateAt]! * (v[gateAt * s + value]! - seen);
            let out = 0;
            for (let key = 0; key < s; key++) {
              row[key]! += delta * k[keyAt + key]!;
              out += row[key]! * q[keyAt + key]!;
            }
            outputs[gateAt * s + value] = out / Math.sqrt(s);
          }
        }
      }
    }
    expect(distance(got.subarray(0, outputs.length), outputs)).toBeLessThan(1e-5);
    expect(distance(got.subarray(outputs.length), states)).toBeLessThan(1e-5);
  });
});

describe('ssm_conv', () => {
  it('weighs each channel by its kernel, the last input by the last weight', () => {
    const [kernel, channels, t, b] = [4, 6, 5, 2];
    const length = kernel - 1 + t;
    const x = values(length * channels * b, 1);
    const w = values(kernel * channels, 2);
    const got = compute(({ ctx, f32 }) => ops.ssmConv(ctx, f32([length, channels, b], x), f32([kernel, channels], w)));
    const wanted = Array.from({ length: channels * t * b }, (_, i) => {
      const [channel, step, seq] = [i % channels, Math.floor(i / channels) % t, Math.floor(i / (channels * t))];
      let sum = 0;
      for (let j = 0; j < kernel; j++)
        sum += w[channel * kernel + j]! * x[(seq * channels + channel) * length + step + j]!;
      return sum;
    });
    expect(distance(got, wanted)).toBeLessThan(1e-5);
  });
});

const isOpen = (query: number, key: number): boolean => key <= query + 2 && key !== 1;

describe('flash attention', () => {
  it('looks where the mask is open, a group of query heads at each key head', () => {
    const [headDim, n, nKv, nHeads, nHeadsKv] = [40, 3, 7, 6, 2];
    const [q, k, v] = [
      values(headDim * n * nHeads, 1),
      values(headDim * nKv * nHeadsKv, 2),
      values(headDim * nKv * nHeadsKv, 3),
    ];
    const mask = Array.from({ length: nKv * n }, (_, i) => (isOpen(Math.floor(i / nKv), i % nKv) ? open : closed));
    const scale = 2 / Math.sqrt(headDim);
    const got = compute(({ ctx, f32, f16 }) =>
      ops.flashAttention(ctx, {
        q: f32([headDim, n, nHeads], q),
        k: f32([headDim, nKv, nHeadsKv], k),
        v: f32([headDim, nKv, nHeadsKv], v),
        mask: f16([nKv, n], mask),
        scale,
      }),
    );
    const wanted = new Float64Array(headDim * nHeads * n);
    for (let head = 0; head < nHeads; head++) {
      const group = Math.floor(head / (nHeads / nHeadsKv));
      for (let query = 0; query < n; query++) {
        const weights = Array.from({ length: nKv }, (_, key) => {
          if (!isOpen(query, key)) return 0;
          let dot = 0;
          for (let d = 0; d < headDim; d++)
            dot += q[(head * n + query) * headDim + d]! * k[(group * nKv + key) * headDim + d]!;
          return Math.exp(scale * dot);
        });
        const sum = weights.reduce((total, weight) => total + weight, 0);
        for (let d = 0; d < headDim; d++)
          wanted[(query * nHeads + head) * headDim + d] = weights.reduce(
            (total, weight, key) => total + (weight / sum) * v[(group * nKv + key) * headDim + d]!,
            0,
          );
      }
    }
    expect(distance(got, wanted)).toBeLessThan(1e-5);
  });
});

describe('activations', () => {
  const x = Float64Array.from({ length: 401 }, (_, i) => Math.fround((i - 200) / 20));

  it('geluTanh is good to f32, not to the table of ggml_gelu', () => {
    const got = compute(({ ctx, f32 }) => ops.geluTanh(ctx, f32([x.length], x)));
    const wanted = x.map((v) => (v / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3))));
    expect(distance(got, wanted)).toBeLessThan(3e-6);
  });

  it('norms divide by the root mean square, and by the deviation from the mean', () => {
    const eps = 1e-6;
    const mean = x.reduce((sum, v) => sum + v, 0) / x.length;
    const square = x.reduce((sum, v) => sum + v * v, 0) / x.length;
    const rms = compute(({ ctx, f32 }) => ops.rmsNorm(ctx, f32([x.length], x), eps));
    expect(
      distance(
        rms,
        x.map((v) => v / Math.sqrt(square + eps)),
      ),
    ).toBeLessThan(1e-6);
    const shifted = x.map((v) => Math.fround(v + 3));
    const norm = compute(({ ctx, f32 }) => ops.layerNorm(ctx, f32([x.length], shifted), eps));
    expect(
      distance(
        norm,
        x.map((v) => (v - mean) / Math.sqrt(square - mean * mean + eps)),
      ),
    ).toBeLessThan(2e-6);
  });
});

describe('the largest of each row', () => {
  it('is named by its index', () => {
    const [n, nRows] = [700, 3];
    const x = values(n * nRows, 4);
    const got = compute(({ ctx, f32 }) =>
      ops.getRows(ctx, f32([1, n * nRows], x), ops.argmax(ctx, f32([n, nRows], x))),
    );
    const places = Array.from({ length: nRows }, (_, row) => {
      const own = x.subarray(row * n, (row + 1) * n);
      return own.indexOf(Math.max(...own));
    });
    expect(new Set(places).size).toBe(nRows);
    expect([...got]).toEqual(places.map((place) => x[place]));
  });
});

describe('the experts of each column', () => {
  it('are the best ones, each with its own matrix', () => {
    const [nIn, nOut, nExperts, n, nUsed] = [32, 3, 5, 4, 2];
    const [w, x, scores] = [values(nIn * nOut * nExperts, 1), values(nIn * n, 2), values(nExperts * n, 3)];
    const got = compute(({ ctx, f32 }) => {
      const ids = ops.argsortTopK(ctx, f32([nExperts, n], scores), nUsed);
      return ops.mulMatId(ctx, f32([nIn, nOut, nExperts], w), f32([nIn, 1, n], x), ids);
    });
    const wanted = Array.from({ length: n }, (_, column) => {
      const own = scores.subarray(column * nExperts, (column + 1) * nExperts);
      const best = Array.from(own.keys())
        .sort((a, b) => own[b]! - own[a]!)
        .slice(0, nUsed);
      return best.flatMap((expert) =>
        Array.from({ length: nOut }, (_row, out) =>
          w
            .subarray((expert * nOut + out) * nIn, (expert * nOut + out + 1) * nIn)
            .reduce((sum, weight, i) => sum + weight * x[column * nIn + i]!, 0),
        ),
      );
    }).flat();
    expect(distance(got, wanted)).toBeLessThan(1e-5);
  });
});
