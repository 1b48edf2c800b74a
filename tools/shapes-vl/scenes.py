"""Scenes of coloured shapes, and their pictures.

A scene is the truth: what lies where on which background. A picture is one drawing of it, at a size a user might send,
brought to the size the preprocessor would bring it to. Everything follows from the `random.Random` that is passed in.
"""
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

SHAPES = ["circle", "square", "triangle", "star", "cross", "ring"]
SIZES = ["small", "large"]
# Every colour is a mixture of two of its anchors: the plain RGB corner, the usual CSS colour, softer prints of it.
COLORS = {
    "red": [(255, 0, 0), (220, 40, 40), (200, 25, 35), (235, 60, 55)],
    "green": [(0, 128, 0), (50, 165, 70), (0, 255, 0), (0, 190, 40)],
    "blue": [(0, 0, 255), (45, 85, 215), (30, 60, 180), (60, 110, 240)],
    "yellow": [(255, 255, 0), (245, 215, 50), (255, 225, 0), (250, 230, 70)],
    "purple": [(128, 0, 128), (140, 60, 180), (150, 50, 200), (110, 30, 150)],
    "orange": [(255, 165, 0), (245, 135, 35), (255, 140, 0), (250, 120, 20)],
    "black": [(0, 0, 0), (22, 22, 22), (35, 35, 40)],
    "white": [(255, 255, 255), (248, 248, 248), (238, 238, 238)],
}
BACKGROUNDS = {
    "white": COLORS["white"],
    "gray": [(128, 128, 128), (145, 145, 145), (165, 165, 165), (110, 110, 110)],
    "black": COLORS["black"],
    "pink": [(255, 192, 203), (248, 190, 205), (250, 175, 195)],
}
# The picture is divided into 3 x 3 places: PLACES[row * 3 + column].
PLACES = ["in the top left", "at the top", "in the top right", "on the left", "in the center", "on the right",
          "in the bottom left", "at the bottom", "in the bottom right"]
MAX_SHAPES = 3

# ---- the preprocessor's arithmetic (areas in pixels of the resized picture)
MIN_AREA, MAX_AREA, MULTIPLE = 16384, 25600, 32
# (width, height) after resizing, for the usual aspect ratios; a size occurs as often as it is listed.
TARGETS = ([(160, 160)] * 12 + [(128, 128)] * 2 + [(160, 128)] * 6 + [(128, 160)] * 4 + [(192, 128)] * 4 +
           [(128, 192)] * 2 + [(192, 96)] * 4 + [(96, 192)] * 2 + [(224, 96)] + [(96, 224)])


def resized(width, height):
    """The size that Qwen2VL's "smart resize" gives a picture: multiples of 32 with an area in MIN_AREA .. MAX_AREA."""
    w, h = round(width / MULTIPLE) * MULTIPLE, round(height / MULTIPLE) * MULTIPLE
    if w * h > MAX_AREA:
        scale = math.sqrt(width * height / MAX_AREA)
        return tuple(max(MULTIPLE, math.floor(x / scale / MULTIPLE) * MULTIPLE) for x in (width, height))
    if w * h < MIN_AREA:
        scale = math.sqrt(MIN_AREA / (width * height))
        return tuple(math.ceil(x * scale / MULTIPLE) * MULTIPLE for x in (width, height))
    return w, h


def user_size(rng, target):
    """A size that a user might send and that is resized to `target`."""
    while True:
        scale = 1 if rng.random() < .2 else rng.uniform(1, 3)
        size = tuple(round(x * scale * rng.uniform(1, 1.19)) if scale > 1 else x for x in target)
        if resized(*size) == target:
            return size


@dataclass
class Thing:
    """One shape; x, y and radius in parts of the picture's sqrt(width * height); place indexes PLACES."""
    shape: str
    color: str
    size: str
    place: int
    x: float
    y: float
    radius: float


@dataclass
class Scene:
    """Things are in reading order. `aspect` is width / height."""
    background: str
    things: list
    aspect: float


def _put(rng, size, place, width, height, alone):
    """A thing of a size well inside its place, or None where it does not fit."""
    if size == "large":
        radius = rng.uniform(.17, .32 if alone and rng.random() < .5 else .215)
    else:
        radius = rng.uniform(.095, .13)
    at = []
    for index, extent in ((place % 3, width), (place // 3, height)):
        low = max((index + .2) * extent / 3, radius + .012)
        high = min((index + .8) * extent / 3, extent - radius - .012)
        if low > high:
            return None
        at.append(rng.uniform(low, high))
    return at[0], at[1], radius


def make_scene(rng, aspect, n=None):
    """A scene of n shapes (0 .. MAX_SHAPES; drawn when None), at most one a place, none touching another."""
    width, height = math.sqrt(aspect), math.sqrt(1 / aspect)
    background = rng.choice(list(BACKGROUNDS))
    if n is None:
        n = rng.choices(range(MAX_SHAPES + 1), [3, 28, 37, 32])[0]
    same_shape, same_color = rng.random() < .2, rng.random() < .2
    while True:
        things = []
        for place in rng.sample(range(9), n):
            size = rng.choice(SIZES)
            at = _put(rng, size, place, width, height, n == 1)
            if at is None or any(math.hypot(at[0] - t.x, at[1] - t.y) < at[2] + t.radius + .015 for t in things):
                break
            colors = [c for c in COLORS if c != background and (same_color or all(t.color != c for t in things))]
            shapes = [s for s in SHAPES if same_shape or all(t.shape != s for t in things)]
            things.append(Thing(rng.choice(shapes), rng.choice(colors), size, place, *at))
        if len(things) == n:
            return Scene(background, sorted(things, key=lambda t: t.place), aspect)


def _tint(rng, anchors):
    a, b, t = rng.choice(anchors), rng.choice(anchors), rng.random()
    return tuple(min(255, max(0, round(p + (q - p) * t + rng.uniform(-9, 9)))) for p, q in zip(a, b))


def outline(rng, shape):
    """Corners of a straight-edged shape within the unit circle, slightly turned; y points down."""
    if shape == "square":
        corners = [(-.8, -.8), (.8, -.8), (.8, .8), (-.8, .8)]
    elif shape == "triangle":
        corners = [(math.sin(t), -math.cos(t)) for t in (0, 2 * math.pi / 3, 4 * math.pi / 3)]
    elif shape == "star":
        inner = rng.uniform(.38, .48)
        corners = [(r * math.sin(i * math.pi / 5), -r * math.cos(i * math.pi / 5))
                   for i in range(10) for r in [inner if i % 2 else 1]]
    else:
        c = rng.uniform(.24, .38)
        corners = [(-c, -1), (c, -1), (c, -c), (1, -c), (1, c), (c, c), (c, 1), (-c, 1), (-c, c), (-1, c), (-1, -c), (-c, -c)]
    turn = rng.uniform(-.14, .14) if rng.random() < .7 else 0
    return [(x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)) for x, y in corners]


def draw(rng, scene, width, height):
    """The scene as an RGB picture of width x height pixels: flat colours, edges smooth or not, sometimes noise."""
    smooth = 2 if width * height < 100_000 and rng.random() < .6 else 1
    picture = Image.new("RGB", (width * smooth, height * smooth), _tint(rng, BACKGROUNDS[scene.background]))
    pen = ImageDraw.Draw(picture)
    kx, ky = (extent * smooth / math.sqrt(a) for extent, a in ((width, scene.aspect), (height, 1 / scene.aspect)))
    for thing in scene.things:
        x, y, rx, ry = thing.x * kx, thing.y * ky, thing.radius * kx, thing.radius * ky
        fill = _tint(rng, COLORS[thing.color])
        box = [x - rx, y - ry, x + rx, y + ry]
        if thing.shape == "circle":
            pen.ellipse(box, fill=fill)
        elif thing.shape == "ring":
            pen.ellipse(box, outline=fill, width=max(2, round(min(rx, ry) * rng.uniform(.24, .42))))
        else:
            pen.polygon([(x + p * rx, y + q * ry) for p, q in outline(rng, thing.shape)], fill=fill)
    if smooth > 1:
        picture = picture.reduce(smooth)
    sigma = rng.choice([0, 0, 0, 2, 5])
    if not sigma:
        return picture
    noise = np.random.default_rng(rng.getrandbits(32)).standard_normal((height, width, 3), dtype=np.float32)
    return Image.fromarray(np.clip(np.asarray(picture) + sigma * noise, 0, 255).astype(np.uint8))


def picture(rng, scene, target):
    """A drawing of the scene as the preprocessor hands it on: `target` = (width, height) pixels, bicubic."""
    drawn = draw(rng, scene, *user_size(rng, target))
    return drawn if drawn.size == target else drawn.resize(target, Image.BICUBIC)


def patches(image):
    """[n_patches, 768] float32 in -1 .. 1: 16 x 16 patches, each 2 x 2 block of patches together, channels first."""
    a = (np.asarray(image, dtype=np.float32) - 127.5) / 127.5
    height, width, _ = a.shape
    a = a.transpose(2, 0, 1).reshape(3, height // 32, 2, 16, width // 32, 2, 16)
    return a.transpose(1, 4, 2, 5, 0, 3, 6).reshape(height * width // 256, 768)
