"""The training's forward passes agree with transformers': `python test_network.py` (seconds)."""
import random

import torch

import network
import tokenizer
from batches import chat_batch
from train import MODEL

if __name__ == "__main__":
    torch.set_num_threads(1)
    encoder, model = tokenizer.Encoder(tokenizer.load(MODEL)), network.trained(MODEL).eval()
    tower, reader = network.Tower(model), network.Reader(model)
    rng = random.Random(5)
    for _ in range(4):
        batch = chat_batch(rng, encoder, 3, budget=150)
        (width, height), n = batch.target, len(batch.scenes)
        with torch.no_grad():
            images = tower(batch.patches, height // 16, width // 16).flatten(0, 1) if n else None
            x, cut = reader.embed(batch.ids, images), 40
            mine = model.lm_head(reader.read(x, batch.positions)[0])
            _, past = reader.read(x[:, :cut], batch.positions[:, :, :cut])
            tail = model.lm_head(reader.read(x[:, cut:], batch.positions[:, :, cut:], past)[0])  # in two readings
            grids = torch.tensor([[1, height // 16, width // 16]] * n)
            seen = dict(pixel_values=batch.patches.reshape(-1, 3, 1, 16, 16).expand(-1, -1, 2, -1, -1).flatten(1),
                        image_grid_thw=grids) if n else {}
            theirs = model(input_ids=batch.ids, mm_token_type_ids=(batch.ids == encoder.image).int(), **seen).logits
        answers = batch.weight > 0  # what pads the rows may differ
        whole = (mine - theirs)[answers].abs().max().item()
        parts = (tail - theirs[:, cut:])[answers[:, cut:]].abs().max().item()
        print(f"{n} pictures of {width}x{height}, {tuple(batch.ids.shape)} tokens: {whole:.1e} {parts:.1e}")
        assert max(whole, parts) < 2e-3
