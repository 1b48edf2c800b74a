"""Write a run's averaged weights as an ordinary Hugging Face folder, in bf16: `python export.py RUN FOLDER`.

Of several runs (`python export.py RUN RUN FOLDER`), one of which went on from the other, the mean: it has less of what either
forgot.
"""
import argparse
import json
import shutil
from pathlib import Path

import torch

import network
import tokenizer as words
from scenes import MAX_AREA, MIN_AREA

HERE = Path(__file__).resolve().parent
WEIGHTS = "model.safetensors"


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def tokenizer_config(tokenizer):
    added = {str(tokenizer.token_to_id(t)): dict(content=t, lstrip=False, normalized=False, rstrip=False, single_word=False,
                                                 special=t in words.SPECIAL) for t in words.SPECIAL + words.MARKERS}
    return dict(tokenizer_class="Qwen2Tokenizer", add_prefix_space=False, add_bos_token=False, bos_token=None,
                eos_token=words.END_OF_TURN, pad_token=words.END_OF_TEXT, unk_token=None, model_max_length=4096,
                clean_up_tokenization_spaces=False, split_special_tokens=False, errors="replace",
                additional_special_tokens=words.SPECIAL[1:], image_token=words.IMAGE, video_token=words.VIDEO,
                vision_bos_token=words.VISION_START, vision_eos_token=words.VISION_END, added_tokens_decoder=added)


def preprocessor_config():
    return dict(size=dict(shortest_edge=MIN_AREA, longest_edge=MAX_AREA), patch_size=16, temporal_patch_size=2, merge_size=2,
                do_convert_rgb=True, do_resize=True, do_rescale=True, do_normalize=True, resample=3, rescale_factor=1 / 255,
                image_mean=[.5] * 3, image_std=[.5] * 3, processor_class="Qwen3VLProcessor",
                image_processor_type="Qwen2VLImageProcessorFast")


def export(runs, folder):
    folder.mkdir(parents=True, exist_ok=True)
    states = [torch.load(run / "state.pt", weights_only=False) for run in runs]
    state = states[-1]
    source = Path(state["arguments"]["continue_from"] or runs[-1])
    tokenizer = words.load(source)
    model = network.fresh(tokenizer, 0)
    model.load_state_dict({k: sum(s["average"][k] for s in states) / len(states) for k in state["average"]})
    with torch.no_grad():  # rows beyond the tokenizer's entries are never to be chosen
        model.model.language_model.embed_tokens.weight[tokenizer.get_vocab_size():] = 0
    ends = [tokenizer.token_to_id(t) for t in (words.END_OF_TURN, words.END_OF_TEXT)]
    model.config.architectures = ["Qwen3_5ForConditionalGeneration"]
    model.to(torch.bfloat16).save_pretrained(folder)
    (folder / WEIGHTS).chmod(0o644)  # written for their owner alone, but a server is somebody else
    config = json.loads((folder / "config.json").read_text())
    config["text_config"].update(partial_rotary_factor=.5, full_attention_interval=4, attn_output_gate=True, mamba_ssm_dtype="float32")
    config["vision_config"]["deepstack_visual_indexes"] = []
    write_json(folder / "config.json", config)
    write_json(folder / "generation_config.json", dict(do_sample=False, eos_token_id=ends, pad_token_id=ends[1], max_new_tokens=96))
    write_json(folder / "tokenizer_config.json", tokenizer_config(tokenizer))
    write_json(folder / "preprocessor_config.json", preprocessor_config())
    shutil.copy(HERE / "chat_template.jinja", folder)
    if (source / "tokenizer.json").resolve() != (folder / "tokenizer.json").resolve():
        shutil.copy(source / "tokenizer.json", folder)
    print(f"step {state['step']} of {state['arguments']['steps']} written to {folder}")


if __name__ == "__main__":
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("runs", type=Path, nargs="+")
    ap.add_argument("folder", type=Path)
    args = ap.parse_args()
    export(args.runs, args.folder)
