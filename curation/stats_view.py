"""A dataset's numbers to look at: tables, and a picture drawn without pyplot, so that nothing is global."""

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from rich.markup import escape
from rich.table import Table

from curation.stats import AUDIBLE_EDGES, DURATION_EDGES, SNR_EDGES, Stats
from manifests.schema import SPLITS
from manifests.store import replacing

_COLOUR, _WARNING = "#0072B2", "#D55E00"
_MOST_LABELS = 60  # a bar each; of more, these are the most frequent
_LEAST_BARS, _MOST_BARS = 3, 8
_LONGEST_NAME = 34  # letters
_DOTS_PER_INCH = 120
_UNHEARD_DB = -5.0
_CHANGED = {"pitch_semitones": "pitch", "time_stretch": "duration", "tilt_db": "timbre"}
_TIMES = [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60]  # s


def stats_tables(stats: Stats) -> Iterator[Table]:
    """The whole dataset, and each label."""
    whole = Table("", "", show_header=False)
    for name, value in _whole(stats.to_dict()):
        whole.add_row(name, escape(value))
    yield whole
    labels = Table("label", "events", "sources", "active s", "s an event")
    for column in labels.columns[1:]:
        column.justify = "right"
    for label, count, num_sources, seconds in stats.label_rows():
        labels.add_row(escape(label), str(count), str(num_sources), f"{seconds:.1f}", f"{seconds / count:.2f}")
    yield labels


def _whole(numbers: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "soundscapes", f"{numbers['soundscapes']}, {numbers['hours']:.2f} hours ({_listed(numbers['splits'])})"
    yield "annotation", _listed(numbers["annotations"])
    yield "sample rate", _listed({f"at {rate} Hz": count for rate, count in numbers["sample_rates"].items()})
    yield "events", f"{numbers['events']} of {len(numbers['labels'])} labels"
    yield "events a soundscape", _listed(numbers["events_per_soundscape"], of="soundscapes with ")
    empty = numbers["without_events"]
    if empty["soundscapes"]:
        yield "without events", f"{empty['soundscapes']} soundscapes, {empty['near_silent']} of them near-silent"
    shares = {count: _percent(share) for count, share in numbers["share_of_time_with_so_many_active"].items()}
    yield "active at once", _listed(shares, of="of the time ")
    yield "active time of an event, s", _spread(numbers["event_seconds"])
    yield "measured SNR, dB", _spread(numbers["snr_db"])
    audible = numbers["audible_db"]
    yield "audible above the rest, dB", _spread(audible)
    if audible:
        below = f"{_percent(audible['share_below_0'])} below 0, {_percent(audible['share_below_minus_5'])} below -5"
        yield "  of the stretches", below
    yield "events changed in", _listed({_CHANGED[name]: count for name, count in numbers["effects"].items()})
    yield "rooms, microphones", f"{_listed(numbers['rooms'])}; {numbers['microphones']} heard through a microphone"
    yield "backgrounds", _listed(numbers["backgrounds"])
    yield "sources used as", _listed(numbers["sources"])
    yield "licences of sources", _listed(numbers["licences_of_sources"])
    yield "events left out", _reasons(numbers["events_left_out"])
    yield "rejects of the bank", _reasons(numbers["bank_rejects"])


def _listed(counts: Mapping[str, Any], of: str = "") -> str:
    return ", ".join(f"{count} {of}{name}" for name, count in counts.items()) or "none"


def _reasons(counts: Mapping[str, int | None] | None) -> str:
    known = {name: count for name, count in (counts or {}).items() if count is not None}
    return "not known" if counts is None or (counts and not known) else _listed(known)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _spread(quantiles: Mapping[str, float] | None) -> str:
    if quantiles is None:
        return "not known"
    low, middle, high = (f"{quantiles[name]:.3g}" for name in ("tenth", "median", "nine_tenths"))
    return f"median {middle}; a tenth below {low}, a tenth above {high}"


def plot_stats(path: Path, stats: Stats) -> None:
    """Write a PNG: what the tables tell, in pictures."""
    numbers, labels = stats.to_dict(), stats.label_rows()
    shown = labels[:_MOST_LABELS]
    figure = Figure(figsize=(15, max(8.5, 0.17 * len(shown) + 1.5)))
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.08)
    figure.suptitle(
        f"{numbers['soundscapes']} soundscapes, {numbers['hours']:.2f} hours, {numbers['events']} events of "
        f"{len(labels)} labels",
        fontsize=13,
    )
    grid = figure.add_gridspec(4, 3, width_ratios=[1.1, 1, 1])
    left_out = f" (the {_MOST_LABELS} most frequent of {len(labels)} labels)" if len(labels) > len(shown) else ""
    events = {label: count for label, count, _, _ in shown}
    _bars(figure.add_subplot(grid[:, 0]), events, f"events of a label{left_out}", "events")
    _draw_durations(figure.add_subplot(grid[0, 1]), stats)
    snr = figure.add_subplot(grid[1, 1])
    _histogram(snr, SNR_EDGES, stats.snrs, "SNR of an event, measured (dB)", "events")
    _draw_audibility(figure.add_subplot(grid[2, 1]), stats)
    _draw_polyphony(figure.add_subplot(grid[3, 1]), stats)
    for row, (name, counts, unit) in enumerate(_counted(numbers)):
        _bars(figure.add_subplot(grid[row, 2]), _first(counts), name, unit)
    FigureCanvasAgg(figure)
    with warnings.catch_warnings(), replacing(path) as temporary:
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # drawn as a box
        figure.savefig(temporary, dpi=_DOTS_PER_INCH, format="png")


def _counted(numbers: dict[str, Any]) -> Iterator[tuple[str, dict[str, int], str]]:
    splits: dict[str, int] = {name: numbers["splits"].get(name, 0) for name in SPLITS}
    yield "splits", splits, "soundscapes"
    yield "licences of the sources used", _by_count(numbers["licences_of_sources"]), "sources"
    made = {
        "open annotation": numbers["annotations"].get("open", 0),
        "no event": numbers["without_events"]["soundscapes"],
        "a synthetic room": numbers["rooms"]["synthetic"],
        "a recorded room": numbers["rooms"]["recorded"],
        "a microphone": numbers["microphones"],
    }
    yield "soundscapes with", made, "soundscapes"
    events = {f"event {why}": count for why, count in numbers["events_left_out"].items() if count is not None}
    recordings = {f"recording {why}": count for why, count in _by_count(numbers["bank_rejects"] or {}).items()}
    yield "left out, by reason", {**events, **recordings}, "planned events, recordings of the bank"


def _by_count(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _first(counts: dict[str, int]) -> dict[str, int]:
    """As many as can be read; the others together."""
    if len(counts) <= _MOST_BARS:
        return counts
    shown = dict(list(counts.items())[: _MOST_BARS - 1])
    return {**shown, f"{len(counts) - len(shown)} others": sum(counts.values()) - sum(shown.values())}


def _bars(axes: Axes, counts: Mapping[str, int], title: str, unit: str) -> None:
    """A bar for each name, its count beside it."""
    axes.set_title(title, fontsize=10, loc="left")
    if not counts:
        _nothing(axes)
        return
    bars = axes.barh(np.arange(len(counts)), list(counts.values()), color=_COLOUR, height=0.75)
    axes.bar_label(bars, padding=3, fontsize=7)
    axes.set_yticks(np.arange(len(counts)), [_shortened(name) for name in counts], fontsize=7)
    axes.set_ylim(max(len(counts), _LEAST_BARS) - 0.4, -0.6)
    axes.set_xlim(0, 1.12 * max(1, *counts.values()))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.set_xlabel(unit, fontsize=8)
    _plain(axes)


def _shortened(name: str) -> str:
    name = name.replace("_", " ")
    name = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
    return name.replace("$", r"\$")


def _draw_durations(axes: Axes, stats: Stats) -> None:
    _histogram(axes, DURATION_EDGES, stats.durations, "active time of an event (s)", "events")
    axes.set_xscale("symlog", linthresh=0.02, linscale=0.2)
    low, high = axes.get_xlim()
    axes.set_xticks([time for time in _TIMES if low <= time <= high], minor=False)
    axes.set_xticks([], minor=True)
    axes.xaxis.set_major_formatter("{x:g}")


def _draw_audibility(axes: Axes, stats: Stats) -> None:
    _histogram(axes, AUDIBLE_EDGES, stats.audible, "audible above everything else (dB)", "stretches")
    if stats.audible.any():
        axes.axvline(_UNHEARD_DB, color=_WARNING, linewidth=1)
        below = _percent(float(stats.audible[AUDIBLE_EDGES[:-1] < _UNHEARD_DB].sum() / stats.audible.sum()))
        note = f"{below} below {_UNHEARD_DB:g} dB, where a sound disappears"
        axes.set_title(note, fontsize=8, loc="right", color=_WARNING)


def _draw_polyphony(axes: Axes, stats: Stats) -> None:
    counts = sorted(stats.polyphony)
    bars = axes.bar(counts, [100 * stats.polyphony[count] / stats.contents.seconds for count in counts], color=_COLOUR)
    axes.bar_label(bars, fmt="%.1f", padding=2, fontsize=7)
    axes.margins(y=0.15)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("events active at once", fontsize=9)
    axes.set_ylabel("% of the time", fontsize=8)
    _plain(axes)


def _histogram(axes: Axes, edges: np.ndarray, counts: np.ndarray, name: str, unit: str) -> None:
    axes.set_xlabel(name, fontsize=9)
    used = np.flatnonzero(counts)
    if not len(used):
        _nothing(axes)
        return
    axes.stairs(counts, edges, fill=True, color=_COLOUR)
    axes.set_xlim(edges[used[0]], edges[used[-1] + 1])
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    axes.set_ylabel(unit, fontsize=8)
    _plain(axes)


def _nothing(axes: Axes) -> None:
    axes.text(0.5, 0.5, "nothing known", ha="center", va="center", transform=axes.transAxes, color="grey")
    axes.set_xticks([])
    axes.set_yticks([])
    _plain(axes)


def _plain(axes: Axes) -> None:
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
