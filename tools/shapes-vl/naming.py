"""A training-only loss on the tower: the token of a picture's part points at the words that name what lies there.

A token (32 x 32 pixels) that a thing covers must score, against the word embeddings, that thing's colour, shape, size and
place above the other words of their kind; an empty one scores " nothing". It has no parameters. Matching a question's word
with a part of the picture is what a language model learns last when left alone; this makes it a matter of content.
"""
import math

import torch
import torch.nn.functional as F

from scenes import COLORS, PLACES, SHAPES, SIZES

EMPTY = -1
# The words of a place that set it apart: "in the top left" is top and left.
PLACE_WORDS = [[w for w in p.split() if w in ("top", "bottom", "left", "right", "center")] for p in PLACES]


def covered(scene, target):
    """[n_tokens, 4] of (colour, shape, size, place) indices; EMPTY where no thing covers the token."""
    width, height = target
    kx, ky = width / math.sqrt(scene.aspect), height * math.sqrt(scene.aspect)
    columns, rows = width // 32, height // 32
    labels, nearest = torch.full((rows * columns, 4), EMPTY), [math.inf] * (rows * columns)
    for thing in scene.things:
        x, y, r = thing.x * kx, thing.y * ky, thing.radius * kx
        named = (list(COLORS).index(thing.color), SHAPES.index(thing.shape), SIZES.index(thing.size), thing.place)
        for c in range(rows * columns):
            left, top = c % columns * 32, c // columns * 32
            gap = math.hypot(max(left - x, 0, x - left - 32), max(top - y, 0, y - top - 32))
            center = math.hypot(left + 16 - x, top + 16 - y)
            if gap < .55 * r and center < nearest[c]:
                nearest[c], labels[c] = center, torch.tensor(named)
    return labels


class Naming:
    def __init__(self, encoder):
        one = lambda word: encoder(" " + word)[:1]
        nothing = [one("nothing")]
        self.kinds = [[one(w) for w in COLORS] + nothing, [one(w) for w in SHAPES] + nothing, [one(w) for w in SIZES] + nothing,
                      [[one(w)[0] for w in place] for place in PLACE_WORDS] + nothing]

    def loss(self, tokens, scenes, target, embedding):
        """(loss, part of the covered tokens whose colour and shape are named right). tokens [n_pictures, n_tokens, hidden]."""
        labels = torch.cat([covered(s, target) for s in scenes])
        tokens, embedding = tokens.flatten(0, 1), embedding.detach()
        thing = labels[:, 0] != EMPTY
        weight = torch.where(thing, 1., .25)
        total, right = 0., []
        for k, names in enumerate(self.kinds):
            scores = tokens @ torch.stack([embedding[n].mean(0) for n in names]).T
            wanted = labels[:, k].where(thing, torch.tensor(len(names) - 1))
            total = total + (F.cross_entropy(scores, wanted, reduction="none") * weight).sum() / weight.sum()
            if k < 2:
                right.append((scores.argmax(1) == wanted)[thing].float().mean().item())
        return total, right
