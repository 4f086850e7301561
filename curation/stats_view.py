"""A dataset's numbers to look at: tables, and a picture drawn without pyplot, so that nothing is global."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.markup import escape
from rich.table import Table

from curation.stats import DURATION_EDGES, SNR_EDGES, Stats
from manifests.store import replacing

_COLOUR = "#0072B2"
_MOST_LABELS = 60  # a bar each; of more, these are the most frequent
_DOTS_PER_INCH = 120


def stats_tables(stats: Stats) -> Iterator[Table]:
    """The whole dataset, and each label."""
    numbers = stats.to_dict()
    whole = Table("", "", show_header=False)
    for name, value in _whole(numbers):
        whole.add_row(name, escape(value))
    yield whole
    labels = Table("label", "events", "sources", "active s", "s an event")
    for column in labels.columns[1:]:
        column.justify = "right"
    for name, label in sorted(stats.labels.items(), key=lambda item: (-item[1].events, item[0])):
        each = f"{label.active / label.events:.2f}"
        labels.add_row(escape(name), str(label.events), str(len(label.sources)), f"{label.active:.1f}", each)
    yield labels


def _whole(numbers: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "soundscapes", f"{numbers['soundscapes']}, {numbers['hours']:.2f} hours ({_listed(numbers['splits'])})"
    yield "events", f"{numbers['events']} of {len(numbers['labels'])} labels"
    yield "events a soundscape", _listed(numbers["events_per_soundscape"], of="soundscapes with ")
    shares = {count: f"{100 * share:.1f} %" for count, share in numbers["share_of_time_with_so_many_active"].items()}
    yield "active at once", _listed(shares, of="of the time ")
    for name, key in (("active time of an event, s", "event_seconds"), ("measured SNR, dB", "snr_db")):
        quantiles = numbers[key]
        if quantiles:
            text = f"median {quantiles['median']:g}; a tenth below {quantiles['tenth']:g}"
            yield name, f"{text}, a tenth above {quantiles['nine_tenths']:g}"
    yield "backgrounds", _listed(numbers["backgrounds"])
    yield "licences of sources", _listed(numbers["licences_of_sources"])


def _listed(counts: dict[str, Any], of: str = "") -> str:
    return ", ".join(f"{count} {of}{name}" for name, count in counts.items()) or "none"


def plot_stats(path: Path, stats: Stats) -> None:
    """Write a PNG: events by label, their active time, SNR, and how many are active at once."""
    labels = sorted(stats.labels, key=lambda name: (-stats.labels[name].events, name))[:_MOST_LABELS]
    figure = Figure(figsize=(12, max(6.0, 0.2 * len(labels) + 1.5)), layout="constrained")
    grid = figure.add_gridspec(3, 2)
    _draw_labels(figure.add_subplot(grid[:, 0]), stats, labels)
    _draw_histogram(figure.add_subplot(grid[0, 1]), DURATION_EDGES, stats.durations, "active time of an event (s)")
    figure.axes[-1].set_xscale("symlog", linthresh=0.1)
    _draw_histogram(figure.add_subplot(grid[1, 1]), SNR_EDGES, stats.snrs, "measured SNR of an event (dB)")
    _draw_polyphony(figure.add_subplot(grid[2, 1]), stats)
    FigureCanvasAgg(figure)
    with warnings.catch_warnings(), replacing(path) as temporary:
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # drawn as a box
        figure.savefig(temporary, dpi=_DOTS_PER_INCH, format="png")


def _draw_labels(axes: Axes, stats: Stats, labels: list[str]) -> None:
    places = np.arange(len(labels))
    axes.barh(places, [stats.labels[name].events for name in labels], color=_COLOUR)
    axes.set_yticks(places, [name.replace("$", r"\$") for name in labels], fontsize=7)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    left_out = len(stats.labels) - len(labels)
    axes.set_xlabel("events" + (f" ({left_out} rarer labels not shown)" if left_out else ""))


def _draw_histogram(axes: Axes, edges: np.ndarray, counts: np.ndarray, name: str) -> None:
    axes.stairs(counts, edges, fill=True, color=_COLOUR)
    used = np.flatnonzero(counts)
    if len(used):
        axes.set_xlim(edges[used[0]], edges[used[-1] + 1])
    axes.set_xlabel(name)
    axes.set_ylabel("events")


def _draw_polyphony(axes: Axes, stats: Stats) -> None:
    counts = sorted(stats.polyphony)
    axes.bar(counts, [100 * stats.polyphony[count] / stats.duration for count in counts], color=_COLOUR)
    axes.set_xticks(counts)
    axes.set_xlabel("events active at once")
    axes.set_ylabel("% of the time")
