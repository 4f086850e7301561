"""Memory of a training step: batch 256, 40 phrases a clip, frames of 40 ms.

    python benchmarks/train_memory.py

Each way in a process of its own: the whole batch at once, and in parts (`micro_batch`). Peak of resident memory after
two steps, on random waveforms and labels, with two more batches ready as in the loop. The last line is one JSON object.
"""

import argparse
import copy
import json
import resource
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch

from training.augment import augment_of
from training.config import TrainConfig
from training.data import Batch
from training.trainer import Trainer


def main() -> None:
    """Measure each way, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--phrases", type=int, default=40, help="of a clip: each has its own")
    parser.add_argument("--micro", type=int, help="one way, in this process; 0: all at once")
    options = parser.parse_args()
    if options.micro is not None:
        sys.stdout.write(f"{peak(options.batch, options.phrases, options.micro or None)}\n")
        return
    found = {}
    for micro in (0, 64, 16):
        command = [sys.executable, __file__, "--micro", str(micro), "--batch", str(options.batch)]
        done = subprocess.run([*command, "--phrases", str(options.phrases)], capture_output=True, text=True, check=True)
        found[str(micro or "whole")] = float(done.stdout)
        sys.stdout.write(f"{micro or 'whole':>6}: {float(done.stdout):.2f} GB\n")
    sys.stdout.write(json.dumps({"command": sys.argv, "peak_gb": found}) + "\n")


def peak(size: int, phrases: int, micro: int | None) -> float:
    """GB after two steps."""
    config = TrainConfig(batch_size=size, micro_batch=micro, phrases_per_clip=phrases)
    trainer = Trainer(config, device="cpu")
    number, frames, kinds = size * phrases, 250, len(trainer.model.text.sound_kinds.names)
    sounding = torch.stack([torch.arange(number) // phrases, torch.arange(number)], dim=1)
    labels = torch.zeros(number, frames, dtype=torch.bool)
    labels[:, : frames // 10] = True
    shown = torch.zeros(size, kinds, frames, dtype=torch.bool)
    batch = Batch(
        waveforms=0.1 * torch.randn(size, 160_000),
        draws=torch.rand(size, augment_of(TrainConfig()).num_draws),
        phrases=[f"sound number {place}" for place in range(number)],
        sounding=sounding,
        labels=labels,
        masked=torch.zeros_like(labels),
        told=torch.ones(size, number, dtype=torch.bool),
        weights=torch.ones(size, number),
        kind_labels=shown,
        kind_known=torch.ones_like(shown),
        kind_weights=torch.ones(size, kinds),
        captions=[f"caption number {place}" for place in range(size)],
        matches=torch.eye(size, dtype=torch.bool),
        soundscape_ids=[str(place) for place in range(size)],
    )
    ahead = [copy.deepcopy(batch) for _ in range(2)]  # as the loop keeps them ready
    for _ in range(2):
        trainer.learn(batch)
    del ahead
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9  # Linux counts in KiB


if __name__ == "__main__":
    main()
