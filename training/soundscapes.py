"""Where training soundscapes come from: datasets, each with a weight, and fresh soundscapes that none of them holds."""

import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int

from manifests.audio import Source
from manifests.captions import caption_shards, caption_texts, is_imported
from manifests.errors import FlamError
from manifests.schema import Soundscape, Split, from_table
from manifests.store import DatasetFolder, read_table

_BLOCK = 1000  # positions, in each of which a dataset has its share: weights are met to a thousandth


class Item(NamedTuple):
    """One soundscape to learn from."""

    row: Soundscape
    audio: Callable[[], Source]  # rendered, or a path, when it is called
    captions: list[str]  # empty: nobody described it


Made = tuple[Soundscape, Callable[[], Source], list[str]]  # row, audio, captions
Fresh = Callable[[int], Made]  # soundscape `number` of a dataset's recipe, beyond those that the dataset holds


class SoundscapeSet:
    """The soundscapes of one split of a dataset. Rows stay in Arrow's compact form until one is asked for.

    Args:
        folder: the dataset.
        split: its split.
        caption_set: as `manifests.captions` takes it; None: no captions.
        fresh: makes soundscapes that the dataset does not hold; then each epoch but the first is of these.
    """

    def __init__(
        self, folder: DatasetFolder, split: Split, *, caption_set: str | None, fresh: Fresh | None = None
    ) -> None:
        self.folder, self.caption_set, self.fresh = folder, caption_set, fresh
        shards = [read_table(path, Soundscape) for path in folder.soundscape_shards()]
        table = pa.concat_tables(shards)
        self.num_all = int(table.num_rows)
        valid = table.filter(pc.equal(table["split"], "valid"))
        self.has_validation = bool(pc.any(pc.greater(pc.list_value_length(valid["events"]), 0)).as_py())
        self.rows = table.filter(pc.equal(table["split"], split)).combine_chunks()
        if not self.rows.num_rows:
            there = sorted(set(table["split"].to_pylist()))
            raise FlamError(f"{folder.root} has no {split} soundscapes, only {', '.join(there)}; simulate more")
        self.captions = self._captions()

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    def items(self, places: Sequence[int], seed: int) -> list[Item]:
        """Of an endless sequence: every soundscape once an epoch, in an order drawn from (seed, epoch).

        With `fresh`, from the second epoch on each place is a soundscape that was never heard before.
        """
        size = len(self)
        kept = [place for place in places if place < size or self.fresh is None]
        indices = [int(_order(size, seed, place // size)[place % size]) for place in kept]
        rows = from_table(
            self.rows.take(pa.array(indices, pa.int64())), Soundscape
        )  # together: a row alone costs ten times as much
        found = {
            place: Item(row, functools.partial(self.folder.audio, row), self.captions[index])
            for place, index, row in zip(kept, indices, rows, strict=True)
        }
        if self.fresh is not None:
            for place in (place for place in places if place >= size):
                row, audio, captions = self.fresh(self.num_all + place - size)
                found[place] = Item(row, audio, captions)
        return [found[place] for place in places]

    def clusters(self) -> set[str]:
        """Clusters that occur as events."""
        events = pc.list_flatten(self.rows["events"])
        return set(pc.struct_field(events, "cluster").to_pylist())

    def longest(self) -> float:
        """Duration of the longest soundscape, in seconds."""
        return float(pc.max(self.rows["duration"]).as_py())

    @functools.cache  # noqa: B019 - a set lives as long as its run
    def fingerprint(self) -> str:
        """A hash of all that training reads but the audio: another dataset must not continue a run."""
        found = hashlib.sha256()
        captions = caption_shards(self.folder, self.caption_set) if self.caption_set else []
        for path in [*self.folder.soundscape_shards(), *captions, self.folder.phrases_path]:
            found.update(path.read_bytes() if path.exists() else b"")
        return found.hexdigest()[:16]

    def _captions(self) -> list[list[str]]:
        ids = self.rows["soundscape_id"].to_pylist()
        if self.caption_set is None:
            return [[] for _ in ids]
        texts: dict[str, list[str]] = {}
        for soundscape_id, text in caption_texts(self.folder, self.caption_set):
            texts.setdefault(soundscape_id, []).append(text)
        missing = [soundscape_id for soundscape_id in ids if soundscape_id not in texts]
        if missing and not is_imported(self.folder, self.caption_set):
            raise FlamError(
                f"{len(missing)} soundscapes of {self.folder.root} have no caption in {self.caption_set!r}, "
                f"{missing[0]} first; run `flam-cli caption` again"
            )
        return [texts.get(soundscape_id, []) for soundscape_id in ids]


@functools.lru_cache(maxsize=8)
def _order(size: int, seed: int, epoch: int) -> Int[np.ndarray, " place"]:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0, epoch))).permutation(size)


@dataclass(frozen=True, kw_only=True)
class WeightedSets:
    """Datasets, each with its share of what is learned from."""

    sets: Sequence[SoundscapeSet]
    weights: Sequence[float]  # any scale

    def __post_init__(self) -> None:
        """Raise FlamError for a share so small that it is none."""
        shares = _shares(tuple(self.weights))
        if not shares.all():
            starved = self.sets[int(np.argmin(shares))].folder.root
            raise FlamError(f"{starved} would get less than one soundscape of {_BLOCK}: give it more --weight")

    def items(self, first: int, stop: int, seed: int) -> list[tuple[int, Item]]:
        """Which dataset, and the soundscape, at positions `first` to `stop` of an endless sequence."""
        turns = [self._turn(position, seed) for position in range(first, stop)]
        found: list[Iterator[Item]] = [
            iter(source.items([place for of, place in turns if of == dataset], seed))
            for dataset, source in enumerate(self.sets)
        ]
        return [(dataset, next(found[dataset])) for dataset, _ in turns]

    def heard_out(self, num_clips: int) -> list[bool]:
        """Whether so many clips from the beginning are more than each dataset's own soundscapes."""
        shares = _shares(tuple(self.weights)) / _BLOCK
        return [bool(num_clips * share > len(source)) for share, source in zip(shares, self.sets, strict=True)]

    def name_of(self, dataset: int, item: Item) -> str:
        """What a message calls a soundscape: by its dataset's folder where there are several."""
        name = item.row.soundscape_id
        return name if len(self.sets) == 1 else f"{self.sets[dataset].folder.root.name}/{name}"

    def _turn(self, position: int, seed: int) -> tuple[int, int]:
        """Whose turn a position is, and that dataset's own place."""
        if len(self.sets) == 1:
            return 0, position
        block, within = divmod(position, _BLOCK)
        turns, places = _turns(tuple(self.weights), seed, block)
        return int(turns[within]), int(places[within])

    def longest(self) -> float:
        """Duration of the longest soundscape, in seconds."""
        return max(source.longest() for source in self.sets)

    def clusters(self) -> set[str]:
        """Clusters that occur as events in any of them."""
        return {name for source in self.sets for name in source.clusters()}


def _shares(weights: tuple[float, ...]) -> Int[np.ndarray, " dataset"]:
    """How many positions of a block each dataset has."""
    ends = np.rint(np.cumsum(weights) / np.sum(weights) * _BLOCK).astype(int)
    return np.diff(ends, prepend=0)


@functools.lru_cache(maxsize=4)
def _turns(
    weights: tuple[float, ...], seed: int, block: int
) -> tuple[Int[np.ndarray, " position"], Int[np.ndarray, " position"]]:
    """Of a block of positions: whose turn it is, and that dataset's place. Every block holds the same shares."""
    counts = _shares(weights)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(3, block)))
    turns = rng.permutation(np.repeat(np.arange(len(weights)), counts))
    places = np.zeros(_BLOCK, dtype=int)
    for dataset, count in enumerate(counts):
        places[turns == dataset] = block * count + np.arange(count)
    return turns, places
