"""How fast training goes beside what its model alone takes, and beside FineLAP's loop.

    python benchmarks/train.py

On soundscapes of the built-in sounds, the default model and batch. By turns, several rounds of each:

- floor: log-mel spectrogram, audio and text encoder, logits and losses, forward and backward, of one batch of random
  waveforms: no data, no optimizer
- step: `Trainer.learn` on one batch
- loop: as `flam-cli train` learns, with audio files read and batches made beside
- online: the same with every soundscape rendered when it is needed
- read, render: batches made in one thread, of files and rendered, of which nothing is learned
- finelap: the same model in a loop as FineLAP's: each file decoded when its item is asked for, the 20 phrases of each
  clip embedded in a loop over clips, the clip loss and the frame loss of each clip with its own phrases

The last line is one JSON object; `share_of_floor` is loop / floor in clips a second, `vs_finelap_loop` loop / finelap.
"""

import argparse
import dataclasses
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("GOMP_SPINCOUNT", "20000")  # as the command line sets it, before torch is loaded

import numpy as np
import torch
from torch.nn import functional

from curation.bank import build_bank
from curation.caption import caption
from curation.config import load_recipe
from curation.fresh import FreshSoundscapes
from curation.render import Renderer
from curation.runner import available_cores
from curation.simulate import simulate
from manifests import audio
from manifests.frames import frame_labels
from training import objective
from training.augment import augment_of
from training.config import TrainConfig, model_config
from training.data import batches, make_batch
from training.losses import clip_sigmoid_loss
from training.sources import Data, open_sources, sampler_of
from training.trainer import Trainer

PHRASES_PER_CLIP = 20  # FineLAP's N


def main() -> None:
    """Make the data, measure by turns, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num", type=int, default=400, help="soundscapes")
    parser.add_argument("--steps", type=int, default=6, help="of each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", default="base")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        build_bank(["builtin"], root / "bank", sample_rate=16_000, workers=available_cores())
        for name, kind in (("files", "wav"), ("virtual", "none")):
            simulate(root / "bank", root / name, recipe=load_recipe("finelap-100k"), num=options.num, audio_format=kind)
            caption(root / name)
        config = TrainConfig(model=model_config(options.size))
        files = Loop(Data(root=root / "files"), config)
        online = Loop(
            Data(
                root=root / "virtual", render=Renderer.open(root / "virtual"), fresh=FreshSoundscapes(root / "virtual")
            ),
            config.model_copy(update={"online": True}),
        )
        ways: dict[str, Callable[[int], float]] = {
            "floor": files.floor,
            "step": files.step,
            "loop": files.loop,
            "online": online.loop,
            "read": files.read,
            "render": online.read,
            "finelap": FineLapLoop(files).run,
        }
        found: dict[str, list[float]] = {name: [] for name in ways}
        for one in ways.values():
            one(2)  # warm
        for _ in range(options.rounds):
            for name, measure in ways.items():
                seconds = measure(options.steps)
                found[name].append(options.steps * config.batch_size / seconds)
        rates = {name: statistics.median(values) for name, values in found.items()}
        for name, values in found.items():
            spread = f"{min(values):.1f} to {max(values):.1f}"
            sys.stdout.write(f"{name:8} {rates[name]:6.1f} clips/s ({spread})\n")
        summary = {
            "command": sys.argv,
            "threads": torch.get_num_threads(),
            "clips_per_second": {name: round(value, 1) for name, value in rates.items()},
            "share_of_floor": round(rates["loop"] / rates["floor"], 3),
            "online_share_of_floor": round(rates["online"] / rates["floor"], 3),
            "data_wait_share": round(files.wait_share(), 4),
            "online_data_wait_share": round(online.wait_share(), 4),
            "vs_finelap_loop": round(rates["loop"] / rates["finelap"], 2),
        }
        sys.stdout.write(json.dumps(summary) + "\n")


class Loop:
    """Training as `training.loop` does it, without validation and checkpoints."""

    def __init__(self, data: Data, config: TrainConfig) -> None:
        self.config = config
        self.sources, self.book = open_sources([data], config)
        self.sampler = sampler_of(config, self.sources.longest())
        self.trainer = Trainer(config, device="cpu")
        # with fresh soundscapes from the second epoch on: begin there
        self.first = -(-len(self.sources.sets[0]) // config.batch_size) if config.online else 0
        self.batch = make_batch(self.sources, self.book, self.sampler, self.first)
        self.random = dataclasses.replace(self.batch, waveforms=0.1 * torch.randn_like(self.batch.waveforms))
        self.waits: list[tuple[float, float]] = []

    def floor(self, steps: int) -> float:
        """Seconds of what the model alone takes."""
        model = self.trainer.model.train()
        began = time.perf_counter()
        for _ in range(steps):
            model.zero_grad()
            parts = objective.step_losses(model, self.random, self.config)
            torch.stack([part.weight * part.own for part in parts.values()]).sum().backward()
        return time.perf_counter() - began

    def step(self, steps: int) -> float:
        """Seconds of steps on one batch."""
        began = time.perf_counter()
        for _ in range(steps):
            self.trainer.learn(self.batch)
        return time.perf_counter() - began

    def loop(self, steps: int) -> float:
        """Seconds of steps on new batches, after the first two are there, as in the midst of a run."""
        waiting = batches(self.sources, self.book, self.sampler, range(self.first, self.first + steps + 4))
        self.first += steps
        self.trainer.learn(next(waiting))
        self.trainer.learn(next(waiting))
        began, waited = time.perf_counter(), 0.0
        for _ in range(steps):
            asked = time.perf_counter()
            batch = next(waiting)
            waited += time.perf_counter() - asked
            self.trainer.learn(batch)
        seconds = time.perf_counter() - began
        self.waits.append((waited, seconds))
        waiting.close()
        return seconds

    def read(self, steps: int) -> float:
        """Seconds of batches of which nothing is learned."""
        began = time.perf_counter()
        for step in range(self.first, self.first + steps):
            make_batch(self.sources, self.book, self.sampler, step)
        self.first += steps
        return time.perf_counter() - began

    def wait_share(self) -> float:
        """Of the loop's time, what it waited for data."""
        return sum(waited for waited, _ in self.waits[1:]) / sum(seconds for _, seconds in self.waits[1:])


class FineLapLoop:
    """FineLAP's design with the same model, optimizer and precision, from its description; one worker reads ahead."""

    def __init__(self, loop: Loop) -> None:
        self.augment = augment_of(loop.trainer.config)
        self.source, self.book, self.trainer = loop.sources.sets[0], loop.book, loop.trainer
        self.config, self.hop = loop.config, loop.sampler.hop
        self.frames = loop.batch.labels.shape[1]
        self.loader = torch.utils.data.DataLoader(
            self,  # type: ignore[arg-type]
            batch_size=self.config.batch_size,
            shuffle=True,
            num_workers=1,
            collate_fn=list,
            drop_last=True,
            persistent_workers=True,
        )

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[np.ndarray, str, list[str], np.ndarray]:
        """Waveform, caption, 20 phrases and their labels."""
        (item,) = self.source.items([index], 0)
        rng = np.random.default_rng()
        samples = audio.read(item.audio(), self.config.model.sample_rate)
        labels = np.zeros((PHRASES_PER_CLIP, self.frames), np.float32)
        there = list(dict.fromkeys(event.cluster for event in item.row.events))[:PHRASES_PER_CLIP]
        for event in item.row.events:
            if event.cluster in there:
                found = frame_labels(event.activity, num_frames=self.frames, hop=self.hop)
                labels[there.index(event.cluster)] = np.maximum(labels[there.index(event.cluster)], found)
        others = [name for name in self.book.clusters if name not in there]
        number = PHRASES_PER_CLIP - len(there)
        drawn = [str(name) for name in rng.choice(others, number, replace=number > len(others))]
        phrases = [str(rng.choice(self.book.phrases[name])) for name in [*there, *drawn]]
        return samples, str(rng.choice(item.captions)), phrases, labels

    def run(self, steps: int) -> float:
        """Seconds of steps; the worker has its first batches before the clock starts."""
        waiting = iter(self.loader)
        first = next(waiting)
        began = time.perf_counter()
        done = 0
        while done < steps:
            self.learn(first)
            done += 1
            try:
                first = next(waiting)
            except StopIteration:
                waiting = iter(self.loader)
                first = next(waiting)
        return time.perf_counter() - began

    def learn(self, items: list[tuple[np.ndarray, str, list[str], np.ndarray]]) -> None:
        """One step."""
        model = self.trainer.model.train()
        waveforms = torch.from_numpy(np.stack([samples for samples, _, _, _ in items]).astype(np.float32))
        draws = torch.rand(len(items), self.augment.num_draws)
        with torch.autocast("cpu", torch.bfloat16, enabled=objective.has_bf16(torch.device("cpu"))):
            frames, clips = model.embed_audio(waveforms, lambda mels: self.augment(mels, draws))
        captions = model.embed_text([text for _, text, _, _ in items])
        clip = clip_sigmoid_loss(model.clip_logits(clips, captions), torch.eye(len(items), dtype=torch.bool)).mean
        losses = []
        for place, (_, _, phrases, labels) in enumerate(items):  # a forward pass of the text encoder for every clip
            logits = model.frame_logits(frames[place : place + 1], model.embed_text(phrases))[0]
            losses.append(functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(labels)))
        loss = self.config.clip_weight * clip + self.config.frame_weight * torch.stack(losses).mean()
        self.trainer.optimizer.zero_grad()
        loss.backward()
        self.trainer.optimizer.step()


if __name__ == "__main__":
    main()
