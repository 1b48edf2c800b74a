"""Train shapes-vl: `python train.py --help`.

The run is decided by its arguments: scenes, questions and order follow from the seed, the learning rate from the step. It
saves its whole state now and then and goes on from there when called again with the same `--out`.
"""
import argparse
import copy
import math
from pathlib import Path

import torch
import torch.nn.functional as F

import network
import tokenizer
from batches import chat_batch, question_batch
from naming import Naming
from run import Run, add_arguments
from scenes import TARGETS, make_scene, patches, picture

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "shapes-vl"
SEED = 1234


def answer_loss(head, hidden, rows):
    """(weighted sum of cross entropies, weight, answers right as a whole, answers) over the tokens of answers."""
    keep = rows.weight.flatten().nonzero().squeeze(1)
    wanted = rows.ids.roll(-1, 1).flatten()[keep]
    weight = rows.weight.flatten()[keep]
    logits = head(hidden.flatten(0, 1)[keep])
    loss = (F.cross_entropy(logits, wanted, reduction="none") * weight).sum()
    wrong = (logits.argmax(1) != wanted).long()
    # An answer is a run of neighbouring positions.
    answer = torch.cat([torch.zeros(1, dtype=torch.long), ((keep[1:] - keep[:-1]) != 1).long().cumsum(0)])
    n = int(answer[-1]) + 1
    right = int((torch.zeros(n, dtype=torch.long).index_add_(0, answer, wrong) == 0).sum())
    return loss, weight.sum(), right, n


class Trainer(Run):
    def __init__(self, args):
        self.encoder = tokenizer.Encoder(tokenizer.load(args.continue_from or args.out))
        self.model = network.trained(args.continue_from) if args.continue_from else network.fresh(self.encoder.tokenizer, SEED)
        self.model.train()
        self.model.model.visual.requires_grad_(not args.where)
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        self.tower, self.reader, self.naming = network.Tower(self.model), network.Reader(self.model), Naming(self.encoder)
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(
            [dict(params=[p for p in parameters if p.ndim >= 2], weight_decay=.03),
             dict(params=[p for p in parameters if p.ndim < 2], weight_decay=0.)], lr=args.lr, betas=(.9, .98), eps=1e-9, fused=True)
        super().__init__(args, "state.pt", optimizer, model=self.model, average=self.average)

    # ---- losses of one batch
    def _images(self, batch):
        width, height = batch.target
        return self.tower(batch.patches, height // 16, width // 16)

    def question_loss(self):
        """Questions that continue from one reading of their picture; with the tower's naming loss where the tower learns."""
        batch = question_batch(self.rng, self.encoder, self.args.pictures, self.args.short, self.args.where)
        images = self._images(batch)
        start = self.reader.embed(batch.start.ids.expand(len(batch.scenes), -1), images.flatten(0, 1))
        _, past = self.reader.read(start, batch.start.positions)
        sums = []
        for rows, of in batch.groups:
            hidden, _ = self.reader.read(self.reader.embed(rows.ids, None), rows.positions, self.reader.chosen(past, of))
            sums.append(answer_loss(self.reader.head, hidden, rows))
        loss = sum(s[0] for s in sums) / sum(s[1] for s in sums)
        seen = dict(loss=loss.item(), short=sums[0][2] / sums[0][3], long=sums[1][2] / sums[1][3])
        if self.args.where:
            return loss, 0., seen
        naming, named = self.naming.loss(images, batch.scenes, batch.target, self.reader.embedding)
        return loss, naming, seen | dict(naming=naming.item(), color=named[0], shape=named[1])

    def chat_loss(self):
        batch = chat_batch(self.rng, self.encoder, self.args.chats, self.args.budget)
        images = self._images(batch).flatten(0, 1) if batch.patches is not None else None
        hidden, _ = self.reader.read(self.reader.embed(batch.ids, images), batch.positions)
        loss, weight, right, n = answer_loss(self.reader.head, hidden, batch)
        return loss / weight, dict(chat=right / n)

    def tower_loss(self):
        """Pictures for the tower alone: cheap, and it wants many more of them than the language model."""
        target = self.rng.choice(TARGETS)
        scenes = [make_scene(self.rng, target[0] / target[1]) for _ in range(32)]
        drawn = torch.stack([torch.from_numpy(patches(picture(self.rng, s, target))) for s in scenes])
        images = self.tower(drawn, target[1] // 16, target[0] // 16)
        naming, named = self.naming.loss(images, scenes, target, self.reader.embedding)
        return naming, dict(naming=naming.item(), color=named[0], shape=named[1])

    # ---- steps
    def rate(self):
        """Warm-up, then half a cosine down to 2 %."""
        a = self.args
        part = max(0, self.step - a.warmup) / max(1, a.steps - a.warmup)
        return a.lr * min(1, (self.step + 1) / a.warmup) * (.02 + .98 * .5 * (1 + math.cos(math.pi * min(1, part))))

    def losses(self):
        a = self.args
        if self.step < a.tower_steps:
            loss, seen = self.tower_loss()
            loss.backward()
            return seen
        loss, naming, seen = self.question_loss()
        (loss + a.naming * max(0., 1 - self.step / a.steps) * naming).backward()
        if self.step % a.chat_every == 0:
            loss, chat = self.chat_loss()
            loss.backward()
            seen |= chat
        return seen

    def one_step(self):
        seen = super().one_step()
        # Short at first, so that the start is soon forgotten.
        keep = min(self.args.average, 1 - 10 / (10 + self.step))
        with torch.no_grad():
            for mean, p in zip(self.average.parameters(), self.model.parameters()):
                mean.lerp_(p, 1 - keep)
        return seen


def arguments():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(ap, lr=1e-3, steps=20000, seed=SEED)
    ap.add_argument("--continue-from", help="checkpoint folder whose weights and tokenizer to start from")
    ap.add_argument("--tower-steps", type=int, default=0, help="first steps, for the vision tower alone (1500 when starting anew)")
    ap.add_argument("--where", action="store_true", help="the lesson in places: most short questions ask where, and the tower stays")
    ap.add_argument("--warmup", type=int, default=100)
    ap.add_argument("--average", type=float, default=.996, help="how much of the running average of weights a step keeps")
    ap.add_argument("--naming", type=float, default=.2, help="weight of the naming loss at the start; falls to 0")
    ap.add_argument("--pictures", type=int, default=8, help="pictures a step")
    ap.add_argument("--short", type=int, default=4, help="short questions a picture")
    ap.add_argument("--chats", type=int, default=4, help="conversations a step that has them")
    ap.add_argument("--chat-every", type=int, default=4)
    return ap.parse_args()


if __name__ == "__main__":
    args = arguments()
    Path(args.out).mkdir(parents=True, exist_ok=True)
    if not args.continue_from and not (Path(args.out) / "tokenizer.json").exists():
        tokenizer.learn().save(str(Path(args.out) / "tokenizer.json"))
    Trainer(args).run()
