"""The tokenizer: byte-level BPE of 896 entries with ChatML's and the vision markers, learned from the project's own words.

`python tokenizer.py FILE` learns it anew; a training that continues keeps the one its weights were trained with.
"""
import random
import sys
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

VOCAB_SIZE = 896
END_OF_TEXT, END_OF_TURN, IMAGE, VIDEO = "<|endoftext|>", "<|im_end|>", "<|image_pad|>", "<|video_pad|>"
VISION_START, VISION_END = "<|vision_start|>", "<|vision_end|>"
SPECIAL = [END_OF_TEXT, "<|im_start|>", END_OF_TURN, VISION_START, VISION_END, "<|vision_pad|>", IMAGE, VIDEO]
MARKERS = ["<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]
WORDS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|"
         r"\s*[\r\n]+|\s+(?!\S)|\s+")
# Beside the conversations: common English, so that other words are not spelled out letter by letter.
ENGLISH = ["The quick brown fox jumps over the lazy dog.", "How much wood would a woodchuck chuck?",
           "Can you tell me more about that, please?", "I would like to know which of these things is not like the other ones."]


def learn():
    """A tokenizer learned from generated conversations."""
    from chats import PICTURE, make_chat
    rng = random.Random(1234)
    corpus = ["system\n", "user\n", "assistant\n"] * 6000 + ENGLISH * 5
    for _ in range(6000):
        system, _, turns = make_chat(rng, 1)
        corpus += [text.replace(PICTURE, "") for turn in turns for text in turn] + [system or ""]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(WORDS), behavior="isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE - len(SPECIAL) - len(MARKERS), min_frequency=2, show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in MARKERS])
    return tokenizer


def load(folder):
    return Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))


class Encoder:
    """Text to ids, remembered: training says the same few thousand sentences again and again."""

    def __init__(self, tokenizer):
        self.tokenizer, self._known = tokenizer, {}
        self.image, self.pad = tokenizer.token_to_id(IMAGE), tokenizer.token_to_id(END_OF_TEXT)

    def __call__(self, text):
        ids = self._known.get(text)
        if ids is None:
            ids = self._known[text] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids


if __name__ == "__main__":
    learn().save(sys.argv[1])
