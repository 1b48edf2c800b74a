"""Conversations for training: several turns, one or two pictures, a picture later on, a system prompt, no picture at all."""
from questions import DESCRIBE, KINDS, NO_PICTURE, LONG, SHORT, as_typed, ask, ask_about_two, talk
from scenes import make_scene

PICTURE = "<|vision_start|><|image_pad|><|vision_end|>"
SYSTEM = ["You are a helpful assistant.", "You are a friendly assistant.", "Answer briefly.", "You look at pictures.",
          "You are a helpful assistant that describes images.", "Be short and precise.", "You are an assistant."]
N_TURNS = 6


def with_pictures(rng, text, n=1):
    """The user's words with n pictures before them, sometimes after."""
    if rng.random() < .15:
        return text + "\n" * (rng.random() < .3) + PICTURE * n
    return PICTURE * n + "\n" * (rng.random() < .1) + text


def without_picture(rng, aspect):
    """One turn where there is no picture to speak of."""
    if rng.random() < .35:
        text = rng.choice(DESCRIBE) if rng.random() < .5 else ask(rng, make_scene(rng, aspect))[0]
        return as_typed(rng, text), NO_PICTURE
    text, answer = talk(rng)
    return as_typed(rng, text), answer


def _two_pictures(rng, aspect):
    scenes = [make_scene(rng, aspect), make_scene(rng, aspect)]
    turns = []
    for i in range(N_TURNS):
        text, answer = ask_about_two(rng, *scenes)
        text = as_typed(rng, text)
        turns.append((with_pictures(rng, text, 2) if i == 0 else text, answer))
    return scenes, turns


def _one_after_the_other(rng, aspect):
    """Turns about the newest picture. Descriptions are rare: later answers would be copied from them, not seen."""
    scenes, turns = [], []
    if rng.random() < .1:
        turns.append(without_picture(rng, aspect))
    change = rng.randint(1, 2) if rng.random() < .3 else N_TURNS
    kinds = KINDS if rng.random() < .3 else SHORT
    for i in range(N_TURNS):
        fresh = i in (0, change)
        if fresh:
            scenes.append(make_scene(rng, aspect))
        text, answer = talk(rng) if not fresh and rng.random() < .06 else \
            ask(rng, scenes[-1], LONG if fresh and rng.random() < .2 else kinds)
        text = as_typed(rng, text)
        turns.append((with_pictures(rng, text) if fresh else text, answer))
    return scenes, turns


def make_chat(rng, aspect):
    """(system prompt or None, scenes in the order of their pictures, [(user's text, answer)])."""
    system = rng.choice(SYSTEM) if rng.random() < .4 else None
    roll = rng.random()
    if roll < .3:
        return system, [], [without_picture(rng, aspect) for _ in range(rng.randint(1, N_TURNS))]
    if roll < .5:
        return (system, *_two_pictures(rng, aspect))
    return (system, *_one_after_the_other(rng, aspect))
