"""A checkpoint folder asked through transformers: greedy, weights as stored, computed in f32."""
import torch
from transformers import AutoTokenizer, Qwen3_5ForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil


def user(text, n_pictures=0):
    """A user's message with n pictures before the words."""
    return dict(role="user", content=[dict(type="image")] * n_pictures + [dict(type="text", text=text)] if n_pictures else text)


def assistant(text):
    return dict(role="assistant", content=text)


class Answering:
    def __init__(self, folder):
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.network = Qwen3_5ForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
        self.processor = Qwen2VLImageProcessorPil.from_pretrained(folder)
        self.image = self.network.config.image_token_id

    def inputs(self, messages, pictures=()):
        """Tensors of the prompt; a picture's one marker becomes as many tokens as it has 2 x 2 blocks of patches."""
        text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        ids, seen = self.tokenizer.encode(text, add_special_tokens=False), {}
        if pictures:
            made = self.processor(images=list(pictures), return_tensors="pt")
            seen = dict(pixel_values=made["pixel_values"], image_grid_thw=made["image_grid_thw"])
            n_tokens = iter([int(g.prod()) // 4 for g in made["image_grid_thw"]])
            ids = [t for i in ids for t in ([i] * next(n_tokens) if i == self.image else [i])]
        ids = torch.tensor([ids])
        return dict(input_ids=ids, attention_mask=torch.ones_like(ids), mm_token_type_ids=(ids == self.image).int(), **seen)

    @torch.no_grad()
    def ids(self, inputs):
        self.network.model.rope_deltas = None
        out = self.network.generate(**inputs, max_new_tokens=96, do_sample=False)
        return out[0, inputs["input_ids"].shape[1]:].tolist()

    def __call__(self, messages, pictures=()):
        return self.tokenizer.decode(self.ids(self.inputs(messages, pictures)), skip_special_tokens=True)
