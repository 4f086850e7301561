"""What a dataset holds, shard by shard: counted once for its card, and where its statistics start from."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests.schema import Soundscape
from manifests.store import DatasetFolder, read_table

UNKNOWN = "not stated"
OF_SOURCES = ("source_id", "role", "label", "origin", "licence", "author")


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """The columns of one shard; its sounds one after the other, whatever their soundscape."""

    rows: pa.Table
    events: pa.StructArray
    backgrounds: pa.StructArray
    rooms: pa.StructArray


@dataclass(kw_only=True, slots=True)
class Contents:
    """Counts, and each source once: memory does not grow with the number of soundscapes."""

    seconds: float = 0.0
    splits: Counter[str] = field(default_factory=Counter)  # soundscapes
    annotations: Counter[str] = field(default_factory=Counter)  # soundscapes
    labels: Counter[str] = field(default_factory=Counter)  # events
    _sources: list[pa.Table] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)

    @property
    def num(self) -> int:
        """Soundscapes."""
        return self.splits.total()

    @property
    def sources(self) -> pa.Table:
        """A row for each recording used, columns OF_SOURCES; its role is event, background or room."""
        return pa.concat_tables([_SOURCES.empty_table(), *self._sources])

    def licences(self) -> Counter[str]:
        """Sources under each licence."""
        return Counter(licence or UNKNOWN for licence in self.sources["licence"].to_pylist())

    def add(self, shard: Shard) -> None:
        """Count another shard."""
        self.seconds += pc.sum(shard.rows["duration"]).as_py() or 0.0
        self.splits.update(counts(shard.rows["split"]))
        self.annotations.update(counts(shard.rows["annotation"]))
        self.labels.update(counts(pc.struct_field(shard.events, "label")))
        for role, sounds in (("event", shard.events), ("background", shard.backgrounds), ("room", shard.rooms)):
            ids = pc.struct_field(sounds, "source_id").to_pylist()
            # of each that is new its first place; what has no source, as a synthetic room, is none
            places = {name: at for at, name in reversed(list(enumerate(ids))) if name and name not in self._seen}
            if places:
                self._seen.update(places)
                self._sources.append(_of_sources(sounds.take(pa.array(sorted(places.values()))), role))


_SOURCES = pa.schema([(name, pa.string()) for name in OF_SOURCES])


def _of_sources(sounds: pa.StructArray, role: str) -> pa.Table:
    given = {"role": [role] * len(sounds), "label": [""] * len(sounds)}  # a room has no label
    names = {one.name for one in sounds.type}
    columns = [pc.struct_field(sounds, name) if name in names else given[name] for name in OF_SOURCES]
    return pa.table(columns, schema=_SOURCES)


def contents(folder: DatasetFolder) -> Contents:
    """All of a dataset's shards, counted."""
    found = Contents()
    for shard in shards(folder):
        found.add(shard)
    return found


def shards(folder: DatasetFolder) -> Iterator[Shard]:
    """Its shards, one after the other."""
    for path in folder.soundscape_shards():
        rows = read_table(path, Soundscape).combine_chunks()
        events = pc.list_flatten(rows["events"]).combine_chunks()
        yield Shard(rows=rows, events=events, backgrounds=_known(rows["background"]), rooms=_known(rows["room"]))


def _known(column: pa.ChunkedArray) -> pa.StructArray:
    return pc.drop_null(column).combine_chunks()


def counts(column: pa.Array | pa.ChunkedArray) -> dict[Any, int]:
    """How often each value occurs."""
    counted = pc.value_counts(column)
    return dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True))
