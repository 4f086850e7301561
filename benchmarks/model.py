"""The real-recordings benchmark: train on 2,000 soundscapes, test on 500 of recordings that were never trained on.

    python benchmarks/model.py --out runs/benchmark

Makes a 16-kHz bank of the benchmark's recordings, and from it a training set of all labels, one without the ten
held-out labels, and a test set; trains a model on each training set; and prints the frame AUROC of both, of an
untrained model and of chance, for the test set's held-out labels and for the others. Continues where it was stopped.
The last line is one JSON object.
"""

import argparse
import csv
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("GOMP_SPINCOUNT", "20000")  # as the command line sets it, before torch is loaded

from rich.console import Console
from rich.table import Table

from curation.bank import build_bank
from curation.caption import caption
from curation.config import Recipe, Shares
from curation.runner import available_cores
from curation.simulate import simulate
from evaluation.evaluate import Evaluation, evaluate, evaluation_table
from manifests.schema import Split
from manifests.store import DatasetFolder, write_json
from training.config import TrainConfig
from training.detect import Detector
from training.loop import train

SHARED = Path(__file__).parents[2] / "shared" / "data"
NUM_TRAIN, NUM_TEST = 2_000, 500
# Soundscapes of validation recordings come on top, a tenth of them all
SPLITS = Shares(train=0.9, valid=0.1)


def main() -> None:
    """Make what is missing, train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for bank, datasets and runs")
    parser.add_argument("--data", type=Path, default=SHARED, help="folder of benchmark.csv")
    parser.add_argument("--steps", type=int, default=TrainConfig().steps)
    options = parser.parse_args()
    out: Path = options.out
    known, held_out = clusters(options.data)
    build_bank([str(options.data / "benchmark.csv")], out / "bank", sample_rate=16_000, workers=available_cores())
    num = round(NUM_TRAIN / SPLITS.train)
    all_labels = dataset(out, "all", Recipe(name="benchmark", split=SPLITS), num=num)
    some_labels = dataset(out, "held-out", Recipe(name="benchmark", split=SPLITS, hold_out=held_out), num=num)
    test = dataset(out, "test", Recipe(name="benchmark"), num=NUM_TEST, split="test")
    results = {
        "untrained": measured(out, "untrained", all_labels, test, TrainConfig(steps=0), known),
        "all labels": measured(out, "all", all_labels, test, TrainConfig(steps=options.steps), known),
        "held out": measured(out, "held-out", some_labels, test, TrainConfig(steps=options.steps), known),
    }
    print_table(results)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    sys.stdout.write(json.dumps({"commit": commit, "command": sys.argv, **results}) + "\n")


def clusters(data: Path) -> tuple[set[str], tuple[str, ...]]:
    """All foreground clusters but those of the labels that the second model must not meet, and these."""
    names = set((data / "benchmark_held_out_labels.txt").read_text("utf-8").split())
    with (data / "benchmark.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["role"] == "foreground"]
    held_out = {row["cluster"] for row in rows if row["label"] in names}
    return {row["cluster"] for row in rows} - held_out, tuple(sorted(held_out))


def dataset(out: Path, name: str, recipe: Recipe, *, num: int, split: Split | None = None) -> DatasetFolder:
    """A captioned dataset. The test set has another seed than the training sets."""
    folder = out / f"data-{name}"
    simulate(out / "bank", folder, recipe=recipe, num=num, seed=1 if split == "test" else 0, split=split)
    caption(folder)
    return DatasetFolder.open(folder)


def measured(
    out: Path, name: str, data: DatasetFolder, test: DatasetFolder, config: TrainConfig, known: set[str]
) -> dict[str, Any]:
    """Train on `data`, or finish that, and measure on `test`; RUN/metrics.json holds every label's values."""
    run = out / f"run-{name}"
    report = train(data.root, run, config)
    detector = Detector.load(run)
    trained = dataclasses.replace(detector.card.trained(), clusters=known)
    result = evaluate(detector, test, trained=trained, caption_set="template")
    write_json(run / "metrics.json", result.to_dict())
    console = Console(width=100)
    console.print(f"{name}: {report.steps} steps, {report.seconds / 60:.1f} min, kept {report.best}", highlight=False)
    console.print(evaluation_table(result))
    return {"minutes": round(report.seconds / 60, 1), "best": report.best, **summary(result)}


def summary(result: Evaluation) -> dict[str, Any]:
    """The numbers of the table."""
    return {key: value for key, value in result.to_dict().items() if key != "labels"}


def print_table(results: dict[str, dict[str, Any]]) -> None:
    """Known and held-out labels, all frames and active frames, by model."""
    table = Table("trained on", "labels", "all frames", "active frames", title="macro frame AUROC on the test set")
    table.add_row("chance", "any", ".500", ".500")
    for name, result in results.items():
        for group in ("known", "held_out"):
            values = (f"{result[f'{key}_{group}']:.3f}" for key in ("auroc_all", "auroc_active"))
            table.add_row(name, group.replace("_", " "), *values)
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
