"""The layer that predicts further tokens (`mtp.*`), for a model that is there: `python predictor.py --help`.

The model stays as it is. A step reads conversations with it and teaches the layer to say at each place of an answer what the
model itself would: from the embedding of a token and the model's final hidden state of the one before, and then, once and
twice more, from its own output in place of that hidden state, as it is used to guess several tokens ahead. In between, its
attention sees what it will see then: rows made from the model's states, but for the last ones, which are its own.
"""
import argparse
import json
import random
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

import network
import tokenizer
from batches import chat_batch
from export import WEIGHTS
from run import Run, add_arguments
from train import MODEL

SEED = 4321
DEPTH = 3  # tokens guessed one after the other


class Predictor(nn.Module):
    """Named as in a checkpoint, behind `mtp.`."""

    def __init__(self, model):
        super().__init__()
        text = model.model.language_model
        last = text.layers[-1]
        n, kind = text.config.hidden_size, type(text.norm)
        self.fc = nn.Linear(2 * n, n, bias=False)
        self.pre_fc_norm_embedding = kind(n, eps=text.config.rms_norm_eps)
        self.pre_fc_norm_hidden = kind(n, eps=text.config.rms_norm_eps)
        self.layers = nn.ModuleList([type(last)(text.config, len(text.layers) - 1)])
        self.norm = kind(n, eps=text.config.rms_norm_eps)
        # The model's last layer over the mean of both is a fair guess to begin with.
        self.layers[0].load_state_dict(last.state_dict())
        self.norm.load_state_dict(text.norm.state_dict())
        with torch.no_grad():
            self.fc.weight.copy_(torch.cat([torch.eye(n), torch.eye(n)], 1) / 2)

    def forward(self, embeds, before, angles, seen):
        """One guess at every place: embeds and before [B, T, hidden]. `seen`: (keys, values) of the guesses that came before,
        nearest last. Returns ([B, T, hidden], (keys, values))."""
        layer = self.layers[0]
        x = self.fc(torch.cat([self.pre_fc_norm_embedding(embeds), self.pre_fc_norm_hidden(before)], -1))
        h, own = self._attention(layer.self_attn, layer.input_layernorm(x), angles, seen)
        x = x + h
        x = x + layer.mlp(layer.post_attention_layernorm(x))
        return self.norm(x), own

    @staticmethod
    def _attention(module, x, angles, seen):
        B, T, _ = x.shape
        cos, sin = (a[:, None] for a in angles)

        def rotated(t):
            turning, fixed = t.transpose(1, 2).split([cos.shape[-1], module.head_dim - cos.shape[-1]], -1)
            return torch.cat([turning * cos + network._turn(turning) * sin, fixed], -1)
        q, gate = module.q_proj(x).reshape(B, T, -1, 2 * module.head_dim).chunk(2, -1)
        q = rotated(module.q_norm(q))
        k = rotated(module.k_norm(module.k_proj(x).reshape(B, T, -1, module.head_dim)))
        v = module.v_proj(x).reshape(B, T, -1, module.head_dim).transpose(1, 2)
        # A place sees the rows made from the model's states up to where its own guesses began, then one row of each of these.
        sets, place = [*seen, (k, v)], torch.arange(T)
        distance = place[:, None] - place[None]
        n = len(sets) - 1
        visible = [(distance >= n) if i == 0 else distance == n - i for i in range(n + 1)]
        # Nothing is foretold by the first token, before which there was none.
        visible[0] = visible[0] & (place > 0)[None] | torch.eye(T, dtype=torch.bool) & (place == 0)[None] & (n == 0)
        keys, values = (torch.cat([s[j] for s in sets], 2).repeat_interleave(module.num_key_value_groups, 1) for j in (0, 1))
        out = F.scaled_dot_product_attention(q, keys, values, attn_mask=torch.cat(visible, 1))
        return module.o_proj(out.transpose(1, 2).reshape(B, T, -1) * gate.reshape(B, T, -1).sigmoid()), (k, v)


def back(x):
    """Each place's state of the token before; zeros before the first."""
    return F.pad(x[:, :-1], (0, 0, 1, 0))


class Trainer(Run):
    def __init__(self, args):
        self.encoder = tokenizer.Encoder(tokenizer.load(args.model))
        self.model = network.trained(args.model).requires_grad_(False).eval()
        self.tower, self.reader = network.Tower(self.model), network.Reader(self.model)
        torch.manual_seed(SEED)
        self.predictor = Predictor(self.model)
        if args.continue_from:
            layer = load_file(Path(args.continue_from) / WEIGHTS)
            self.predictor.load_state_dict({k.removeprefix("mtp."): v for k, v in layer.items() if k.startswith("mtp.")})
        optimizer = torch.optim.AdamW(self.predictor.parameters(), lr=args.lr, betas=(.9, .98), weight_decay=.01)
        super().__init__(args, "predictor.pt", optimizer, predictor=self.predictor)

    def guesses(self):
        """For each of DEPTH guesses in a row: its logits where an answer goes on, and the model's own there."""
        batch = chat_batch(self.rng, self.encoder, self.args.chats, self.args.budget)
        with torch.no_grad():
            width, height = batch.target
            images = self.tower(batch.patches, height // 16, width // 16).flatten(0, 1) if batch.patches is not None else None
            embeds = self.reader.embed(batch.ids, images)
            hidden, _ = self.reader.read(embeds, batch.positions)
            angles = self.reader.text.rotary_emb(embeds, batch.positions)
        answers, before, seen, made = batch.weight > 0, hidden, [], []
        for depth in range(DEPTH):
            before, own = self.predictor(embeds, back(before), angles, seen)
            seen = [*seen, own]
            keep = answers.clone()
            keep[:, :depth + 1] = False
            made.append((self.reader.head(before[keep]), self.reader.head(hidden[keep])))
        return made

    def rate(self):
        """Warm-up, then down to 2 % in a line."""
        return self.args.lr * min(1, (self.step + 1) / 50) * max(.02, 1 - self.step / self.args.steps)

    def losses(self):
        made = self.guesses()
        loss = sum(F.kl_div(a.log_softmax(-1), b.log_softmax(-1), reduction="batchmean", log_target=True) for a, b in made)
        loss.backward()
        return dict(loss=loss.item()) | {f"right{i + 1}": (a.argmax(-1) == b.argmax(-1)).float().mean().item() for i, (a, b) in enumerate(made)}

    def write(self):
        """Into the model's folder, in bf16, beside what is there."""
        folder = Path(self.args.model)
        tensors = {k: v for k, v in load_file(folder / WEIGHTS).items() if not k.startswith("mtp.")}
        tensors |= {f"mtp.{k}": v.to(torch.bfloat16).contiguous() for k, v in self.predictor.state_dict().items()}
        save_file(tensors, folder / WEIGHTS, metadata=dict(format="pt"))
        (folder / WEIGHTS).chmod(0o644)
        config = json.loads((folder / "config.json").read_text())
        config["text_config"] |= dict(mtp_num_hidden_layers=1, mtp_use_dedicated_embeddings=False)
        (folder / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n")
        print(f"step {self.step} of {self.args.steps} written to {folder}")

    @torch.no_grad()
    def measure(self, n):
        """How often each guess in a row is what the model says, on conversations not trained on."""
        self.rng = random.Random(SEED + 1)
        right, total = torch.zeros(DEPTH), torch.zeros(DEPTH)
        for _ in range(n):
            for i, (a, b) in enumerate(self.guesses()):
                right[i] += (a.argmax(-1) == b.argmax(-1)).sum()
                total[i] += len(a)
        print(f"right, of {int(total[0])} tokens: " + " ".join(f"{100 * r / t:.1f} %" for r, t in zip(right, total)))


def arguments():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(ap, lr=1e-3, steps=2000, seed=SEED)
    ap.add_argument("--model", default=str(MODEL), help="checkpoint folder: read, and written to at the end")
    ap.add_argument("--continue-from", help="checkpoint folder whose layer to start from")
    ap.add_argument("--chats", type=int, default=12, help="conversations a step")
    return ap.parse_args()


if __name__ == "__main__":
    args = arguments()
    Path(args.out).mkdir(parents=True, exist_ok=True)
    trainer = Trainer(args)
    trainer.run()
    trainer.measure(20)
    trainer.write()
