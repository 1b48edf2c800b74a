"""The network: Qwen3.5's vision tower and hybrid language model, small.

The modules are transformers' own, so what is saved is an ordinary checkpoint. The forward passes here are for training:
all pictures of a batch have one size, and many questions continue from one reading of their picture (`read` with the
`past` of another call), which makes a question cost its own tokens only. `test_network.py` holds them to transformers'.
"""
import math

import torch
import torch.nn.functional as F
from transformers import Qwen3_5Config, Qwen3_5ForConditionalGeneration
from transformers.vision_utils import get_vision_interpolation_indices_and_weights, get_vision_position_ids

import tokenizer as words

CHUNK = 64  # tokens that the delta rule takes at once


def configuration(tokenizer):
    i = tokenizer.token_to_id
    text = dict(
        vocab_size=words.VOCAB_SIZE, hidden_size=256, intermediate_size=512, num_hidden_layers=4, num_attention_heads=8,
        num_key_value_heads=2, head_dim=64, hidden_act="silu", rms_norm_eps=1e-6, max_position_embeddings=4096,
        linear_num_key_heads=4, linear_num_value_heads=8, linear_key_head_dim=32, linear_value_head_dim=32,
        linear_conv_kernel_dim=4, full_attention_interval=4, tie_word_embeddings=True, attention_bias=False,
        partial_rotary_factor=.5, eos_token_id=i(words.END_OF_TURN), pad_token_id=None, bos_token_id=None,
        rope_parameters=dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=.5, mrope_section=[6, 5, 5],
                             mrope_interleaved=True))
    vision = dict(depth=3, hidden_size=144, num_heads=3, intermediate_size=384, in_channels=3, patch_size=16, temporal_patch_size=2,
                  spatial_merge_size=2, out_hidden_size=256, num_position_embeddings=256, hidden_act="gelu_pytorch_tanh")
    return Qwen3_5Config(text_config=text, vision_config=vision, image_token_id=i(words.IMAGE), video_token_id=i(words.VIDEO),
                         vision_start_token_id=i(words.VISION_START), vision_end_token_id=i(words.VISION_END),
                         tie_word_embeddings=True)


def fresh(tokenizer, seed):
    """An untrained network, f32. Steps of the recurrence start between some and hundreds of tokens long."""
    torch.manual_seed(seed)
    network = Qwen3_5ForConditionalGeneration(configuration(tokenizer)).float()
    last = ("o_proj.weight", "out_proj.weight", "down_proj.weight", "attn.proj.weight", "mlp.linear_fc2.weight")
    with torch.no_grad():
        for name, p in network.named_parameters():
            if name.endswith("A_log"):
                p.uniform_(1, 8).log_()
            elif name.endswith("dt_bias"):
                step = torch.exp(torch.empty_like(p).uniform_(math.log(.002), math.log(.2)))
                p.copy_(step + torch.log(-torch.expm1(-step)))
            elif "embed_tokens" in name:
                p.normal_(0, .05)
            elif "pos_embed" in name:
                p.normal_(0, .1)
            elif "conv1d" in name:
                p.normal_(0, .3)
            elif p.ndim >= 2:
                p.normal_(0, (.32 if name.endswith(last) else .8) * p[0].numel() ** -.5)
    return network


def trained(folder):
    return Qwen3_5ForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)


def _turn(x):
    half = x.shape[-1] // 2
    return torch.cat((-x[..., half:], x[..., :half]), -1)


class Tower:
    """Pictures of one size to the tokens that the language model reads."""

    def __init__(self, network):
        self.visual, self._grids = network.model.visual, {}

    def _grid(self, height, width):
        """Which learned positions a patch of a height x width grid mixes, how much of each, and its rotary angles."""
        if (height, width) not in self._grids:
            thw, side = torch.tensor([[1, height, width]]), self.visual.num_grid_per_side
            mixed = get_vision_interpolation_indices_and_weights(
                thw, num_grid_per_side=side, mode="bilinear", align_corners=True, spatial_merge_size=2, kwargs={})
            angles = self.visual.rotary_pos_emb(torch.zeros(1), get_vision_position_ids(thw, 2, kwargs={}))
            self._grids[height, width] = (*mixed, *(a[None, :, None] for a in angles))
        return self._grids[height, width]

    def __call__(self, patches, height, width):
        """patches [n, height * width, 768] of n pictures -> [n, height * width / 4, hidden size of the text]."""
        index, weight, cos, sin = self._grid(height, width)
        n, n_patches, _ = patches.shape
        # A still picture is two equal frames: the two halves of the patch embedding add up.
        embed = self.visual.patch_embed.proj
        x = F.linear(patches, embed.weight.sum(2).flatten(1), embed.bias)
        x = x + (self.visual.pos_embed(index) * weight[:, :, None]).sum(1)
        for block in self.visual.blocks:
            q, k, v = block.attn.qkv(block.norm1(x)).reshape(n, n_patches, 3, block.attn.num_heads, -1).unbind(2)
            q, k = q * cos + _turn(q) * sin, k * cos + _turn(k) * sin
            out = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
            x = x + block.attn.proj(out.transpose(1, 2).reshape(n, n_patches, -1))
            x = x + block.mlp(block.norm2(x))
        return self.visual.merger(x.reshape(n * n_patches, -1)).reshape(n, n_patches // 4, -1)


def _chunk(q, k, v, log_decay, beta, state):
    """One chunk of the gated delta rule: q, k [B, H, T, Dk], v [B, H, T, Dv], log_decay, beta [B, H, T]; state [B, H, Dk, Dv]
    or None for zeros. Returns (out [B, H, T, Dv], the state after it).

    Every token writes beta * (v - what the decayed state holds under k); the writes of a chunk depend on each other through a
    unit lower-triangular system, solved at once.
    """
    total = log_decay.cumsum(-1)
    causal = torch.ones(q.shape[2], q.shape[2], dtype=torch.bool).tril()
    decay = (total[..., :, None] - total[..., None, :]).masked_fill(~causal, -math.inf).exp()
    since_start = total.exp()[..., None]
    weighted = k * beta[..., None]
    keys = k.transpose(-1, -2)
    system = (weighted @ keys) * decay
    right = v * beta[..., None]
    if state is not None:
        right = right - (weighted * since_start) @ state
    writes = torch.linalg.solve_triangular(system, right, upper=False, unitriangular=True)
    out = ((q @ keys) * decay) @ writes
    after = (k * (total[..., -1:] - total).exp()[..., None]).transpose(-1, -2) @ writes
    if state is not None:
        out = out + (q * since_start) @ state
        after = after + state * since_start[..., -1:, :]
    return out, after


def _delta_net(module, x, past):
    """Gated DeltaNet. past: (the last inputs of the convolution [B, kernel - 1, C], state) or None."""
    B, T, _ = x.shape
    mixed, kernel = module.in_proj_qkv(x), module.conv1d.weight[:, 0]
    n_before = kernel.shape[1] - 1
    before, state = past if past is not None else (mixed.new_zeros(B, n_before, mixed.shape[2]), None)
    seen = torch.cat([before, mixed], 1)
    mixed = F.silu(sum(seen[:, i:i + T] * kernel[:, i] for i in range(n_before + 1)))
    q, k, v = mixed.split([module.key_dim, module.key_dim, module.value_dim], -1)
    heads = lambda t, d: t.reshape(B, T, -1, d).transpose(1, 2)
    unit = lambda t: t * torch.rsqrt((t * t).sum(-1, keepdim=True) + 1e-6)
    group = module.num_v_heads // module.num_k_heads
    q = (unit(heads(q, module.head_k_dim)) * module.head_k_dim ** -.5).repeat_interleave(group, 1)
    k = unit(heads(k, module.head_k_dim)).repeat_interleave(group, 1)
    v = heads(v, module.head_v_dim)
    log_decay = (-module.A_log.exp() * F.softplus(module.in_proj_a(x) + module.dt_bias)).transpose(1, 2)
    beta = module.in_proj_b(x).sigmoid().transpose(1, 2)
    outs = []
    for t in range(0, T, CHUNK):
        out, state = _chunk(*(a[:, :, t:t + CHUNK] for a in (q, k, v, log_decay, beta)), state)
        outs.append(out)
    out = torch.cat(outs, 2).transpose(1, 2).reshape(-1, module.head_v_dim)
    out = module.norm(out, module.in_proj_z(x).reshape(-1, module.head_v_dim))
    return module.out_proj(out.reshape(B, T, -1)), (seen[:, seen.shape[1] - n_before:], state)


def _attention(module, x, angles, past):
    """Gated attention, causal. past: (keys, values) [B, n_kv_heads, n, head_dim] or None."""
    B, T, _ = x.shape
    cos, sin = (a[:, None] for a in angles)
    n_rotary = cos.shape[-1]

    def rotated(t):
        turning, fixed = t.transpose(1, 2).split([n_rotary, module.head_dim - n_rotary], -1)
        return torch.cat([turning * cos + _turn(turning) * sin, fixed], -1)
    q, gate = module.q_proj(x).reshape(B, T, -1, 2 * module.head_dim).chunk(2, -1)
    q = rotated(module.q_norm(q))
    k = rotated(module.k_norm(module.k_proj(x).reshape(B, T, -1, module.head_dim)))
    v = module.v_proj(x).reshape(B, T, -1, module.head_dim).transpose(1, 2)
    if past is not None:
        k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
    visible = torch.ones(T, k.shape[2], dtype=torch.bool).tril(k.shape[2] - T)
    group = module.num_key_value_groups
    out = F.scaled_dot_product_attention(q, k.repeat_interleave(group, 1), v.repeat_interleave(group, 1), attn_mask=visible)
    return module.o_proj(out.transpose(1, 2).reshape(B, T, -1) * gate.reshape(B, T, -1).sigmoid()), (k, v)


class Reader:
    """The language model over embedded tokens."""

    def __init__(self, network):
        self.text = network.model.language_model
        self.embedding, self.head, self.image = self.text.embed_tokens.weight, network.lm_head, network.config.image_token_id

    def embed(self, ids, images):
        """ids [B, T]; images [n_tokens, hidden], what the tower made of the pictures in order, or None."""
        x = self.embedding[ids]
        return x if images is None else x.masked_scatter((ids == self.image)[..., None], images)

    def read(self, x, positions, past=None):
        """x [B, T, hidden], positions [3, B, T] -> (hidden states [B, T, hidden] after the last norm, past of every layer)."""
        angles, now = self.text.rotary_emb(x, positions), []
        for i, layer in enumerate(self.text.layers):
            before, h = past and past[i], layer.input_layernorm(x)
            if self.text.config.layer_types[i] == "linear_attention":
                h, after = _delta_net(layer.linear_attn, h, before)
            else:
                h, after = _attention(layer.self_attn, h, angles, before)
            x = x + h
            x = x + layer.mlp(layer.post_attention_layernorm(x))
            now.append(after)
        return self.text.norm(x), now

    @staticmethod
    def chosen(past, rows):
        """The past of each of `rows` (indices, repeats allowed)."""
        return [tuple(t[rows] for t in layer) for layer in past]
