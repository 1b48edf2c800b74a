"""A training run in a folder: its steps, a line of figures now and then, and a state from which the same command goes on."""
import os
import random
import time
from pathlib import Path

import torch

EVERY = 50  # steps from one line of figures, and one saved state, to the next


class Run:
    """One that trains has `losses()`, which takes a step's losses back to the parameters and returns figures to show, and
    `rate()`, the step's learning rate. Its random choices come from `rng`."""

    def __init__(self, args, file, optimizer, **parts):
        """file: the state's, in `args.out`; parts: what has a state_dict to be kept in it, beside the optimizer's."""
        self.args, self.file = args, Path(args.out) / file
        self.optimizer, self.parts = optimizer, dict(parts, optimizer=optimizer)
        self.rng, self.step = random.Random(args.seed), 0

    def one_step(self):
        self.optimizer.zero_grad()
        seen = self.losses()
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        torch.nn.utils.clip_grad_norm_([p for group in self.optimizer.param_groups for p in group["params"]], 1.)
        self.optimizer.step()
        self.step += 1
        return seen

    def save(self):
        state = dict(step=self.step, rng=self.rng.getstate(), arguments=vars(self.args))
        written = self.file.with_name(self.file.name + ".tmp")
        torch.save(state | {name: part.state_dict() for name, part in self.parts.items()}, written)
        os.replace(written, self.file)

    def restore(self):
        state = torch.load(self.file, weights_only=False)
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        self.step = state["step"]
        self.rng.setstate(state["rng"])

    def run(self):
        torch.set_num_threads(threads(self.args.threads))
        if self.file.exists():
            self.restore()
            print(f"goes on from step {self.step}", flush=True)
        mean, began, first = {}, time.time(), self.step
        while self.step < self.args.steps:
            for k, v in self.one_step().items():
                mean[k] = .98 * mean[k] + .02 * v if k in mean else v
            if self.step % EVERY == 0:
                pace = (time.time() - began) / (self.step - first)
                print(f"{self.step} {pace:.2f} s/step lr={self.rate():.1e} " + " ".join(f"{k}={v:.3f}" for k, v in mean.items()), flush=True)
                torch.set_num_threads(threads(self.args.threads))
                self.save()
        self.save()


def threads(wanted):
    """0 = as many as the machine's other work leaves idle, at least one."""
    return wanted or max(1, min(os.cpu_count(), round(os.cpu_count() - os.getloadavg()[0] + torch.get_num_threads())))


def add_arguments(parser, lr, steps, seed):
    """Those of every run; lr, steps, seed: their defaults."""
    parser.add_argument("--out", default="out", help="folder of the run: its state; the same command goes on from there")
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--lr", type=float, default=lr)
    parser.add_argument("--budget", type=int, default=130, help="tokens a conversation")
    parser.add_argument("--seed", type=int, default=seed)
    parser.add_argument("--threads", type=int, default=1, help="0: as many as are idle")
