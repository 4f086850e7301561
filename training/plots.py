"""Pictures: what was detected in a recording, and how training went."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from evaluation.detection_plot import plot_detections
from evaluation.figures import COLORS, save_figure
from evaluation.truth import Span
from manifests import audio
from training.detect import Detector


def plot_file(
    path: Path,
    detector: Detector,
    recording: audio.Source,
    phrases: Sequence[str],
    *,
    threshold: float | None = None,
    truth: Mapping[str, Sequence[Span]] | None = None,
    score: str = "probability",
) -> None:
    """`plot_detections` of a recording; `threshold` is by default the best on validation data."""
    plot_detections(
        path,
        samples=audio.read(recording, detector.sample_rate),
        sample_rate=detector.sample_rate,
        activations=detector.activations(recording, phrases),
        phrases=phrases,
        hop=detector.hop,
        threshold=detector.threshold if threshold is None else threshold,
        post=detector.card.post_processing,
        truth=truth,
        score=score,
    )


def plot_training(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """A PNG of loss and validation AUROC against the step, from the rows of metrics.jsonl.

    Args:
        path: where to write.
        rows: each with `step` and some numbers; those named `*loss*` go above, those named `*auroc*` below.
    """
    figure = Figure(figsize=(8.0, 5.0), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for axes, word in ((above, "loss"), (below, "auroc")):
        names = sorted({name for row in rows for name in row if word in name})
        for color, name in zip(itertools.cycle(COLORS), names, strict=False):
            points = [(row["step"], row[name]) for row in rows if row.get(name) is not None]
            steps, values = zip(*points, strict=True) if points else ((), ())
            axes.plot(steps, values, color=color, label=name, marker="." if len(points) < 30 else "")
        axes.set_ylabel("AUROC" if word == "auroc" else word)
        axes.grid(alpha=0.3)
        if names:
            axes.legend(frameon=False)
    below.set_xlabel("step")
    save_figure(figure, path)
