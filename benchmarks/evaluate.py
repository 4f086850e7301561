"""What `flam-cli evaluate` holds in memory and computes, by its stages, as clips and labels grow; no model is asked.

    python benchmarks/evaluate.py                                 456 labels, 250 and 1,000 clips
    python benchmarks/evaluate.py --labels 50 --clips 500

A stand-in answers with noise that is higher where a label sounds, about each label, one near miss of it and, of nine
tenths, one other wording; all metrics are taken of it, and the picture drawn. Each size runs in a process of its own.
Memory is the peak of what is resident, pages of files too, less what is there before the first stage. Linux only. The
last line is one JSON object.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from rich.console import Console
from rich.table import Table

from evaluation import evaluate as evaluation
from evaluation.kept import keep
from evaluation.metric_plot import plot_metrics
from evaluation.queries import Trained
from manifests.frames import frame_labels
from manifests.schema import Caption, Event, Phrase, Soundscape, Stretch
from manifests.store import DatasetFolder, write_rows

SECONDS, HOP, DIMENSIONS = 10.0, 0.04, 256
EVENTS = 4  # of a soundscape, on average
SHARD = 1_000
STAGES = {  # functions of evaluation.evaluate, by what they are called in the table
    "split_soundscapes": "soundscapes",
    "collect_scores": "scores",
    "clip_weights": "bootstrap weights",
    "_auroc": "AUROC and mpAUC",
    "detection_scores": "PSDS",
    "_f1s": "F1",
    "_f1": "F1",
    "_oracle": "F1, oracle",
    "calibration": "calibration",
    "_calibration": "calibration",
    "_detections": "detections, false alarms",
    "_zero_shot": "zero-shot",
    "_grounding": "grounding",
    "_retrieval": "retrieval",
    "strata": "strata",
}


def main() -> None:
    """Each size in a process of its own, then a table and one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--labels", type=int, default=456)
    parser.add_argument("--clips", type=int, nargs="+", default=[250, 1_000])
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)  # the process of one size
    options = parser.parse_args()
    if options.inside:
        sys.stdout.write(json.dumps(measured(options.inside, options.labels)) + "\n")
        return
    results = {}
    for num in options.clips:
        with tempfile.TemporaryDirectory() as folder:
            write_dataset(Path(folder), num, options.labels)
            command = [sys.executable, __file__, "--labels", str(options.labels), "--inside", folder]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            results[num] = json.loads(done.stdout.splitlines()[-1])
    print_table(results, options.labels)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    sys.stdout.write(json.dumps({"commit": commit, "command": sys.argv, "labels": options.labels, **results}) + "\n")


def write_dataset(root: Path, num: int, num_labels: int) -> None:
    """Soundscapes, a caption of each, and phrases."""
    folder = DatasetFolder(root)
    for shard, first in enumerate(range(0, num, SHARD)):
        rows = [soundscape(index, num_labels) for index in range(first, min(first + SHARD, num))]
        write_rows(folder.soundscape_shard(shard), rows, Soundscape)
        written = [
            Caption(
                soundscape_id=row.soundscape_id, style="sentence", cluster="", text=f"Sounds {row.soundscape_id}.",
                via="template", model="", prompt_hash="", checks=[], prompt_tokens=0, completion_tokens=0,
                fallback=False,
            )
            for row in rows
        ]  # fmt: skip
        write_rows(root / "captions" / "template" / f"{shard:05d}.parquet", written, Caption)
    phrases = [
        Phrase(phrase=text, label=name, cluster=name, origin=origin, ancestors=[], near_misses=[f"unlike {name}"])
        for name in map(label_name, range(num_labels))
        for text, origin in ((name, "label"), (f"{name} again", "template"))
    ]
    write_rows(folder.phrases_path, phrases, Phrase)


def label_name(label: int) -> str:
    """Also its phrase."""
    return f"sound {label:04d}"


def events(index: int, num_labels: int) -> dict[int, tuple[float, float]]:
    """Onset and offset by label: the first soundscapes hold every label once."""
    rng = np.random.default_rng(index)
    labels = {(EVENTS * index + offset) % num_labels for offset in range(EVENTS if EVENTS * index < num_labels else 0)}
    labels |= set(rng.integers(0, num_labels, rng.poisson(EVENTS)).tolist())
    onsets = rng.uniform(0, SECONDS - 1, len(labels))
    lengths = rng.uniform(0.2, 4.0, len(labels))
    return {
        label: (float(onset), float(min(onset + length, SECONDS)))
        for label, onset, length in zip(sorted(labels), onsets, lengths, strict=True)
    }


def soundscape(index: int, num_labels: int) -> Soundscape:
    """One row, of which no audio is needed."""
    empty = {field.name for field in dataclasses.fields(Event) if "None" in str(field.type)} - {"snr_db"}
    nothing: dict[str, Any] = dict.fromkeys(empty)
    found = [
        Event(
            label=label_name(label), cluster=label_name(label), contains=[], onset=onset, offset=offset,
            activity=[Stretch(onset=onset, offset=offset)], snr_db=float(label % 25), **nothing,
        )
        for label, (onset, offset) in events(index, num_labels).items()
    ]  # fmt: skip
    return Soundscape(
        soundscape_id=f"{index:08d}", split="test", audio_path=f"{index:08d}.wav", duration=SECONDS, sample_rate=16_000,
        num_samples=round(SECONDS * 16_000), annotation="closed", events=found, background=None, room=None,
        microphone=None, licences=[], seed=None, recipe=None, engine=None, mix_gain_db=None, num_inaudible=None,
        num_masked=None,
    )  # fmt: skip


class Noise:
    """Log-odds of smoothed noise, and 3 more where a label sounds; embeddings are noise."""

    hop = HOP
    identity = "noise"

    def __init__(self, num_labels: int) -> None:
        self.num_labels = num_labels

    def hear(self, source: Path, phrases: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """The source is the soundscape's number."""
        index, num_frames = int(source.name), round(SECONDS / HOP)
        rng = np.random.default_rng([1, index])
        walk = np.cumsum(rng.standard_normal((num_frames + 5, len(phrases)), dtype=np.float32), axis=0)
        logits = 0.6 * (walk[5:] - walk[:-5]) - 4.0
        place = {phrase: column for column, phrase in enumerate(phrases)}
        for label, (onset, offset) in events(index, self.num_labels).items():
            there = frame_labels([Stretch(onset=onset, offset=offset)], num_frames=num_frames, hop=HOP)
            for phrase in place.keys() & {label_name(label), f"{label_name(label)} again"}:
                logits[there, place[phrase]] += 3.0
        return 1 / (1 + np.exp(-logits)), self.caption_embeddings([source.name])[0]

    def caption_embeddings(self, captions: Sequence[str]) -> np.ndarray:
        """The same for the same text."""
        found = [np.random.default_rng(list(text.encode())).standard_normal(DIMENSIONS) for text in captions]
        return np.array([vector / np.linalg.norm(vector) for vector in found], np.float32)


class Stages:
    """CPU seconds of each stage, and the most memory that was resident in it, in MB beyond what was at first."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, float]] = {}
        self.before = memory("VmRSS")

    def measured(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, adding to a stage."""

        def run(*args: Any, **kwargs: Any) -> Any:
            Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM, which is ru_maxrss, to what is resident now
            begun = time.process_time()
            result = function(*args, **kwargs)
            stage = self.found.setdefault(name, {"cpu_s": 0.0, "peak_mb": 0.0})
            stage["cpu_s"] = round(stage["cpu_s"] + time.process_time() - begun, 2)
            stage["peak_mb"] = max(stage["peak_mb"], round(memory("VmHWM") - self.before, 1))
            return result

        return run


def memory(name: str) -> float:
    """MB, of a line of /proc/self/status."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


def measured(root: Path, num_labels: int) -> dict[str, Any]:
    """All metrics of one size."""
    folder = DatasetFolder(root, render=lambda soundscape: Path(soundscape.soundscape_id))
    names = [label_name(label) for label in range(num_labels)]
    trained = Trained(clusters=set(names[num_labels // 10 :]), phrases=names, threshold=0.2)
    stages = Stages()
    for function, name in STAGES.items():
        setattr(evaluation, function, stages.measured(name, getattr(evaluation, function)))
    began, work = time.perf_counter(), root / "evaluation"
    result = evaluation.evaluate(Noise(num_labels), folder, trained=trained, caption_set="template", work=work)
    stages.measured("keep", keep)(work, result, data=root, limit=None)
    stages.measured("picture", plot_metrics)(work / "metrics.png", result)
    return {
        "peak_mb": max(stage["peak_mb"] for stage in stages.found.values()),
        "cpu_s": round(sum(stage["cpu_s"] for stage in stages.found.values()), 1),
        "wall_s": round(time.perf_counter() - began, 1),
        "before_mb": round(stages.before, 1),
        "scores_mb": round((work / "scores.npy").stat().st_size / 2**20, 1),
        "cores": len(os.sched_getaffinity(0)),
        "stages": stages.found,
    }


def print_table(results: dict[int, dict[str, Any]], num_labels: int) -> None:
    """Stages by sizes."""
    table = Table("stage", title=f"{num_labels} labels: CPU seconds, peak of memory in MB")
    for num in results:
        table.add_column(f"{num} clips: s", justify="right")
        table.add_column("MB", justify="right")
    for name in next(iter(results.values()))["stages"]:
        cells = [result["stages"][name] for result in results.values()]
        table.add_row(name, *(f"{cell[key]:.1f}" for cell in cells for key in ("cpu_s", "peak_mb")))
    totals = [f"{result[key]:.1f}" for result in results.values() for key in ("cpu_s", "peak_mb")]
    table.add_row("all", *totals)
    table.add_row(
        "scores on disk", *(cell for result in results.values() for cell in ("", f"{result['scores_mb']:.0f}"))
    )
    Console(width=100, stderr=True).print(table)


if __name__ == "__main__":
    main()
