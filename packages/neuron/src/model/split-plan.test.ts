import { evenShares } from '@cortex/core';
import { tensorTypes } from '@cortex/ggml';
import { describe, expect, it } from 'vitest';
import { tinyQwen3, tinyQwen35, tinyQwen35Moe, type GeneratedModel } from '../../test/generated-models.ts';
import type { ArchModel } from '../arch/arch.ts';
import { archOf } from '../arch/registry.ts';
import { cachesOn, planSplits, type GroupSplits } from './split-plan.ts';

const { f32, f16, q8_0 } = tensorTypes;

const configured = ({ config, tensors }: GeneratedModel): ArchModel => {
  const names = new Set(tensors.map(({ name }) => name));
  return archOf(config).configure(config, names);
};

const splitsFor = (model: GeneratedModel, devices: number | readonly number[], type = f32): GroupSplits => {
  const arch = configured(model);
  const device = { ptr: 0n, name: 'none' };
  const place = { kind: 'buffer', type: device, isWhole: false } as const;
  const plans = arch.weights.map((spec) => ({ spec, type, place }));
  return planSplits(arch, plans, f16, typeof devices === 'number' ? evenShares(devices) : devices);
};

const by = (shares: readonly number[], name: string, type = f32): readonly number[] | undefined =>
  splitsFor(tinyQwen3({ heads: 6 }), shares, type).weights.get(name)?.lengths;

describe('how devices share a model', () => {
  it('is by whole heads, each with the queries that look at it', () => {
    const { weights, caches } = splitsFor(tinyQwen3(), 2);
    expect(weights.get('blk.0.attn_q.weight')).toEqual({ axis: 1, repeat: 1, lengths: [192, 192] });
    expect(weights.get('blk.0.attn_k.weight')).toEqual({ axis: 1, repeat: 1, lengths: [64, 64] });
    expect(weights.get('blk.0.attn_output.weight')).toEqual({ axis: 0, repeat: 1, lengths: [192, 192] });
    expect(weights.get('blk.0.ffn_down.weight')).toEqual({ axis: 0, repeat: 1, lengths: [112, 112] });
    expect(weights.has('blk.0.attn_norm.weight')).toBe(false);
    expect(weights.has('token_embd.weight')).toBe(false);
    expect(caches[0]?.first).toEqual({ axis: 0, repeat: 1, lengths: [64, 64] });
  });

  it('is by key heads in linear attention: queries, keys and three runs of value heads', () => {
    const model = tinyQwen35({ vision: true, heads: 4 });
    const splits = splitsFor(model, 4);
    expect(splits.weights.get('blk.0.attn_qkv.weight')).toEqual({ axis: 1, repeat: 5, lengths: [64, 64, 64, 64] });
    expect(splits.weights.get('blk.0.ssm_out.weight')).toEqual({ axis: 0, repeat: 3, lengths: [64, 64, 64, 64] });
    expect(splits.weights.get('blk.0.ssm_a')).toEqual({ axis: 0, repeat: 3, lengths: [1, 1, 1, 1] });
    const { caches } = configured(model);
    const own = cachesOn(caches, splits, 3);
    expect(own[0]).toMatchObject({ convLength: 3 * 5 * 64, stateLength: 3 * 64 * 64 });
    expect(own[2]).toMatchObject({ kind: 'attention', rowLength: 64 });
  });

  it('gives every device a part of each expert, and of a vocabulary that does not divide one row more or less', () => {
    const { weights } = splitsFor(tinyQwen35Moe({ vision: false, heads: 3 }), 3);
    expect(weights.get('blk.0.ffn_gate_exps.weight')).toEqual({ axis: 1, repeat: 1, lengths: [32, 32, 32] });
    expect(weights.get('output.weight')).toEqual({ axis: 1, repeat: 1, lengths: [214, 213, 213] });
    expect(weights.has('blk.0.ffn_gate_inp.weight')).toBe(false);
  });

  it('is by shares, as near as whole heads and blocks allow, and everybody has something', () => {
    expect(by([1, 1, 1, 1], 'blk.0.attn_k.weight')).toEqual([128, 128, 64, 64]);
    expect(by([1, 2], 'blk.0.attn_k.weight')).toEqual([128, 256]);
    expect(by([1, 2], 'blk.0.attn_output.weight')).toEqual([384, 768]);
    expect(by([1, 2], 'blk.0.ffn_down.weight')).toEqual([75, 149]);
    expect(by([1, 1], 'blk.0.ffn_down.weight', q8_0)).toEqual([128, 96]);
    expect(by([1, 1000, 1], 'blk.0.attn_k.weight')).toEqual([64, 256, 64]);
    expect(by([1000, 1, 0], 'blk.0.ffn_down.weight')).toEqual([222, 1, 1]);
  });

  it.each([
    [tinyQwen3(), 4, f32, 'is not possible: there are only 2 key/value heads; over 2 devices it is'],
    [
      tinyQwen35({ vision: false }),
      3,
      f32,
      /only 2 key heads of linear attention, there are only 2 key\/value heads; over 2 devices it is/,
    ],
    [tinyQwen3({ ff: 225 }), 2, q8_0, 'the 225 feed-forward values are no whole blocks of 32 in q8_0'],
    [tinyQwen3({ ff: 64, heads: 4 }), 3, q8_0, 'the 64 feed-forward values are only 2 blocks of 32 in q8_0'],
  ])('is refused where heads or blocks are too few (%#)', (model, nDevices, type, why) => {
    expect(() => splitsFor(model, nDevices, type)).toThrow(why);
    expect(() => splitsFor(model, nDevices, type)).toThrow(expect.objectContaining({ code: 'unsupported_parameter' }));
  });
});
