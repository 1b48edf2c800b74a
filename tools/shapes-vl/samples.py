"""Ask a checkpoint about the sample pictures again: `python samples.py FOLDER` renews FOLDER/samples/samples.json.

Pictures, questions and truths stay; answers, and the ids of prompts and answers, are the checkpoint's.
"""
import json
import sys
from pathlib import Path

import torch
from PIL import Image

from answering import Answering, user


def answered(ask, text, pictures):
    inputs = ask.inputs([user(text, len(pictures))], pictures)
    ids = ask.ids(inputs)
    grid = dict(grid_thw=inputs["image_grid_thw"][0].tolist()) if pictures else {}
    return dict(answer=ask.tokenizer.decode(ids, skip_special_tokens=True), **grid, prompt_ids=inputs["input_ids"][0].tolist(),
                answer_ids=ids)


def renew(folder):
    ask, listing = Answering(folder), folder / "samples" / "samples.json"
    samples = json.loads(listing.read_text())
    for sample in samples:
        if sample["file"] is None:
            sample.update(answered(ask, sample["question"], []))
            continue
        picture = Image.open(folder / "samples" / sample["file"]).convert("RGB")
        for asked in sample["questions"]:
            asked.update(answered(ask, asked["question"], [picture]))
            asked["right"] = asked["answer"] == asked["truth"]
        sample["answer"] = sample["questions"][0]["answer"]
        print(sample["file"], "|", sample["description"], "|", sample["answer"], "|", [a["right"] for a in sample["questions"]])
    listing.write_text(json.dumps(samples, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    renew(Path(sys.argv[1]))
