"""Batches for training: questions that share a picture, and conversations.

Arrays are padded on the right. `weight` is nonzero where the NEXT token belongs to an answer; an answer weighs the square
root of its length, so that a long description does not drown ten short answers.
"""
from dataclasses import dataclass

import numpy as np
import torch

from chats import PICTURE, make_chat
from questions import LESSON, LONG, SHORT, as_typed, ask
from scenes import TARGETS, make_scene, patches, picture


@dataclass
class Rows:
    """ids [B, T], positions [3, B, T], weight [B, T]."""
    ids: torch.Tensor
    positions: torch.Tensor
    weight: torch.Tensor


@dataclass
class Questions:
    """Pictures of one size; `start` [1, T0] is read before each (its positions [3, 1, T0]); `groups` are (rows, which picture
    each row asks about)."""
    target: tuple
    scenes: list
    patches: torch.Tensor
    start: Rows
    groups: list


@dataclass
class Chats(Rows):
    """Whole conversations; patches of all their pictures in the order of the image tokens, None where there are none."""
    target: tuple
    scenes: list
    patches: torch.Tensor


def _drawn(rng, scenes, target):
    return torch.from_numpy(np.stack([patches(picture(rng, s, target)) for s in scenes])) if scenes else None


def positions_of(ids, image, rows, columns, first=0):
    """Positions [3, T] (time, row, column): a picture of rows x columns tokens counts as max(rows, columns)."""
    at, now, i, n = np.zeros((3, len(ids)), np.int64), first, 0, rows * columns
    row, column = np.divmod(np.arange(n), columns)
    while i < len(ids):
        if ids[i] == image:
            at[:, i:i + n] = np.stack([np.full(n, now), now + row, now + column])
            now, i = now + max(rows, columns), i + n
        else:
            at[:, i] = now
            now, i = now + 1, i + 1
    return at


def _rows(encoded, pad):
    """encoded: list of (ids, positions [3, T], weight of each token as an answer's)."""
    B, T = len(encoded), max(len(ids) for ids, _, _ in encoded)
    ids, positions, weight = np.full((B, T), pad, np.int64), np.zeros((3, B, T), np.int64), np.zeros((B, T), np.float32)
    for b, (i, p, w) in enumerate(encoded):
        ids[b, :len(i)], positions[:, b, :len(i)] = i, p
        weight[b, :len(i) - 1] = w[1:]
    return torch.from_numpy(ids), torch.from_numpy(positions), torch.from_numpy(weight)


def _answer(encoder, text):
    ids = encoder(text + "<|im_end|>")
    return ids, [len(ids) ** -.5] * len(ids)


def question_batch(rng, encoder, n_pictures, n_short, where=False):
    """n_short short questions about each of n_pictures, and a long one; where: the lesson in places, mostly of several things."""
    target = rng.choice(TARGETS)
    columns, rows = target[0] // 32, target[1] // 32
    aspect = target[0] / target[1]
    scenes = [make_scene(rng, aspect, rng.choice([1, 2, 2, 2, 3, 3]) if where else None) for _ in range(n_pictures)]
    # All before the question is the same for all: that is what is read once a picture.
    start = encoder("<|im_start|>user\n" + PICTURE)
    start = [t for i in start for t in ([i] * (rows * columns) if i == encoder.image else [i])]
    at = positions_of(start, encoder.image, rows, columns)
    first = int(at.max()) + 1

    def encoded(scene, kinds):
        text, answer = ask(rng, scene, kinds)
        asked = encoder(("\n" if rng.random() < .1 else "") + as_typed(rng, text) + "<|im_end|>\n<|im_start|>assistant\n")
        said, weight = _answer(encoder, answer)
        ids = asked + said
        return ids, np.arange(first, first + len(ids))[None].repeat(3, 0), [0] * len(asked) + weight
    groups = []
    for kinds, of in ((LESSON if where else SHORT, [i for i in range(n_pictures) for _ in range(n_short)]), (LONG, list(range(n_pictures)))):
        made = [encoded(scenes[i], kinds) for i in of]
        groups.append((Rows(*_rows(made, encoder.pad)), torch.tensor(of)))
    return Questions(target, scenes, _drawn(rng, scenes, target), Rows(*_rows([(start, at, [0] * len(start))], encoder.pad)), groups)


def chat_batch(rng, encoder, n, budget):
    """n conversations of at most `budget` tokens, or of one turn where that alone is longer."""
    target = rng.choice(TARGETS)
    columns, rows = target[0] // 32, target[1] // 32
    encoded, scenes = [], []
    for _ in range(n):
        system, seen, turns = make_chat(rng, target[0] / target[1])
        ids = list(encoder(f"<|im_start|>system\n{system}<|im_end|>\n")) if system else []
        weight, n_seen = [0] * len(ids), 0
        for k, (text, answer) in enumerate(turns):
            asked = encoder(("\n" if k else "") + f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n")
            asked = [t for i in asked for t in ([i] * (rows * columns) if i == encoder.image else [i])]
            said, said_weight = _answer(encoder, answer)
            if k and len(ids) + len(asked) + len(said) > budget:
                break
            n_seen += text.count(PICTURE)
            ids, weight = ids + asked + said, weight + [0] * len(asked) + said_weight
        scenes += seen[:n_seen]
        encoded.append((ids, positions_of(ids, encoder.image, rows, columns), weight))
    return Chats(*_rows(encoded, encoder.pad), target, scenes, _drawn(rng, scenes, target))
