"""What each part of the trainer is worth, on recordings that were never trained on: one change at a time, three seeds.

    python benchmarks/ablations.py --out runs/ablations

Uses the sets of benchmarks/model.py, trained without the ten held-out labels. An arm is the default, 300 steps and
without fresh soundscapes, with one thing changed; `first` and `as-long` are the first trainer and the default's
settings, 650 steps each on the same soundscapes, `first-long` and `long` these, 1,500 steps; `fresh-50k` is the
default, validated at its last step alone. A difference is the mean over seeds less that of the arm it is compared with,
and its interval is over soundscapes, drawn alike for both; beside it, the least and the most of a single seed. Runs are
made two at a time, a core each. Finished runs are in ablations/runs.jsonl and are not made again: delete a line to make
it anew. The last line is one JSON object.
"""

import argparse
import dataclasses
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("GOMP_SPINCOUNT", "20000")  # as the command line sets it, before torch is loaded

import numpy as np
from earlier import METRICS, measured
from model import NUM_TEST, NUM_TRAIN, SHARED, SPLITS, clusters, commit, dataset, table_lines, with_unseen_wordings

from curation.bank import build_bank
from curation.config import Recipe
from curation.fresh import FreshSoundscapes
from curation.runner import available_cores
from evaluation.bootstrap import interval
from training.config import TrainConfig, model_config
from training.loop import train
from training.recipe import load_config
from training.sources import Data

RUNS = Path(__file__).with_name("ablations") / "runs.jsonl"
STEPS = 300
FIRST = "8c90b6c"  # the last commit whose trainer was the first one
FIRST_ARMS = ("first", "first-long")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arm:
    """A run: what it sets, and the arm that it is compared with."""

    title: str
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    model: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    beside: Sequence[str] = ("base",)

    def config(self, seed: int) -> TrainConfig:
        """All settings."""
        chosen = {"steps": STEPS, "seed": seed, "online": False, **self.settings}
        return TrainConfig(model=model_config(**self.model), evaluate_every=chosen["steps"], **chosen)


FLAM = load_config("flam").model_dump(exclude_unset=True, exclude={"model"})


def flam(title: str, model: Mapping[str, Any] | None = None, **settings: Any) -> Arm:
    """FLAM's objective with something changed."""
    return Arm(
        title=title, settings={**FLAM, **settings}, model={"frame_scale": "text", **(model or {})}, beside=("flam",)
    )


ARMS = {
    "first": Arm(title="the first trainer, 650 steps", settings={"steps": 650}, beside=()),
    "as-long": Arm(
        title="today's settings on 2,000 soundscapes alone, 650 steps", settings={"steps": 650}, beside=("first",)
    ),
    "first-long": Arm(title="the first trainer, 1,500 steps", settings={"steps": 1500}, beside=("first",)),
    "long": Arm(
        title="today's settings on 2,000 soundscapes alone, 1,500 steps",
        settings={"steps": 1500},
        beside=("first-long", "as-long"),
    ),
    "base": Arm(title="FineLAP's objective: the default's", beside=()),
    "no-clip": Arm(title="without the clip loss", settings={"clip_weight": 0.0}),
    "no-frame": Arm(title="without the frame loss", settings={"frame_weight": 0.0}),
    "no-kinds": Arm(title="without the loss of kinds of sound", settings={"kind_weight": 0.0}),
    "infonce": Arm(title="InfoNCE for the clip loss", settings={"clip_loss": "infonce"}),
    "flam": dataclasses.replace(flam("FLAM's objective"), beside=("base",)),
    "flam-no-clip": flam("FLAM's without the clip loss", clip_weight=0.0),
    "flam-no-frame": flam("FLAM's without the frame loss", frame_weight=0.0),
    "flam-no-prior": flam("FLAM's, biases by the frame loss", prior_weight=0.0),
    "flam-global": flam("FLAM's, one scale and bias", {"frame_scale": "global"}, prior_weight=0.0),
    "in-batch": Arm(title="negatives in-batch", settings={"negatives": {"in-batch": 1.0}}),
    "random": Arm(title="negatives at random", settings={"negatives": {"random": 1.0}}),
    "half": Arm(title="half by cluster, half in-batch", settings={"negatives": {"cluster": 0.5, "in-batch": 0.5}}),
    "no-trust": Arm(title="every word trusted alike", settings={"word_trust": 0.0}),
    "unified": Arm(title="one head for clips and frames", model={"heads": "unified"}),
    "160-ms": Arm(title="frames of 160 ms", model={"hop_ms": 160}),
    "small": Arm(title="small", model={"size": "small"}),
    "large": Arm(title="large", model={"size": "large"}),
    "fresh-2k": Arm(
        title="2,000 soundscapes once (62 steps)",
        settings={"steps": 62, "warmup_steps": 20, "online": True},
        beside=(),
    ),
    "fresh-10k": Arm(
        title="2,000 soundscapes and 8,000 fresh ones (312 steps)",
        settings={"steps": 312, "online": True},
        beside=("fresh-2k",),
    ),
    "fresh-50k": Arm(
        title="the default: 2,000 soundscapes and 48,000 fresh ones (1,562 steps)",
        settings={"steps": 1562, "online": True},
        beside=("first-long", "long", "fresh-10k"),
    ),
}


def main() -> None:
    """Make what is missing, train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for bank, datasets and runs")
    parser.add_argument("--data", type=Path, default=SHARED, help="folder of benchmark.csv")
    parser.add_argument("--arms", nargs="*", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--one", nargs=2, metavar=("ARM", "SEED"), help="one run, in this process: prints its line")
    parser.add_argument("--table", action="store_true", help="no runs: print what is there")
    options = parser.parse_args()
    if options.one:
        sys.stdout.write(json.dumps(run(options.out, options.data, options.one[0], int(options.one[1]))) + "\n")
        return
    if not options.table:
        RUNS.parent.mkdir(exist_ok=True)
        prepare(options.out, options.data)
        kept = {(row["arm"], row["seed"]) for row in read_runs()}
        wanted = [(arm, seed) for seed in range(options.seeds) for arm in options.arms if (arm, seed) not in kept]
        with ThreadPoolExecutor(available_cores()) as pool:
            waiting = [pool.submit(in_process, options.out, options.data, *one) for one in wanted]
            for done in as_completed(waiting):
                line = done.result()
                with RUNS.open("a", encoding="utf-8") as file:
                    file.write(line)
    for line in markdown(read_runs()):
        sys.stdout.write(f"{line}\n")


def read_runs() -> list[dict[str, Any]]:
    """Finished runs, of any machine."""
    return [json.loads(line) for line in RUNS.read_text("utf-8").splitlines()] if RUNS.exists() else []


def prepare(out: Path, data: Path) -> None:
    """Bank, training set and test set, as benchmarks/model.py has them."""
    _, held_out = clusters(data)
    build_bank([str(data / "benchmark.csv")], out / "bank", sample_rate=16_000, workers=available_cores())
    dataset(
        out,
        "held-out",
        Recipe(name="benchmark", split=SPLITS, hold_out=held_out),
        num=round(NUM_TRAIN / SPLITS.train),
    )
    with_unseen_wordings(dataset(out, "test", Recipe(name="benchmark"), num=NUM_TEST, split="test"))
    checkout = out / "checkout-first"
    if not checkout.exists():
        subprocess.run(["git", "clone", "--quiet", str(Path(__file__).parents[1]), str(checkout)], check=True)
    subprocess.run(["git", "-C", str(checkout), "checkout", "--quiet", FIRST], check=True)


def in_process(out: Path, data: Path, arm: str, seed: int) -> str:
    """A run on one core; the line that it prints."""
    return one_core([__file__, "--out", str(out), "--data", str(data), "--one", arm, str(seed)])


def one_core(program: Sequence[str]) -> str:
    """What a Python program prints."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *program]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, env=environment).stdout


def run(out: Path, data: Path, arm: str, seed: int) -> dict[str, Any]:
    """Train, or finish that, and measure."""
    root, folder = out / "data-held-out", out / f"run-{arm}-{seed}"
    if arm in FIRST_ARMS:
        return {"arm": arm, "seed": seed, "commit": FIRST, **first(out, data, arm, seed)}
    config = ARMS[arm].config(seed)
    source = Data(root=root, fresh=FreshSoundscapes(root) if config.online else None)
    began = time.process_time()
    report = train([source], folder, config)
    seconds = time.process_time() - began
    known, _ = clusters(data)
    return {
        "arm": arm,
        "seed": seed,
        "commit": commit(),
        "config": config.model_dump(mode="json"),
        "cpu_seconds": round(seconds),
        "num_parameters": report.num_parameters,
        **measured(folder, out / "data-test", known),
    }


def first(out: Path, data: Path, arm: str, seed: int) -> dict[str, Any]:
    """The same by the first trainer."""
    settings = ARMS[arm].settings
    asked = {
        "data": str(out / "data-held-out"),
        "test": str(out / "data-test"),
        "run": str(out / f"run-{arm}-{seed}"),
        "known": sorted(clusters(data)[0]),
        "config": {"seed": seed, "evaluate_every": settings["steps"], **settings},
    }
    program = [str(Path(__file__).with_name("earlier.py")), str(out / "checkout-first"), json.dumps(asked)]
    found: dict[str, Any] = json.loads(one_core(program))
    return found


def markdown(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Means over seeds; below each the difference to what it is compared with."""
    runs: dict[str, list[Mapping[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: row["seed"]):
        runs.setdefault(row["arm"], []).append(row)
    lines, results = [], {}
    for name, arm in ARMS.items():
        if name not in runs:
            continue
        found = {metric: statistics.fmean(row["values"][metric] for row in runs[name]) for metric in METRICS}
        minutes = statistics.fmean(row["cpu_seconds"] for row in runs[name]) / 60
        lines.append(
            (arm.title, str(len(runs[name])), f"{minutes:.1f}", *(f"{found[metric]:.3f}" for metric in METRICS))
        )
        results[name] = {"values": found, "minutes": minutes, "differences": {}}
        for beside in arm.beside:
            if beside not in runs:
                continue
            cells = [difference(runs[beside], runs[name], metric) for metric in METRICS]
            results[name]["differences"][beside] = dict(zip(METRICS, cells, strict=True))
            shown = [
                f"{value:+.3f} ({low:+.3f} to {high:+.3f}; {least:+.3f} to {most:+.3f})"
                for value, low, high, least, most in cells
            ]
            lines.append((f"less {ARMS[beside].title}", "", "", *shown))
    yield from table_lines(("", "seeds", "CPU minutes", *METRICS.values()), lines)
    yield json.dumps({"command": sys.argv, "results": results})


def difference(
    base: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]], metric: str
) -> tuple[float, float, float, float, float]:
    """Of the means over the seeds that both have: value, its interval over soundscapes, least and most of a seed."""
    seeds = {row["seed"] for row in base} & {row["seed"] for row in other}
    means, by_seed = [], []
    for rows in (base, other):
        chosen = sorted((row for row in rows if row["seed"] in seeds), key=lambda row: int(row["seed"]))
        by_seed.append(np.array([row["values"][metric] for row in chosen]))
        means.append(
            (
                statistics.fmean(row["values"][metric] for row in chosen),
                np.mean([row["replicates"][metric] for row in chosen], axis=0),
            )
        )
    value = means[1][0] - means[0][0]
    each = by_seed[1] - by_seed[0]
    found = interval(means[1][1] - means[0][1], around=value)
    low, high = (found.low, found.high) if found else (math.nan, math.nan)
    return value, low, high, float(each.min()), float(each.max())


if __name__ == "__main__":
    main()
