"""What goes into soundscape i. Pure: (bank, recipe, seed, i) -> Plan, without reading any audio.

Everything is drawn from `SeedSequence(seed, spawn_key=(i,))`, so that a plan depends neither on how
many soundscapes there are nor on the order in which they are made.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curation.config import Recipe
from curation.loudness import step_samples
from curation.source_clip import SourceClip
from manifests.errors import FlamError
from manifests.schema import SPLITS, Split

Indices = npt.NDArray[np.intp]

_MAX_DRAWS = 100
_DRAWS_A_COPY = 20  # of places that keep to the polyphony, before one copy less is tried


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedBackground:
    """A slice of a background clip; one shorter than the soundscape is looped from there on.

    It starts at a whole step of `loudness.step_samples`, from which on the bank knows its loudness.
    """

    clip: int  # index into the bank's clips
    source_start: int
    lufs: float  # target of its integrated loudness; the reference of every snr_db


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedEvent:
    """A slice of a foreground clip and its place. Positions are samples at the bank's rate."""

    clip: int
    source_start: int
    num_samples: int
    start: int  # in the soundscape
    snr_db: float  # its LUFS minus the background's


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """All that was drawn for one soundscape."""

    index: int
    split: Split
    num_samples: int
    background: PlannedBackground
    events: tuple[PlannedEvent, ...]  # by start

    def without(self, events: Iterable[int]) -> "Plan":
        """The plan with the events at these places left out."""
        dropped = set(events)
        kept = tuple(event for place, event in enumerate(self.events) if place not in dropped)
        return dataclasses.replace(self, events=kept)


class Catalogue:
    """The clips of a bank as plans need them: by split and role, and which exclude each other."""

    def __init__(self, clips: Sequence[SourceClip], *, sample_rate: int, recipe: Recipe) -> None:
        self.clips = clips
        self.sample_rate = sample_rate
        # Scaper cannot fade a sound that is shorter than its fades.
        self.min_samples = 2 * int(recipe.fade * sample_rate)
        self.num_too_short = 0
        held_out = _held_out(recipe, clips)
        foregrounds: dict[str, list[int]] = defaultdict(list)
        backgrounds: dict[str, list[int]] = defaultdict(list)
        for index, clip in enumerate(clips):
            if clip.role == "impulse_response" or (clip.split != "test" and _clusters(clip) & held_out):
                continue
            if clip.role == "background":
                backgrounds[clip.split].append(index)
            elif clip.num_samples >= max(1, self.min_samples):
                foregrounds[clip.split].append(index)
            else:
                self.num_too_short += 1
        self._pools = {
            split: _Pool(clips, foregrounds[split], backgrounds[split])
            for split in SPLITS
            if foregrounds[split] and backgrounds[split]
        }
        self._pools = {split: pool for split, pool in self._pools.items() if len(pool.backgrounds)}

    @property
    def splits(self) -> list[Split]:
        """Splits with a foreground and a background that may be heard together."""
        return [split for split in SPLITS if split in self._pools]

    def pool(self, split: Split) -> "_Pool":
        """The clips of a split."""
        return self._pools[split]

    def shares(self, recipe: Recipe, split: Split | None) -> dict[Split, float]:
        """How likely each split is: the recipe's shares, over the splits that the bank can serve.

        Raises FlamError if there is none, or not the one asked for.
        """
        if split is not None:
            if split not in self._pools:
                raise FlamError(self._missing(f"split {split}", [split]))
            return {split: 1.0}
        weights: dict[Split, float] = {name: getattr(recipe.split, name) for name in self.splits}
        total = sum(weights.values())
        if total <= 0:
            wanted = [name for name in SPLITS if getattr(recipe.split, name) > 0]
            raise FlamError(self._missing("any split that the recipe asks for", wanted))
        return {name: weight / total for name, weight in weights.items() if weight > 0}

    def _missing(self, what: str, splits: Sequence[str]) -> str:
        roles = ("foreground", "background")
        counts = [
            f"{split}: "
            + " and ".join(
                f"{sum(clip.split == split and clip.role == role for clip in self.clips)} {role}s" for role in roles
            )
            for split in splits
        ]
        return (
            f"the bank has no usable foreground and background for {what} ({'; '.join(counts)}); "
            "each split needs both, of different clusters: add sounds to the bank"
        )


class _Pool:
    """The clips of one split."""

    def __init__(self, clips: Sequence[SourceClip], foregrounds: list[int], backgrounds: list[int]) -> None:
        self.foregrounds: Indices = np.array(foregrounds)
        names = sorted({clips[index].label for index in foregrounds})
        codes = {name: code for code, name in enumerate(names)}
        self.labels: Indices = np.array([codes[clips[index].label] for index in foregrounds])
        holding: dict[str, list[int]] = defaultdict(list)
        for place, index in enumerate(foregrounds):
            for cluster in _clusters(clips[index]):
                holding[cluster].append(place)
        self._excluded = {
            index: _union(holding.get(cluster, []) for cluster in _clusters(clips[index])) for index in backgrounds
        }
        usable = [index for index in backgrounds if len(self._excluded[index]) < len(foregrounds)]
        self.backgrounds: Indices = np.array(usable)

    def draw_background(self, rng: np.random.Generator) -> int:
        """One background clip, all equally likely."""
        return int(self.backgrounds[rng.integers(len(self.backgrounds))])

    def draw_foregrounds(self, rng: np.random.Generator, *, background: int, count: int, balance: str) -> Indices:
        """Different foreground clips, fewer than `count` if there are not so many.

        None shares a cluster with what can be heard in the background.
        """
        excluded = self._excluded[background]
        allowed = len(self.foregrounds) - len(excluded)
        count = min(count, allowed)
        if balance == "sources":
            ranks = rng.choice(allowed, size=count, replace=False)
            return np.asarray(self.foregrounds[_skip(ranks, excluded)])
        places = _skip(np.arange(allowed), excluded)
        counts = np.bincount(self.labels)[self.labels[places]]
        # The smallest of exponential draws, each scaled by its label's size: a weighted draw
        # without replacement in which every label is equally likely at first.
        order = np.argsort(rng.exponential(size=allowed) * counts)
        return np.asarray(self.foregrounds[places[order[:count]]])


def _clusters(clip: SourceClip) -> set[str]:
    return {clip.cluster, *clip.contains}


def _held_out(recipe: Recipe, clips: Sequence[SourceClip]) -> set[str]:
    """The clusters that the recipe holds out; for a label those of its clips, since one sound has many labels."""
    held_out: set[str] = set()
    for name in recipe.hold_out:
        found = {clip.cluster for clip in clips if clip.label == name}
        if any(name in _clusters(clip) for clip in clips):
            found.add(name)
        if not found:
            raise FlamError(f"recipe {recipe.name}: hold_out names {name!r}, but no clip of the bank has that label")
        held_out |= found
    return held_out


def _union(places: Iterable[Sequence[int]]) -> Indices:
    return np.array(sorted({place for group in places for place in group}), dtype=np.intp)


def _skip(ranks: Indices, excluded: Indices) -> Indices:
    """Places of the elements with these ranks among those that are not excluded (sorted)."""
    return ranks + np.searchsorted(excluded - np.arange(len(excluded)), ranks, side="right")


def plan(index: int, *, catalogue: Catalogue, recipe: Recipe, seed: int, split: Split | None = None) -> Plan:
    """Soundscape `index`: its split, background and events.

    Args:
        index: number of the soundscape in its dataset.
        catalogue: the bank's clips.
        recipe: the distributions.
        seed: of the whole dataset.
        split: put every soundscape there, instead of drawing it by the recipe's shares.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
    num_samples = round(recipe.duration * catalogue.sample_rate)
    drawn = _draw_split(rng.random(), catalogue.shares(recipe, split))
    pool = catalogue.pool(drawn)
    background = pool.draw_background(rng)
    chosen = pool.draw_foregrounds(rng, background=background, count=recipe.events.sample(rng), balance=recipe.balance)
    planned = PlannedBackground(
        clip=background,
        source_start=_draw_background_start(
            rng, catalogue.clips[background], num_samples=num_samples, sample_rate=catalogue.sample_rate
        ),
        lufs=recipe.background_lufs.sample(rng),
    )
    events: list[PlannedEvent] = []
    for clip in chosen:
        events += _place(int(clip), rng, catalogue, recipe=recipe, num_samples=num_samples, beside=events)
    return Plan(
        index=index,
        split=drawn,
        num_samples=num_samples,
        background=planned,
        events=tuple(sorted(events, key=lambda event: (event.start, event.clip))),
    )


def _draw_split(uniform: float, shares: dict[Split, float]) -> Split:
    names = list(shares)
    place = np.searchsorted(np.cumsum(list(shares.values())), uniform, side="right")
    return names[min(int(place), len(names) - 1)]


def _place(
    index: int,
    rng: np.random.Generator,
    catalogue: Catalogue,
    *,
    recipe: Recipe,
    num_samples: int,
    beside: Sequence[PlannedEvent],
) -> list[PlannedEvent]:
    """The copies of one source, as many as drawn and fit; no two of them over each other."""
    clip = catalogue.clips[index]
    longest = max(min(round(recipe.max_event_duration * catalogue.sample_rate), num_samples), 1)
    length = min(clip.num_samples, longest)
    source_start = _draw_slice(rng, clip, length=length, sample_rate=catalogue.sample_rate)
    copies = recipe.repeats.sample(rng) if clip.duration < recipe.repeat_below else 1
    copies = min(copies, num_samples // length)
    starts = _draw_starts(rng, copies=copies, length=length, num_samples=num_samples)
    if recipe.polyphony is not None:
        draws = 1
        while copies and not _fits(starts, length, beside, polyphony=recipe.polyphony):
            copies -= draws % _DRAWS_A_COPY == 0
            starts = _draw_starts(rng, copies=copies, length=length, num_samples=num_samples)
            draws += 1
    return [
        PlannedEvent(
            clip=index,
            source_start=source_start,
            num_samples=length,
            start=int(start),
            snr_db=recipe.snr_db.sample(rng),
        )
        for start in starts
    ]


def _draw_starts(rng: np.random.Generator, *, copies: int, length: int, num_samples: int) -> Indices:
    """Starts uniform over all that fit, drawn at once.

    The copies are taken out of the soundscape, as many points are drawn in what is left, and the copies put back in
    there.
    """
    free = num_samples - copies * length
    return np.asarray(np.sort(rng.integers(free, size=copies, endpoint=True)) + np.arange(copies) * length)


def _fits(starts: Indices, length: int, beside: Sequence[PlannedEvent], *, polyphony: int) -> bool:
    """Whether never more than `polyphony` events are there at once."""
    for start in starts.tolist():
        over = [event for event in beside if event.start < start + length and event.start + event.num_samples > start]
        # the most are there where one of them begins, or this one does
        points = [start, *(event.start for event in over if event.start > start)]
        if any(
            sum(event.start <= point < event.start + event.num_samples for event in over) >= polyphony
            for point in points
        ):
            return False
    return True


def _draw_background_start(rng: np.random.Generator, clip: SourceClip, *, num_samples: int, sample_rate: int) -> int:
    """Where a background starts: any step that it is active from on for half as long as it could be at best.

    Of a looped one all is heard. Almost every other one is active throughout, and the first draw is taken.
    """
    step = step_samples(sample_rate)
    last = clip.num_samples - num_samples
    if last < 0:
        return int(rng.integers(clip.num_samples // step)) * step
    onsets, ends = _active_samples(clip, sample_rate)
    starts = np.clip(np.concatenate([[0], onsets, ends - num_samples]), 0, last) // step * step
    active = [_num_active(int(start), num_samples, onsets, ends) for start in starts]
    for _ in range(_MAX_DRAWS):
        start = int(rng.integers(last // step + 1)) * step
        if 2 * _num_active(start, num_samples, onsets, ends) >= max(active):
            return start
    return int(starts[int(np.argmax(active))])


def _num_active(start: int, num_samples: int, onsets: Indices, ends: Indices) -> int:
    return int(np.clip(np.minimum(ends, start + num_samples) - np.maximum(onsets, start), 0, None).sum())


def _active_samples(clip: SourceClip, sample_rate: int) -> tuple[Indices, Indices]:
    onsets = np.array([round(stretch.onset * sample_rate) for stretch in clip.activity], np.intp)
    ends = np.array([round(stretch.offset * sample_rate) for stretch in clip.activity], np.intp)
    return onsets, ends


def _draw_slice(rng: np.random.Generator, clip: SourceClip, *, length: int, sample_rate: int) -> int:
    """Where a slice of `length` samples starts: anywhere that the clip is active and it still fits.

    If the clip is active near its end only, the slice is its end.
    """
    last = clip.num_samples - length
    if last == 0:
        return 0
    onsets, ends = _active_samples(clip, sample_rate)
    lengths = np.clip(np.minimum(ends, last + 1) - onsets, 0, None)
    if not lengths.sum():
        return last
    point = int(rng.integers(lengths.sum()))
    stretch = int(np.searchsorted(np.cumsum(lengths), point, side="right"))
    return int(onsets[stretch] + point - (lengths[:stretch].sum()))
