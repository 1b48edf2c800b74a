"""Measure a checkpoint on scenes it was not trained on: `python evaluate.py FOLDER [--n 200]` writes FOLDER/eval.json.

An answer counts when greedy decoding gives it to the letter. That is so exactly when every token of it is the likeliest after
those before it, which one pass over prompt and answer tells without generating. Every question about a picture
is asked again about a plain grey one: what is right without seeing is chance.
"""
import argparse
import json
import random
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import network
import questions as q
import tokenizer
from batches import positions_of
from chats import PICTURE
from scenes import TARGETS, make_scene, patches, picture

SEED = 987654321  # training draws from another
N_AT_ONCE = 20
WHAT = ("greedy answers right to the letter, bf16 weights computed in f32, on pictures drawn for this; grey: the same questions about "
        "a plain grey picture")


def turn(text, answer=None, n_pictures=0):
    """ChatML of a user's message with pictures before the words, with its answer or up to where that begins."""
    asked = f"<|im_start|>user\n{PICTURE * n_pictures}{text}<|im_end|>\n<|im_start|>assistant\n"
    return asked if answer is None else f"{asked}{answer}<|im_end|>\n"


class Evaluation:
    def __init__(self, folder, n):
        self.n, self.rng, self.figures = n, random.Random(SEED), {}
        self.encoder = tokenizer.Encoder(tokenizer.load(folder))
        model = network.trained(folder).eval()
        self.tower, self.reader = network.Tower(model), network.Reader(model)

    @torch.no_grad()
    def right(self, chats, target=(160, 160)):
        """Of each (prompt, answer, pictures of the size `target`): is the answer given?."""
        columns, rows = target[0] // 32, target[1] // 32
        found = []
        for prompt, answer, pictures in chats:
            ids = [t for i in self.encoder(prompt) for t in ([i] * (rows * columns) if i == self.encoder.image else [i])]
            said = self.encoder(answer + "<|im_end|>")
            at = torch.from_numpy(positions_of(ids + said, self.encoder.image, rows, columns))[:, None]
            images = self.tower(torch.from_numpy(np.stack([patches(p) for p in pictures])), rows * 2, columns * 2).flatten(0, 1) \
                if pictures else None
            hidden, _ = self.reader.read(self.reader.embed(torch.tensor([ids + said]), images), at)
            given = self.reader.head(hidden[0, len(ids) - 1:-1]).argmax(1)
            found.append(given.tolist() == said)
        return found

    def score(self, kind, chats, target=(160, 160), with_grey=False):
        figure = self.figures.setdefault(kind, dict(n=0, right=0))
        figure["n"] += len(chats)
        figure["right"] += sum(self.right(chats, target))
        if with_grey:
            grey = Image.new("RGB", target, (128, 128, 128))
            figure["grey_right"] = figure.get("grey_right", 0) + sum(self.right([(p, a, [grey]) for p, a, _ in chats], target))

    def seen(self, target, n=None):
        """(scene of one to three shapes, its picture)."""
        scene = make_scene(self.rng, target[0] / target[1], n or self.rng.choice([1, 2, 3]))
        return scene, picture(self.rng, scene, target)

    def about_pictures(self):
        kinds = [(f"describe {n}", [q.describe], n) for n in (1, 2, 3)] + [("absent", [q.color, q.where], None)] + \
            [(k.__name__.replace("_", " "), [k], 1 if k in (q.the_shape, q.the_color) else None) for k in q.KINDS if k != q.describe]
        for name, of, n in kinds:
            for _ in range(self.n // N_AT_ONCE):
                target, chats = self.rng.choice(TARGETS), []
                while len(chats) < N_AT_ONCE:
                    scene = make_scene(self.rng, target[0] / target[1], n or self.rng.choice([1, 2, 3]))
                    asked = self.rng.choice(of)(self.rng, scene)
                    # Most questions name what is there; those that do not are a kind of their own.
                    if asked and asked[1].startswith("There is no ") == (name == "absent"):
                        chats.append((turn(asked[0], n_pictures=1), asked[1], [picture(self.rng, scene, target)]))
                self.score(name, chats, target, with_grey=True)
        return [name for name, _, _ in kinds]

    def without_pictures(self):
        self.score("talk", [(turn(text), answer, []) for texts, answer in q.TALK for text in texts])
        self.score("outside talk", [(turn(q.outside_talk(self.rng)), q.ONLY_SHAPES, []) for _ in range(self.n)])
        kinds = {**q.KINDS, q.outside: 0}
        self.score("no picture", [(turn(q.ask(self.rng, self.seen((160, 160))[0], kinds)[0]), q.NO_PICTURE, []) for _ in range(self.n)])

    def in_conversation(self):
        made = dict.fromkeys(["two pictures", "second turn", "new picture"])
        for _ in range(self.n):
            target = self.rng.choice(TARGETS)
            (a, first), (b, second) = self.seen(target), self.seen(target)
            text, answer = q.ask_about_two(self.rng, a, b)
            made["two pictures"] = [(turn(text, n_pictures=2), answer, [first, second])]
            described = turn(q.DESCRIBE[0], q.description(a), 1)
            text, answer = q.ask(self.rng, a, q.SHORT)
            made["second turn"] = [(described + turn(text), answer, [first])]
            text, answer = q.ask(self.rng, b, q.SHORT)
            made["new picture"] = [(described + turn(text, n_pictures=1), answer, [first, second])]
            for kind, chats in made.items():
                self.score(kind, chats, target)

    def report(self, about_pictures):
        of = lambda key: round(sum(self.figures[k][key] for k in about_pictures) / sum(self.figures[k]["n"] for k in about_pictures), 4)
        for f in self.figures.values():
            f["accuracy"] = round(f["right"] / f["n"], 4)
            if "grey_right" in f:
                f["grey_accuracy"] = round(f["grey_right"] / f["n"], 4)
        return dict(what=WHAT, seed=SEED, exact_match=of("right"), exact_match_grey=of("grey_right"), per_kind=self.figures)


if __name__ == "__main__":
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("folder")
    ap.add_argument("--n", type=int, default=200, help="questions of each kind, a multiple of 20")
    ap.add_argument("--out", help="file; FOLDER/eval.json when not given")
    args = ap.parse_args()
    torch.set_num_threads(1)
    began, evaluation = time.time(), Evaluation(args.folder, args.n)
    about_pictures = evaluation.about_pictures()
    evaluation.without_pictures()
    evaluation.in_conversation()
    report = evaluation.report(about_pictures)
    Path(args.out or Path(args.folder) / "eval.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    for kind, f in report["per_kind"].items():
        grey = f"{100 * f['grey_accuracy']:5.1f} %" if "grey_accuracy" in f else "-"
        print(f"{kind:22s} {f['right']:3d}/{f['n']:3d} {100 * f['accuracy']:5.1f} %   grey {grey}")
    print(f"all about pictures {report['exact_match']}, grey {report['exact_match_grey']}, {time.time() - began:.0f} s")
