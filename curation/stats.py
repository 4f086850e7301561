"""What a dataset holds, in numbers: labels, times, levels, effects, splits, licences, what was left out.

One pass, flat memory.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation.contents import Contents, Shard, counts, shards
from manifests.errors import FlamError
from manifests.store import DatasetFolder, read_json

Floats = npt.NDArray[np.float64]
BinCounts = npt.NDArray[np.int64]

# Bins of the histograms; what lies beyond is counted in the outermost.
DURATION_EDGES: Floats = np.concatenate([[0.0], np.geomspace(0.02, 60, 61)])  # s
SNR_EDGES: Floats = np.arange(-60.5, 61.0)  # dB, a whole number in the middle of each
AUDIBLE_EDGES: Floats = np.arange(-60.0, 61.0)  # dB
NEAR_SILENT_LUFS = -60.0
_NEUTRAL = {"pitch_semitones": 0.0, "time_stretch": 1.0, "tilt_db": 0.0}


def _no_counts(edges: Floats) -> BinCounts:
    return np.zeros(len(edges) - 1, np.int64)


@dataclass(kw_only=True)
class Stats:
    """A dataset in numbers. Times are seconds."""

    contents: Contents = field(default_factory=Contents)
    active: dict[str, float] = field(
        default_factory=lambda: defaultdict(float)
    )  # seconds in which events of a label are
    backgrounds: Counter[str] = field(default_factory=Counter)  # soundscapes by the label of their background
    rates: Counter[int] = field(default_factory=Counter)  # soundscapes by their sample rate
    event_counts: Counter[int] = field(default_factory=Counter)  # soundscapes by their number of events
    num_near_silent: int = 0  # soundscapes without events whose background is hardly there
    rooms: Counter[str] = field(default_factory=Counter)  # soundscapes in a synthetic one, or in a recorded one
    num_microphones: int = 0  # soundscapes heard through one
    effects: Counter[str] = field(default_factory=Counter)  # events that were changed so
    polyphony: dict[int, float] = field(
        default_factory=lambda: defaultdict(float)
    )  # seconds in which so many events are active
    durations: BinCounts = field(default_factory=lambda: _no_counts(DURATION_EDGES))  # events by their active time
    snrs: BinCounts = field(default_factory=lambda: _no_counts(SNR_EDGES))  # events
    num_without_snr: int = 0
    audible: BinCounts = field(default_factory=lambda: _no_counts(AUDIBLE_EDGES))  # stretches
    num_without_audible: int = 0
    left_out: Counter[str] = field(default_factory=Counter)  # planned events; only reasons that any row tells
    bank_rejects: dict[str, int] | None = None  # recordings by reason; None if dataset.json does not tell

    def label_rows(self) -> list[tuple[str, int, int, float]]:
        """Each label with its events, its sources and its seconds of activity; the most frequent first."""
        events = self.contents.sources.filter(pc.field("role") == "event")
        sources = counts(events["label"])
        by_count = sorted(self.contents.labels.items(), key=lambda item: (-item[1], item[0]))
        return [(label, count, sources.get(label, 0), self.active[label]) for label, count in by_count]

    def to_dict(self) -> dict[str, Any]:
        """For JSON. What nothing is known of is None."""
        contents = self.contents
        return {
            "soundscapes": contents.num,
            "hours": contents.seconds / 3600,
            "splits": _in_order(contents.splits),
            "annotations": _in_order(contents.annotations),
            "sample_rates": _in_order(self.rates),
            "events": contents.labels.total(),
            "labels": {
                label: {"events": count, "active_seconds": seconds, "sources": num_sources}
                for label, count, num_sources, seconds in sorted(self.label_rows())
            },
            "events_per_soundscape": _in_order(self.event_counts),
            "without_events": {"soundscapes": self.event_counts[0], "near_silent": self.num_near_silent},
            "share_of_time_with_so_many_active": {
                count: seconds / contents.seconds for count, seconds in _in_order(self.polyphony).items()
            },
            "event_seconds": _quantiles(DURATION_EDGES, self.durations),
            "snr_db": _quantiles(SNR_EDGES, self.snrs),
            "events_without_snr": self.num_without_snr,
            "audible_db": self._audibility(),
            "stretches_without_audible_db": self.num_without_audible,
            "effects": {name: self.effects[name] for name in _NEUTRAL},
            "rooms": {kind: self.rooms[kind] for kind in ("synthetic", "recorded")},
            "microphones": self.num_microphones,
            "backgrounds": _in_order(self.backgrounds),
            "sources": _in_order(counts(contents.sources["role"])),
            "licences_of_sources": _in_order(contents.licences()),
            "events_left_out": {reason: self.left_out.get(reason) for reason in ("inaudible", "masked")},
            "bank_rejects": self.bank_rejects,
        }

    def _audibility(self) -> dict[str, float] | None:
        quantiles = _quantiles(AUDIBLE_EDGES, self.audible)
        if quantiles is None:
            return None
        below = {
            name: float(self.audible[AUDIBLE_EDGES[:-1] < decibels].sum() / self.audible.sum())
            for name, decibels in (("share_below_0", 0), ("share_below_minus_5", -5))  # each an edge: exact
        }
        return {**quantiles, **below}


def dataset_stats(data: Path) -> Stats:
    """Count a dataset's rows; raises FlamError if it has none."""
    folder, stats = DatasetFolder.open(data), Stats()
    for shard in shards(folder):
        stats.contents.add(shard)
        _count_soundscapes(shard, stats)
        _count_events(shard, stats)
    if not stats.contents.num:
        raise FlamError(f"{data} has no soundscapes yet; run `flam-cli simulate`")
    info = read_json(folder.info_path) if folder.info_path.exists() else None
    stats.bank_rejects = info.get("bank_rejects") if isinstance(info, dict) else None
    return stats


def _count_soundscapes(shard: Shard, stats: Stats) -> None:
    rows = shard.rows
    num_events = pc.list_value_length(rows["events"])
    stats.event_counts.update(counts(num_events))
    stats.rates.update(counts(rows["sample_rate"]))
    stats.backgrounds.update(counts(pc.struct_field(shard.backgrounds, "label")))
    quiet = pc.less_equal(pc.struct_field(rows["background"], "target_lufs"), NEAR_SILENT_LUFS)
    stats.num_near_silent += _num_true(pc.and_(pc.equal(num_events, 0), quiet))
    recorded = pc.is_valid(pc.struct_field(shard.rooms, "source_id"))
    stats.rooms.update({"recorded": _num_true(recorded), "synthetic": _num_true(pc.invert(recorded))})
    stats.num_microphones += _num_true(pc.is_valid(rows["microphone"]))
    for reason in ("inaudible", "masked"):
        total = pc.sum(rows[f"num_{reason}"]).as_py()
        if total is not None:
            stats.left_out[reason] += total


def _count_events(shard: Shard, stats: Stats) -> None:
    events = shard.events
    stretches = pc.struct_field(events, "activity")
    flat, of_event = pc.list_flatten(stretches), pc.list_parent_indices(stretches).to_numpy()
    onsets, offsets = (pc.struct_field(flat, end).to_numpy() for end in ("onset", "offset"))
    active: Floats = np.bincount(of_event, weights=offsets - onsets, minlength=len(events)).astype(np.float64)
    stats.durations += _histogram(active, DURATION_EDGES)
    labels = pc.struct_field(events, "label").dictionary_encode()
    seconds = np.bincount(labels.indices.to_numpy(), weights=active)
    for label, some in zip(labels.dictionary.to_pylist(), seconds.tolist(), strict=True):
        stats.active[label] += some
    for name, neutral in _NEUTRAL.items():
        stats.effects[name] += _num_true(pc.not_equal(pc.struct_field(events, name), neutral))
    snrs, audible = pc.struct_field(events, "snr_db"), pc.struct_field(flat, "audible_db")
    stats.snrs += _histogram(_known(snrs), SNR_EDGES)
    stats.num_without_snr += snrs.null_count
    stats.audible += _histogram(_known(audible), AUDIBLE_EDGES)
    stats.num_without_audible += audible.null_count
    of_soundscape = pc.list_parent_indices(shard.rows["events"]).to_numpy()
    times = _time_by_polyphony(of_soundscape[of_event], onsets, offsets)
    times[0] = (pc.sum(shard.rows["duration"]).as_py() or 0.0) - float(times[1:].sum())
    for count, some in enumerate(times.tolist()):
        if some > 0:
            stats.polyphony[count] += some


def _time_by_polyphony(soundscape: npt.NDArray[np.int64], onsets: Floats, offsets: Floats) -> Floats:
    """Seconds with 0 (not computed), 1, 2, ... active at once, over all soundscapes."""
    times = np.concatenate([onsets, offsets])
    change = np.repeat([1, -1], len(onsets))
    owner = np.concatenate([soundscape, soundscape])
    order = np.lexsort((change, times, owner))  # at one time ends come before starts
    count = np.cumsum(change[order])[:-1]
    lasting = np.where(owner[order][1:] == owner[order][:-1], np.diff(times[order]), 0.0)
    return np.bincount(count, weights=lasting, minlength=1).astype(np.float64)


def _num_true(flags: pa.Array | pa.ChunkedArray) -> int:
    """How many are true; what is unknown is not."""
    return int(pc.sum(flags).as_py() or 0)


def _known(values: pa.Array) -> Floats:
    return np.asarray(pc.drop_null(values).to_numpy(zero_copy_only=False), np.float64)


def _in_order(counted: dict[Any, Any]) -> dict[str, Any]:
    return {str(name): counted[name] for name in sorted(counted)}


def _histogram(values: Floats, edges: Floats) -> BinCounts:
    return np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]


def _quantiles(edges: Floats, binned: BinCounts) -> dict[str, float] | None:
    """From a histogram, as exact as its bins; None if it is empty."""
    if not binned.sum():
        return None
    cumulative = np.concatenate([[0], np.cumsum(binned)]) / binned.sum()
    shares = {"tenth": 0.1, "median": 0.5, "nine_tenths": 0.9}
    return {name: round(float(np.interp(share, cumulative, edges)), 3) for name, share in shares.items()}
