"""One picture of an evaluation: found against false alarms, labels, calibration, thresholds."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evaluation.figures import COLORS, CURVE, DETECTED, LIMIT, TRUTH, save_figure
from evaluation.results import DEFAULT_THRESHOLD, Evaluation
from evaluation.robustness import TITLES, Point
from evaluation.segments import f1_by_threshold
from evaluation.strata import Stratum

_STRATA = {"snr_db": "event above background (dB)", "seconds": "event lasts (s)", "others": "other labels beside it"}
_Draw = Callable[[Axes, Evaluation], None]
_MOST_LABELS = 40  # the worst; more are too small to read


def plot_metrics(path: Path, evaluation: Evaluation) -> None:
    """A PNG: PSD ROC, labels with the worst first, reliability, F1 by threshold, AUROC by what is known of events.

    Below them the curves, if they were measured.
    """
    above = [[_draw_curves, _draw_labels], [_draw_reliability, _draw_thresholds]]
    below = [
        [functools.partial(_draw_strata, name, found) for name, found in evaluation.strata.items()],
        [functools.partial(_draw_robustness, TITLES[name], found) for name, found in evaluation.robustness.items()],
    ]
    rows: list[tuple[float, Sequence[_Draw]]] = [(5.0, row) for row in above] + [(3.0, row) for row in below if row]
    heights = [height for height, _ in rows]
    figure = Figure(figsize=(12.0, sum(heights)), layout="constrained")
    grid = figure.add_gridspec(len(rows), 1, height_ratios=heights)
    for place, (_, row) in enumerate(rows):
        part = figure.add_subfigure(grid[place])
        for column, draw in enumerate(row, 1):
            draw(part.add_subplot(1, len(row), column), evaluation)
    save_figure(figure, path)


def _draw_curves(axes: Axes, evaluation: Evaluation) -> None:
    for color, (name, curve) in zip(COLORS, evaluation.curves.items(), strict=False):
        ends = np.append(curve.false_alarms, 100.0)
        axes.stairs(curve.hits, ends, baseline=None, color=color, label=f"{name}: {evaluation.value(name.lower()):.3f}")
    axes.set(xlim=(0, 100), ylim=(0, 1), xlabel="false alarms an hour", ylabel="found", title="PSD ROC")
    if evaluation.curves:
        axes.legend(frameon=False)


def _draw_labels(axes: Axes, evaluation: Evaluation) -> None:
    rows = sorted(
        (row.auroc_active, row.phrase, row.held_out) for row in evaluation.labels if row.auroc_active is not None
    )
    shown = rows[:_MOST_LABELS][::-1]
    axes.barh(
        range(len(shown)),
        [value - 0.5 for value, _, _ in shown],
        left=0.5,
        color=[TRUTH if held_out else CURVE for _, _, held_out in shown],
    )
    names = [phrase.replace("$", r"\$")[:32] for _, phrase, _ in shown]
    axes.set_yticks(range(len(shown)), names, fontsize=7)
    axes.axvline(0.5, color=LIMIT, linewidth=0.8)
    which = f"worst {len(shown)} of {len(rows)} labels" if len(rows) > len(shown) else "labels, the worst first"
    held_out = ", held-out ones in orange" if any(row.held_out for row in evaluation.labels) else ""
    axes.set(xlim=(0, 1), xlabel="AUROC, frames with sound", title=f"{which}{held_out}")


def _draw_reliability(axes: Axes, evaluation: Evaluation) -> None:
    found = evaluation.calibration.reliability
    axes.plot([1e-4, 1], [1e-4, 1], color=LIMIT, linewidth=0.8, linestyle=(0, (4, 3)))
    at = found.found > 0  # on a logarithmic scale
    axes.scatter(found.said[at], found.found[at], s=8 + 12 * np.log10(found.count[at]), color=CURVE)
    error = evaluation.value("ece")
    title = "reliability" if error is None else f"reliability: expected calibration error {error:.4f}"
    axes.set(xscale="log", yscale="log", xlim=(1e-4, 1), ylim=(1e-4, 1), title=title)
    axes.set(xlabel="probability said", ylabel="share of frames that hold the sound")


def _draw_thresholds(axes: Axes, evaluation: Evaluation) -> None:
    grid, values = f1_by_threshold(evaluation.scored.scores, evaluation.scored.truth)
    axes.plot(grid, values, color=CURVE)
    axes.axvline(DEFAULT_THRESHOLD, color=LIMIT, linewidth=0.8, linestyle=(0, (4, 3)), label="0.5")
    if evaluation.threshold is not None:
        words = f"{evaluation.threshold:.2g}, chosen on validation data"
        axes.axvline(evaluation.threshold, color=DETECTED, linewidth=1.5, label=words)
    axes.legend(frameon=False)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="threshold", ylabel="1-s F1, mean of labels", title="F1 by threshold")


def _draw_strata(name: str, found: Sequence[Stratum], axes: Axes, _: Evaluation) -> None:
    places = [place for place, part in enumerate(found) if part.auroc is not None]
    axes.plot(places, [found[place].auroc or 0.0 for place in places], color=CURVE, marker="o")
    axes.axhline(0.5, color=LIMIT, linewidth=0.8)
    axes.set_xticks(range(len(found)), [part.name for part in found], fontsize=8)
    axes.set(xlim=(-0.5, len(found) - 0.5), ylim=(0.4, 1.02), xlabel=_STRATA[name], ylabel="AUROC, all frames")


def _draw_robustness(title: str, points: Sequence[Point], axes: Axes, _: Evaluation) -> None:
    for color, label, values in (
        (CURVE, "all frames", [point.auroc_all for point in points]),
        (TRUTH, "frames with sound", [point.auroc_active for point in points]),
    ):
        there = [(place, value) for place, value in enumerate(values) if value is not None]
        axes.plot([place for place, _ in there], [value for _, value in there], color=color, marker="o", label=label)
    axes.axhline(0.5, color=LIMIT, linewidth=0.8)
    axes.set_xticks(range(len(points)), [point.name for point in points], fontsize=8, rotation=45)
    axes.set(xlim=(-0.5, len(points) - 0.5), ylim=(0.4, 1.02), xlabel=title, ylabel="AUROC")
    axes.legend(frameon=False, fontsize=8, loc="lower right")
