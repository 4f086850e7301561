"""What a dataset holds, in numbers: labels, durations, SNR, polyphony, splits, licences. One pass, flat memory."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from manifests.errors import FlamError
from manifests.schema import Soundscape
from manifests.store import DatasetFolder, read_table

Floats = npt.NDArray[np.float64]

# Bins of the histograms; what lies beyond is counted in the outermost.
DURATION_EDGES: Floats = np.concatenate([[0.0], np.geomspace(0.02, 60, 61)])  # s
SNR_EDGES: Floats = np.arange(-61.0, 62.0)  # dB, a whole number in the middle of each
UNKNOWN = "(not given)"


@dataclass(kw_only=True, slots=True)
class LabelStats:
    """The events of one label."""

    events: int = 0
    active: float = 0.0  # seconds
    sources: set[str] = field(default_factory=set)


@dataclass(kw_only=True)
class Stats:
    """A dataset in numbers. Times are seconds."""

    splits: Counter[str] = field(default_factory=Counter)  # soundscapes
    duration: float = 0.0  # of all soundscapes
    labels: dict[str, LabelStats] = field(default_factory=dict)
    backgrounds: Counter[str] = field(default_factory=Counter)  # soundscapes by the label of their background
    licences: Counter[str] = field(default_factory=Counter)  # sources used
    event_counts: Counter[int] = field(default_factory=Counter)  # soundscapes by their number of events
    polyphony: dict[int, float] = field(default_factory=dict)  # seconds in which so many events are active
    durations: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(DURATION_EDGES) - 1, np.int64))
    snrs: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(SNR_EDGES) - 1, np.int64))
    num_without_snr: int = 0

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "soundscapes": sum(self.splits.values()),
            "splits": dict(sorted(self.splits.items())),
            "hours": self.duration / 3600,
            "events": sum(label.events for label in self.labels.values()),
            "labels": {
                name: {"events": label.events, "active_seconds": label.active, "sources": len(label.sources)}
                for name, label in sorted(self.labels.items())
            },
            "events_per_soundscape": {str(count): num for count, num in sorted(self.event_counts.items())},
            "share_of_time_with_so_many_active": {
                str(count): seconds / self.duration for count, seconds in sorted(self.polyphony.items())
            },
            "event_seconds": _quantiles(DURATION_EDGES, self.durations),
            "snr_db": _quantiles(SNR_EDGES, self.snrs),
            "events_without_snr": self.num_without_snr,
            "backgrounds": dict(sorted(self.backgrounds.items())),
            "licences_of_sources": dict(sorted(self.licences.items())),
        }


def dataset_stats(data: Path) -> Stats:
    """Count a dataset's rows; raises FlamError if it has none."""
    folder, stats = DatasetFolder.open(data), Stats()
    seen: set[str] = set()
    for path in folder.soundscape_shards():
        _count(read_table(path, Soundscape), stats, seen)
    if not stats.splits:
        raise FlamError(f"{data} has no soundscapes yet; run `flam-cli simulate`")
    return stats


def _count(table: pa.Table, stats: Stats, seen: set[str]) -> None:
    rows = table.combine_chunks()
    stats.splits.update(rows["split"].to_pylist())
    duration = float(pc.sum(rows["duration"]).as_py() or 0.0)
    stats.duration += duration
    stats.event_counts.update(pc.list_value_length(rows["events"]).to_pylist())
    backgrounds = pc.drop_null(rows["background"])
    stats.backgrounds.update(pc.struct_field(backgrounds, "label").to_pylist())
    events = pc.list_flatten(rows["events"]).combine_chunks()
    of_soundscape = pc.list_parent_indices(rows["events"]).to_numpy()
    for sounds in (events, backgrounds):
        _count_licences(sounds, stats, seen)
    stretches = pc.struct_field(events, "activity")
    onsets, offsets = (pc.struct_field(pc.list_flatten(stretches), end).to_numpy() for end in ("onset", "offset"))
    of_event = pc.list_parent_indices(stretches).to_numpy()
    active: Floats = np.bincount(of_event, weights=offsets - onsets, minlength=len(events)).astype(np.float64)
    _count_labels(events, active, stats)
    stats.durations += _histogram(active, DURATION_EDGES)
    snrs = pc.struct_field(events, "snr_db")
    stats.num_without_snr += snrs.null_count
    stats.snrs += _histogram(pc.drop_null(snrs).to_numpy(zero_copy_only=False), SNR_EDGES)
    times = _time_by_polyphony(of_soundscape[of_event], onsets, offsets)
    times[0] = duration - float(times[1:].sum())
    for count, seconds in enumerate(times.tolist()):
        if seconds > 0:
            stats.polyphony[count] = stats.polyphony.get(count, 0.0) + seconds


def _count_labels(events: pa.StructArray, active: Floats, stats: Stats) -> None:
    labels, sources = (pc.struct_field(events, name).to_pylist() for name in ("label", "source_id"))
    for label, source, seconds in zip(labels, sources, active.tolist(), strict=True):
        counted = stats.labels.setdefault(label, LabelStats())
        counted.events += 1
        counted.active += seconds
        if source is not None:
            counted.sources.add(source)


def _count_licences(sounds: pa.StructArray, stats: Stats, seen: set[str]) -> None:
    sources, licences = (pc.struct_field(sounds, name).to_pylist() for name in ("source_id", "licence"))
    for source, licence in zip(sources, licences, strict=True):
        if source is not None and source not in seen:
            seen.add(source)
            stats.licences[licence or UNKNOWN] += 1


def _time_by_polyphony(soundscape: npt.NDArray[np.int64], onsets: Floats, offsets: Floats) -> Floats:
    """Seconds with 0 (not computed), 1, 2, ... active at once, over all soundscapes."""
    times = np.concatenate([onsets, offsets])
    change = np.repeat([1, -1], len(onsets))
    owner = np.concatenate([soundscape, soundscape])
    order = np.lexsort((change, times, owner))  # at one time ends come before starts
    count = np.cumsum(change[order])[:-1]
    lasting = np.where(owner[order][1:] == owner[order][:-1], np.diff(times[order]), 0.0)
    return np.bincount(count, weights=lasting, minlength=1).astype(np.float64)


def _histogram(values: Floats, edges: Floats) -> npt.NDArray[np.int64]:
    return np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]


def _quantiles(edges: Floats, counts: npt.NDArray[np.int64]) -> dict[str, float] | None:
    """From a histogram, as exact as its bins; None if it is empty."""
    if not counts.sum():
        return None
    cumulative = np.concatenate([[0], np.cumsum(counts)]) / counts.sum()
    shares = {"tenth": 0.1, "median": 0.5, "nine_tenths": 0.9}
    return {name: round(float(np.interp(share, cumulative, edges)), 3) for name, share in shares.items()}
