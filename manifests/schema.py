"""The rows of a dataset's tables, as dataclasses, and the Parquet schema made from each.

Times are seconds from the start of the soundscape unless a name says otherwise; positions are integer samples.
Every field is required unless its type admits None; docs/data.md describes each column. Nothing changes a row once it
is made. They are not frozen, for that triples what making one costs, and a dataset has millions.
"""

import collections
import dataclasses
import functools
import itertools
import types
import typing
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeVar

import pyarrow as pa

Row = TypeVar("Row")

SCHEMA_VERSION = 3
Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = typing.get_args(Split)
Annotation = Literal["closed", "open", "none"]
ORIGINS = ("label", "template", "ontology", "model", "correction")  # of a phrase


@dataclasses.dataclass(kw_only=True, slots=True)
class Stretch:
    """A time span in which an event is active."""

    onset: float
    offset: float
    audible_db: float | None = None  # above everything else, in the own band in which it stands out most; if known


@dataclasses.dataclass(kw_only=True, slots=True)
class Room:
    """The room in which all events of a soundscape are heard."""

    rt60: float  # seconds; of a recorded impulse response its length
    direct_db: float | None  # direct sound over its reverberation; None for a recorded one
    source_id: str | None  # of a recorded one
    origin: str | None
    licence: str | None
    author: str | None


@dataclasses.dataclass(kw_only=True, slots=True)
class Microphone:
    """The pass band through which a whole soundscape is heard."""

    low_hz: float
    high_hz: float


@dataclasses.dataclass(kw_only=True, slots=True)
class Background:
    """The recording that plays all through a soundscape."""

    label: str
    cluster: str
    contains: list[str]  # clusters that can be heard in it; never negatives in this soundscape
    source_id: str
    source_start: int  # first sample taken, in the bank's prepared clip
    origin: str  # file that the source came from, as its reader named it
    origin_start: int  # the same position, in samples of that file at its own rate
    target_lufs: float
    lufs: float  # integrated loudness measured in the soundscape
    gain_db: float  # applied to the prepared clip
    licence: str
    author: str


@dataclasses.dataclass(kw_only=True, slots=True)
class Event:
    """One sound with onset and offset. The optional fields are known of simulated events only."""

    label: str
    cluster: str
    contains: list[str]  # other clusters that can be heard in its source
    onset: float
    offset: float
    activity: list[Stretch]  # measured on the event's own signal, inside [onset, offset]
    start: int | None  # first sample in the soundscape
    num_samples: int | None
    source_id: str | None
    source_start: int | None  # first sample taken, in the bank's prepared clip
    origin: str | None
    origin_start: int | None  # the same position, in samples of the original file at its own rate
    target_snr_db: float | None  # LUFS of the event minus LUFS of the background
    snr_db: float | None  # the same, measured in the soundscape
    gain_db: float | None  # applied to the prepared clip
    pitch_semitones: float | None  # up
    time_stretch: float | None  # factor of its duration
    tilt_db: float | None  # per octave
    fade: float | None  # seconds, at each end
    licence: str | None
    author: str | None


@dataclasses.dataclass(kw_only=True, slots=True)
class Soundscape:
    """One clip of a dataset with all that is known of it."""

    soundscape_id: str
    split: Split
    audio_path: str  # relative to the dataset folder, with forward slashes; the file may still have to be rendered
    duration: float
    sample_rate: int
    num_samples: int
    annotation: Annotation  # closed: every sound is listed; open: these and perhaps more; none: nothing is known
    events: list[Event]
    background: Background | None
    room: Room | None
    microphone: Microphone | None
    licences: list[str]  # every licence of its sources, sorted
    seed: int | None
    recipe: str | None
    engine: str | None
    mix_gain_db: float | None  # applied to the finished mixture so that it does not clip; 0 if it would not
    num_inaudible: int | None  # planned events that were left out: too soft,
    num_masked: int | None  # or masked by others more than the recipe allows
    schema_version: int = SCHEMA_VERSION


@dataclasses.dataclass(kw_only=True, slots=True)
class Check:
    """One check of a caption against the soundscape's events."""

    name: str
    passed: bool


@dataclasses.dataclass(kw_only=True, slots=True)
class Caption:
    """One sentence for one soundscape, or one phrase for one sound of it."""

    soundscape_id: str
    style: str
    cluster: str  # of the sound that a phrase is about; empty for a caption of the whole
    text: str
    via: str  # template | openai | import, of a set that has captions
    model: str  # empty for templates
    prompt_hash: str  # empty for templates
    checks: list[Check]
    prompt_tokens: int
    completion_tokens: int
    fallback: bool  # a template, because the model's answer could not be used


@dataclasses.dataclass(kw_only=True, slots=True)
class Phrase:
    """One wording for one label."""

    phrase: str
    label: str
    cluster: str
    origin: str  # one of ORIGINS
    ancestors: list[str]  # clusters that contain this one, the same in each row of a cluster; never negatives for it
    near_misses: list[str]  # texts for what sounds alike and is another sound; the same in each row of a cluster


def known_clusters(soundscape: Soundscape) -> set[str]:
    """Clusters that can be heard in a soundscape, so far as anybody knows: its events' and its background's."""
    known = {cluster for event in soundscape.events for cluster in (event.cluster, *event.contains)}
    if soundscape.background is not None:
        known.update((soundscape.background.cluster, *soundscape.background.contains))
    return known


@functools.cache
def arrow_schema(record: type) -> pa.Schema:
    """The Parquet schema of a dataclass: not nullable unless the field admits None, list children named `element`."""
    return pa.schema(_arrow_fields(record))


def to_table(rows: Sequence[Any], record: type) -> pa.Table:
    """A table of dataclass instances, in the schema of their class."""
    arrays = [
        _array([getattr(row, field.name) for row in rows], hint, field.type)
        for field, hint in zip(arrow_schema(record), _hints(record).values(), strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=arrow_schema(record))


def _array(values: list[Any], hint: Any, arrow_type: pa.DataType) -> pa.Array:
    """Column by column: pyarrow's own way through dicts takes ten times as long."""
    inner, _ = _strip_none(hint)
    if dataclasses.is_dataclass(inner):
        missing = [value is None for value in values]
        children = [
            _array([None if value is None else getattr(value, name) for value in values], kind | None, field.type)
            for (name, kind), field in zip(_hints(typing.cast("type", inner)).items(), arrow_type, strict=True)
        ]
        mask = pa.array(missing) if any(missing) else None
        return pa.StructArray.from_arrays(children, fields=list(arrow_type), mask=mask)
    if typing.get_origin(inner) is list:
        ends = [0, *itertools.accumulate(len(value or ()) for value in values)]
        elements = list(itertools.chain.from_iterable(value or () for value in values))
        mask = pa.array([value is None for value in values]) if None in values else None
        return pa.ListArray.from_arrays(
            pa.array(ends, pa.int32()),
            _array(elements, typing.get_args(inner)[0], arrow_type.value_type),
            type=arrow_type,
            mask=mask,
        )
    return pa.array(values, arrow_type)


def from_table(table: pa.Table, record: type[Row]) -> list[Row]:
    """The rows of a table in the schema of their class; ValueError if one has a hole."""
    columns = (table[name].combine_chunks() for name in table.schema.names)
    return _instances(columns, typing.cast("type", record))


def _instances(columns: Iterable[pa.Array], record: type) -> list[Any]:
    hints = _hints(record)
    values = [_values(column, hint, name) for column, (name, hint) in zip(columns, hints.items(), strict=True)]
    rows: list[Any] = [object.__new__(record) for _ in values[0]]
    for name, found in zip(hints, values, strict=True):  # calling the class with each row takes twice the time
        collections.deque(map(getattr(record, name).__set__, rows, found), maxlen=0)
    return rows


def _values(array: pa.Array, hint: Any, name: str) -> list[Any]:
    """Column by column, as `_array`."""
    inner, nullable = _strip_none(hint)
    if array.null_count:
        if not nullable:
            raise ValueError(f"{name} is missing")
        there = array.is_valid()
        found = iter(_values(array.filter(there), inner, name))
        return [next(found) if valid else None for valid in there.to_pylist()]
    if dataclasses.is_dataclass(inner):
        return _instances(array.flatten(), typing.cast("type", inner))
    if typing.get_origin(inner) is list:
        elements = _values(array.flatten(), typing.get_args(inner)[0], name)
        ends = (array.offsets.to_numpy() - array.offsets[0].as_py()).tolist()
        return [elements[start:end] for start, end in itertools.pairwise(ends)]
    return typing.cast("list[Any]", array.to_pylist())


@functools.cache
def _hints(record: type) -> dict[str, Any]:
    return typing.get_type_hints(record)


def _arrow_fields(record: type) -> list[pa.Field]:
    return [_arrow_field(name, hint) for name, hint in _hints(record).items()]


def _arrow_field(name: str, hint: Any) -> pa.Field:
    inner, nullable = _strip_none(hint)
    return pa.field(name, _arrow_type(inner, nullable=nullable), nullable=nullable)


def _arrow_type(hint: Any, *, nullable: bool) -> pa.DataType:
    if dataclasses.is_dataclass(hint):
        fields = _arrow_fields(typing.cast("type", hint))
        # Arrow cannot cast a struct that is missing if its fields may not be: `from_row` looks at these instead
        return pa.struct([field.with_nullable(True) for field in fields] if nullable else fields)
    if typing.get_origin(hint) is list:
        return pa.list_(_arrow_field("element", typing.get_args(hint)[0]))
    if typing.get_origin(hint) is Literal:
        return pa.string()
    return {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}[hint]


def _strip_none(hint: Any) -> tuple[Any, bool]:
    if typing.get_origin(hint) not in (types.UnionType, typing.Union):
        return hint, False
    (inner,) = (arg for arg in typing.get_args(hint) if arg is not types.NoneType)
    return inner, True
