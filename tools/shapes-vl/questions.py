"""Questions about a scene with their answers, one function a kind, and small talk.

A kind returns (question, answer), or None where the scene does not suit it. An answer is a function of the scene and the
question alone: the same words always mean the same thing, so an exact match is a fair measure.
"""
from scenes import COLORS, PLACES, SHAPES

NUMBERS = ["no", "one", "two", "three"]
# How often a question names something that is not there.
ABSENT = .05
# Questions about a place count a whole edge: "on the left" is the left column.
EDGES = {**{PLACES[i]: [i] for i in (0, 2, 4, 6, 8)}, "on the left": [0, 3, 6], "on the right": [2, 5, 8],
         "at the top": [0, 1, 2], "at the bottom": [6, 7, 8]}

DESCRIBE = ["What's in this image?", "What is in this image?", "Describe this picture.", "Describe the image.",
            "What do you see?", "What is in the picture?", "What can you see in this picture?", "Describe this image.",
            "Tell me what you see.", "What does this picture show?", "Can you describe this image?",
            "Please describe the picture.", "What is shown here?", "What is this?", "Describe it.", "What's in this picture?",
            "What do you see in this image?", "Describe what you see."]
COLOR = ["What color is the {s}?", "Which color is the {s}?", "What is the color of the {s}?", "What color does the {s} have?",
         "Tell me the color of the {s}.", "What color is the {s} in the picture?"]
OF_COLOR = ["Which shape is {c}?", "What shape is {c}?", "What is {c}?", "What is the {c} shape?", "What shape is the {c} one?",
            "What shape is the {c} object?", "What shape does the {c} one have?"]
COUNT = ["How many shapes are there?", "How many shapes do you see?", "Count the shapes.", "How many objects are in the picture?",
         "How many shapes are in this image?", "What is the number of shapes?", "How many shapes are in the picture?",
         "How many objects are there?", "How many shapes does the picture have?"]
COUNT_SHAPE = ["How many {p} are there?", "How many {p} do you see?", "Count the {p}.", "How many {p} are in the picture?"]
EXISTS = ["Is there {a}?", "Do you see {a}?", "Is there {a} in the picture?", "Can you see {a}?", "Does the image have {a}?",
          "Is there {a} in this image?"]
WHERE = ["Where is the {s}?", "Where can I find the {s}?", "What is the position of the {s}?", "In which place is the {s}?",
         "Where in the picture is the {s}?"]
SIZE = ["Is the {s} large or small?", "How big is the {s}?", "What size is the {s}?", "Is the {s} small or large?"]
BACKGROUND = ["What color is the background?", "Which color is the background?", "What is the background color?",
              "What is the color of the background?", "Describe the background."]
AT_SHAPE = ["What shape is {p}?", "Which shape is {p}?", "What is {p}?", "Which shape do you see {p}?"]
AT_COLOR = ["What color is the shape {p}?", "Which color is the shape {p}?", "What is the color of the shape {p}?"]
ALL_COLORS = ["What colors do you see?", "What colors are the shapes?", "Which colors do the shapes have?", "Name the colors."]
ALL_SHAPES = ["What shapes do you see?", "Which shapes are there?", "Name the shapes.", "List the shapes.",
              "What shapes are in the image?"]
THE_SHAPE = ["What shape is this?", "What shape is it?", "Which shape is this?", "What shape is in the picture?",
             "What shape do you see?", "Which shape do you see?", "What shape is in this image?"]
THE_COLOR = ["What color is it?", "What color is this?", "Which color is it?", "What color is the shape?",
             "What color is this shape?", "What is the color of the shape?"]


def article(noun):
    return ("an " if noun[0] in "aeio" else "a ") + noun


def plural(noun):
    return noun + ("es" if noun.endswith("s") else "s")


def sentence(text):
    return text[0].upper() + text[1:] + "."


def listed(items):
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


def number_of(n, noun):
    return f"There is one {noun}." if n == 1 else f"There are {NUMBERS[n]} {plural(noun)}."


def description(scene):
    if not scene.things:
        return f"An empty {scene.background} background."
    things = listed([f"a {t.size} {t.color} {t.shape} {PLACES[t.place]}" for t in scene.things])
    return sentence(f"{things}, on a {scene.background} background")


def _only(scene, attribute):
    """Things that are alone in their shape or colour."""
    values = [getattr(t, attribute) for t in scene.things]
    return [t for t in scene.things if values.count(getattr(t, attribute)) == 1]


def _absent(scene, attribute, of):
    return [x for x in of if all(getattr(t, attribute) != x for t in scene.things)]


def describe(rng, scene):
    return rng.choice(DESCRIBE), description(scene)


def _about_a_shape(rng, scene, forms, said):
    """A question that names a shape; now and then one that is not there."""
    things = _only(scene, "shape")
    form = rng.choice(forms)
    if not things or rng.random() < ABSENT:
        shape = rng.choice(_absent(scene, "shape", SHAPES))
        return form.format(s=shape), f"There is no {shape}."
    thing = rng.choice(things)
    return form.format(s=thing.shape), f"The {thing.shape} is {said(thing)}."


def color(rng, scene):
    return _about_a_shape(rng, scene, COLOR, lambda t: t.color)


def where(rng, scene):
    return _about_a_shape(rng, scene, WHERE, lambda t: PLACES[t.place])


def size(rng, scene):
    return _about_a_shape(rng, scene, SIZE, lambda t: t.size)


def where_colored(rng, scene):
    """Where is the red circle / the red shape?"""
    form = rng.choice(WHERE)
    if rng.random() < .5:
        things, name = _only(scene, "color"), lambda c, _: f"{c} shape"
    else:
        things, name = _only(scene, "shape"), lambda c, s: f"{c} {s}"
    if not things or rng.random() < ABSENT:
        absent = name(rng.choice(_absent(scene, "color", COLORS)), rng.choice(SHAPES))
        return form.format(s=absent), f"There is no {absent}."
    thing = rng.choice(things)
    named = name(thing.color, thing.shape)
    return form.format(s=named), f"The {named} is {PLACES[thing.place]}."


def of_color(rng, scene):
    things = _only(scene, "color")
    if not things:
        return None
    thing = rng.choice(things)
    return rng.choice(OF_COLOR).format(c=thing.color), f"The {thing.color} shape is a {thing.shape}."


def count(rng, scene):
    return rng.choice(COUNT), number_of(len(scene.things), "shape")


def count_shape(rng, scene):
    shape = rng.choice(scene.things).shape if scene.things and rng.random() < .65 else rng.choice(SHAPES)
    return rng.choice(COUNT_SHAPE).format(p=plural(shape)), number_of(sum(t.shape == shape for t in scene.things), shape)


def _exists(rng, scene, noun):
    """Answered by what is there: whether that is a yes, a model this small does not learn (it stays at chance for tens of
    thousands of questions), and a guessed yes would be worse than none."""
    seen = listed([article(f"{t.color} {t.shape}") for t in scene.things]) if scene.things else "no shapes"
    return rng.choice(EXISTS).format(a=article(noun)), f"I see {seen}."


def exists_shape(rng, scene):
    there = bool(scene.things) and rng.random() < .5
    return _exists(rng, scene, rng.choice(scene.things).shape if there else rng.choice(_absent(scene, "shape", SHAPES)))


def exists_color(rng, scene):
    there = bool(scene.things) and rng.random() < .5
    named = rng.choice(scene.things).color if there else rng.choice(_absent(scene, "color", COLORS))
    return _exists(rng, scene, f"{named} shape")


def exists_colored_shape(rng, scene):
    """Half of them are there; most of the others come near: the colour of one thing with the shape of another."""
    pairs = {(t.color, t.shape) for t in scene.things}
    if pairs and rng.random() < .5:
        return _exists(rng, scene, " ".join(rng.choice(sorted(pairs))))
    while True:
        c, s = rng.choice(list(COLORS)), rng.choice(SHAPES)
        if scene.things and rng.random() < .7:
            thing = rng.choice(scene.things)
            c, s = (thing.color, s) if rng.random() < .5 else (c, thing.shape)
        if (c, s) not in pairs:
            return _exists(rng, scene, f"{c} {s}")


def background(rng, scene):
    return rng.choice(BACKGROUND), f"The background is {scene.background}."


def _alone_at(scene):
    return [(name, t) for name, cells in EDGES.items() for t in scene.things
            if t.place in cells and sum(o.place in cells for o in scene.things) == 1]


def shape_at(rng, scene):
    empty = [name for name, cells in EDGES.items() if not any(t.place in cells for t in scene.things)]
    alone = _alone_at(scene)
    if empty and (not alone or rng.random() < .1):
        name = rng.choice(empty)
        return rng.choice(AT_SHAPE).format(p=name), f"There is nothing {name}."
    if not alone:
        return None
    name, thing = rng.choice(alone)
    return rng.choice(AT_SHAPE).format(p=name), f"A {thing.shape}."


def color_at(rng, scene):
    alone = _alone_at(scene)
    if not alone:
        return None
    name, thing = rng.choice(alone)
    return rng.choice(AT_COLOR).format(p=name), f"It is {thing.color}."


def all_colors(rng, scene):
    return (rng.choice(ALL_COLORS), sentence(listed(list(dict.fromkeys(t.color for t in scene.things))))) if scene.things else None


def all_shapes(rng, scene):
    return (rng.choice(ALL_SHAPES), sentence(listed(["a " + t.shape for t in scene.things]))) if scene.things else None


def the_shape(rng, scene):
    return (rng.choice(THE_SHAPE), f"It is a {scene.things[0].shape}.") if len(scene.things) == 1 else None


def the_color(rng, scene):
    return (rng.choice(THE_COLOR), f"It is {scene.things[0].color}.") if len(scene.things) == 1 else None


# What a picture of shapes cannot answer.
OUTSIDE_PICTURE = ["Is there {a}?", "Do you see {a}?", "What is the {n} doing?", "Where is the {n}?", "How many {p} are there?",
                   "What color is the {n}?", "Can you see {a}?", "Describe the {n}."]
OUTSIDE_NOUNS = ["dog", "cat", "car", "house", "tree", "person", "man", "woman", "bird", "flower", "boat", "table", "phone",
                 "book", "child", "horse", "street", "mountain", "bottle", "chair"]
OUTSIDE_WHOLE = ["Who is in this picture?", "Where was this taken?", "What does the text say?", "Read the text.",
                 "What animal is this?", "Who painted this?", "When was this picture taken?", "What is the weather like?",
                 "Is this person happy?", "What brand is this?", "How old is he?", "Translate the sign."]
ONLY_SHAPES = "I only know about pictures of colored shapes."


def outside(rng, _scene):
    if rng.random() < .35:
        return rng.choice(OUTSIDE_WHOLE), ONLY_SHAPES
    noun = rng.choice(OUTSIDE_NOUNS)
    return rng.choice(OUTSIDE_PICTURE).format(a=article(noun), n=noun, p=noun + "s"), ONLY_SHAPES


# How often a kind is asked, more often where it is learned late. The short ones are answered in about ten tokens.
SHORT = {color: 2, of_color: 1.5, count: 2, count_shape: 2, where: 4.5, where_colored: 3, size: .9, background: .2, shape_at: 2.5,
         color_at: 1.5, the_shape: .4, the_color: .3, outside: .4}
LONG = {describe: 3, exists_shape: 2, exists_color: 2, exists_colored_shape: 2, all_colors: .2, all_shapes: .4}
KINDS = {**SHORT, **LONG}
# A lesson of its own in what is learned last of all, with so much of the rest that nothing is forgotten.
LESSON = {where: 8, where_colored: 5, color: .7, of_color: .7, count: .3, count_shape: .8, size: .4, background: .1, shape_at: .8,
         color_at: .8, outside: .2}


def ask(rng, scene, kinds=KINDS):
    """A question of one of the kinds (a dict of weights) and its answer."""
    while True:
        asked = rng.choices(list(kinds), list(kinds.values()))[0](rng, scene)
        if asked:
            return asked


def ask_about_two(rng, first, second):
    """A question about two pictures in one message."""
    word, roll = rng.choice(["picture", "image"]), rng.random()
    if roll < .4:
        attribute, values, suffix = ("shape", SHAPES, "") if rng.random() < .6 else ("color", list(COLORS), " shape")
        present = [getattr(t, attribute) for t in first.things + second.things]
        value = rng.choice(present) if present and rng.random() < .9 else rng.choice(values)
        has = tuple(any(getattr(t, attribute) == value for t in s.things) for s in (first, second))
        answer = {(True, False): "The first one.", (False, True): "The second one.", (True, True): "Both of them.",
                  (False, False): "Neither of them."}[has]
        form = rng.choice([f"Which {word} has {{a}}?", f"Which {word} shows {{a}}?", f"In which {word} is {{a}}?"])
        return form.format(a=article(value + suffix)), answer
    scene, nth = rng.choice([(first, "first"), (second, "second")])
    if roll < .6:
        return rng.choice([f"Describe the {nth} {word}.", f"What is in the {nth} {word}?"]), description(scene)
    things = _only(scene, "shape")
    if roll < .75 or not things:
        return f"How many shapes are in the {nth} {word}?", number_of(len(scene.things), "shape")
    if roll < .83:
        return f"What color is the background in the {nth} {word}?", f"The background is {scene.background}."
    thing = rng.choice(things)
    return f"What color is the {thing.shape} in the {nth} {word}?", f"The {thing.shape} is {thing.color}."


# ---- without a picture
NO_PICTURE = "I don't see an image. Please send me a picture."
TALK = [
    (["Hello", "Hi", "Hey", "Hello!", "Hi there!", "Good morning", "Hello there", "Good evening!", "Good day", "Hi!"],
     "Hello! Send me a picture of some shapes."),
    (["Who are you?", "What is your name?", "What are you?", "Tell me about yourself.", "Are you a robot?", "Which model are you?",
      "What model is this?", "Are you human?"], "I am a tiny demo model that looks at pictures of shapes."),
    (["What can you do?", "Help", "How can you help me?", "What do you do?", "Can you help me?", "How do I use you?",
      "What do you know?", "What are you good at?"], "I can describe pictures of colored shapes and answer questions about them."),
    (["How are you?", "How are you today?", "How is it going?"], "I am fine, thank you."),
    (["Thanks", "Thank you!", "Thank you very much.", "Great, thanks!", "Well done!"], "You are welcome."),
    (["Bye", "Goodbye", "See you later!", "Good night"], "Goodbye!"),
]
TOPICS = ["the sea", "love", "winter", "France", "Spain", "music", "history", "my dog", "the moon", "a king", "school", "Italy",
          "computers", "the war", "space", "food", "Japan", "football", "the law", "money"]
OUTSIDE_TALK = ["What is the capital of {t}?", "Write a poem about {t}.", "Tell me a story about {t}.", "Write a song about {t}.",
                "Explain {t}.", "Tell me about {t}.", "What do you think of {t}?", "Who is the president of {t}?",
                "Why is {t} important?", "Write an email about {t}.", "Summarize the history of {t}.", "How do I learn about {t}?"]
OUTSIDE_PLAIN = ["Tell me a joke.", "What is two plus two?", "What time is it?", "How is the weather?", "Who wrote Hamlet?",
                 "Write some code.", "Tell me a story.", "Translate this text.", "What is 2+2?", "What is the meaning of life?",
                 "Say something.", "Explain gravity.", "Write a Python function.", "Count to ten.", "Sing a song.",
                 "What day is it?", "Fix this bug.", "What is the news?", "How tall is Mount Everest?", "Who won the game?"]


def outside_talk(rng):
    return rng.choice(OUTSIDE_PLAIN) if rng.random() < .5 else rng.choice(OUTSIDE_TALK).format(t=rng.choice(TOPICS))


def talk(rng):
    if rng.random() < .4:
        return outside_talk(rng), ONLY_SHAPES
    asked, answer = rng.choice(TALK)
    return rng.choice(asked), answer


def as_typed(rng, text):
    """Case, punctuation and spelling as people have them."""
    roll = rng.random()
    if rng.random() < .25:
        text = text.replace("color", "colour")
    if roll < .12:
        return text.lower()
    if roll < .2:
        return text.rstrip("?.!")
    if roll < .26:
        return text.lower().rstrip("?.!")
    if roll < .29:
        return "Please: " + text
    return text + " " if roll < .31 else text

