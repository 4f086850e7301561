"""The clips of a bank as plans need them: by split and role, how likely each is, and which exclude each other."""

import difflib
import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curation.config import Recipe
from curation.source_clip import SourceClip
from manifests.errors import FlamError
from manifests.schema import SPLITS, Split

Indices = npt.NDArray[np.intp]

_MAX_DRAWS = 100
_DRAWS_OF_A_LABEL = 20  # of its sources, before another label is drawn


@dataclass(frozen=True, kw_only=True, slots=True)
class Activity:
    """Where a clip is active, in samples."""

    onsets: Indices
    ends: Indices
    throughout: bool


class Catalogue:
    """The clips that a recipe may use."""

    def __init__(self, clips: Sequence[SourceClip], *, sample_rate: int, recipe: Recipe) -> None:
        self.clips = clips
        self.sample_rate = sample_rate
        # Scaper cannot fade a sound that is shorter than its fades.
        self.min_samples = max(2 * int(recipe.shortest_fade() * sample_rate), 1)
        self.num_too_short = 0
        self._recipe = recipe
        self._activity: dict[int, Activity] = {}
        self._shares: dict[Split | None, dict[Split, float]] = {}
        _check_names(recipe, clips)
        held_out = _held_out(recipe, clips)
        by_role: dict[tuple[str, str], list[int]] = defaultdict(list)
        for index, clip in enumerate(clips):
            if clip.split != "test" and clusters(clip) & held_out:
                continue
            if clip.role == "foreground" and clip.num_samples < self.min_samples:
                self.num_too_short += 1
            else:
                by_role[clip.split, clip.role].append(index)
        pools = {
            split: Pool(clips, by_role[split, "foreground"], by_role[split, "background"], recipe) for split in SPLITS
        }
        self._pools = {split: pool for split, pool in pools.items() if pool.backgrounds}
        self._rooms = {split: by_role[split, "impulse_response"] for split in SPLITS}

    @property
    def splits(self) -> list[Split]:
        """Splits with a foreground and a background that may be heard together."""
        return list(self._pools)

    def pool(self, split: Split) -> "Pool":
        """The clips of a split."""
        return self._pools[split]

    def rooms(self, split: Split) -> list[int]:
        """The impulse responses of a split; raises FlamError if it has none."""
        if not self._rooms[split]:
            raise FlamError(
                f"recipe {self._recipe.name} takes rooms from the bank, which has none for {split}: add a folder with "
                'impulse_response/ROOM/ files to the bank, or set reverb.rooms = "synthetic"'
            )
        return self._rooms[split]

    def activity(self, index: int) -> Activity:
        """Where a clip is active."""
        if index not in self._activity:
            clip = self.clips[index]
            onsets = [round(stretch.onset * self.sample_rate) for stretch in clip.activity]
            ends = [round(stretch.offset * self.sample_rate) for stretch in clip.activity]
            throughout = onsets == [0] and ends[0] >= clip.num_samples
            self._activity[index] = Activity(
                onsets=np.array(onsets, np.intp), ends=np.array(ends, np.intp), throughout=throughout
            )
        return self._activity[index]

    def shares(self, split: Split | None) -> dict[Split, float]:
        """How likely each split is: the recipe's shares, over the splits that the bank can serve.

        Raises FlamError if there is none, or not the one asked for.
        """
        if split not in self._shares:
            self._shares[split] = self._find_shares(split)
        return self._shares[split]

    def _find_shares(self, split: Split | None) -> dict[Split, float]:
        if split is not None:
            if split not in self._pools:
                raise FlamError(self._missing(f"split {split}", [split]))
            self._check_rooms([split])
            return {split: 1.0}
        weights: dict[Split, float] = {name: getattr(self._recipe.split, name) for name in self.splits}
        total = sum(weights.values())
        if total <= 0:
            wanted = [name for name in SPLITS if getattr(self._recipe.split, name) > 0]
            raise FlamError(self._missing("any split that the recipe asks for", wanted))
        shares = {name: weight / total for name, weight in weights.items() if weight > 0}
        self._check_rooms(shares)
        return shares

    def _check_rooms(self, splits: Iterable[Split]) -> None:
        """Raise FlamError, before anything is made, if the recipe takes rooms from the bank and a split has none."""
        if self._recipe.reverb.share > 0 and self._recipe.reverb.rooms == "bank":
            for split in splits:
                self.rooms(split)

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


class Pool:
    """The clips of one split."""

    def __init__(
        self, clips: Sequence[SourceClip], foregrounds: Sequence[int], backgrounds: Sequence[int], recipe: Recipe
    ) -> None:
        self._clips = clips
        by_label: dict[str, list[int]] = defaultdict(list)
        for index in foregrounds:
            by_label[clips[index].label].append(index)
        self._labels = sorted(by_label)
        self._sources = [by_label[label] for label in self._labels]
        self._weights = np.array(
            [_weight(recipe, label, len(sources)) for label, sources in zip(self._labels, self._sources, strict=True)]
        )
        self._together = _pair_weights(recipe, self._labels)
        self._cumulative = np.cumsum(self._weights)
        heard = {index: clusters(clips[index]) for index in (*foregrounds, *backgrounds)}
        self._clusters = heard
        possible = {frozenset(heard[i]) for sources, weight in self._weighted() for i in sources if weight > 0}
        self.backgrounds = [i for i in backgrounds if any(heard[i].isdisjoint(others) for others in possible)]

    def _weighted(self) -> "zip[tuple[list[int], float]]":
        return zip(self._sources, self._weights.tolist(), strict=True)

    def draw_background(self, rng: np.random.Generator) -> int:
        """One background clip, all equally likely."""
        return self.backgrounds[int(rng.integers(len(self.backgrounds)))]

    def draw_foregrounds(self, rng: np.random.Generator, *, background: int, count: int) -> list[int]:
        """Different foreground clips, by the recipe's balance; fewer than `count` if there are not so many.

        None shares a cluster with what can be heard in the background.
        """
        chosen: list[int] = []
        weights, cumulative = self._weights, self._cumulative
        taken: set[int] = set()
        met: set[int] = set()  # labels
        while len(chosen) < count:
            drawn = self._draw(rng, cumulative, taken, self._clusters[background])
            if drawn is None:
                break
            label, index = drawn
            chosen.append(index)
            taken.add(index)
            if label in self._together and label not in met:
                weights = weights * self._together[label]
                cumulative = np.cumsum(weights)
            met.add(label)
        return chosen

    def _draw(
        self, rng: np.random.Generator, cumulative: npt.NDArray[np.float64], taken: set[int], excluded: set[str]
    ) -> tuple[int, int] | None:
        """A label and one of its sources. Excluded ones are few as a rule: draw again is faster than to list them."""
        total = float(cumulative[-1])
        for _ in range(_MAX_DRAWS if total > 0 else 0):
            label = int(cumulative.searchsorted(rng.random() * total, side="right"))
            sources = self._sources[min(label, len(self._sources) - 1)]
            for _ in range(_DRAWS_OF_A_LABEL):
                index = sources[int(rng.random() * len(sources))]
                if index not in taken and self._clusters[index].isdisjoint(excluded):
                    return label, index
        weights = np.diff(cumulative, prepend=0.0)
        left = [
            (label, index)
            for label, sources in enumerate(self._sources)
            if weights[label] > 0
            for index in sources
            if index not in taken and self._clusters[index].isdisjoint(excluded)
        ]
        return left[int(rng.integers(len(left)))] if left else None


def clusters(clip: SourceClip) -> set[str]:
    """All that can be heard in a clip, so far as is known."""
    return {clip.cluster, *clip.contains}


def _weight(recipe: Recipe, label: str, num_sources: int) -> float:
    if recipe.balance == "sources":
        return float(num_sources)
    return recipe.frequency.get(label, 1.0) if recipe.balance == "frequency" else 1.0


def _pair_weights(recipe: Recipe, labels: Sequence[str]) -> dict[int, npt.NDArray[np.float64]]:
    """For each label that the recipe pairs, what all labels' weights are multiplied by once it is there."""
    places = {label: place for place, label in enumerate(labels)}
    found: dict[int, npt.NDArray[np.float64]] = {}
    for pair in recipe.together:
        for one, other in set(itertools.permutations(pair.labels, 2)):
            if one in places and other in places:
                factors = found.setdefault(places[one], np.ones(len(labels)))
                factors[places[other]] *= pair.weight
    return found


def _check_names(recipe: Recipe, clips: Sequence[SourceClip]) -> None:
    """Raise FlamError for a label that the recipe weighs and the bank does not have."""
    there = {clip.label for clip in clips if clip.role == "foreground"}
    named = {"frequency": [*recipe.frequency], "together": [label for pair in recipe.together for label in pair.labels]}
    for key, labels in named.items():
        for label in labels:
            if label not in there:
                nearest = difflib.get_close_matches(label, there, n=1, cutoff=0.0)
                hint = f"; the nearest is {nearest[0]!r}" if nearest else ""
                raise FlamError(f"recipe {recipe.name}: {key} names {label!r}, which is no label of the bank{hint}")


def _held_out(recipe: Recipe, clips: Sequence[SourceClip]) -> set[str]:
    """The clusters that the recipe holds out; for a label those of its clips, since one sound has many labels."""
    held_out: set[str] = set()
    for name in recipe.hold_out:
        found = {clip.cluster for clip in clips if clip.label == name}
        if any(name in clusters(clip) for clip in clips):
            found.add(name)
        if not found:
            raise FlamError(f"recipe {recipe.name}: hold_out names {name!r}, but no clip of the bank has that label")
        held_out |= found
    return held_out
