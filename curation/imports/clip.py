"""What a reader of a published set gives back: its clips, of which no recording was opened yet."""

from dataclasses import dataclass, field
from pathlib import Path

from curation.imports.parquet import Embedded
from manifests.schema import Annotation, Split


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledSpan:
    """A sound of a clip; seconds from its start."""

    label: str
    onset: float = 0.0
    offset: float | None = None  # None: at the clip's end
    cluster: str = ""  # empty: made of the label


@dataclass(kw_only=True, slots=True)
class Clip:
    """One recording of a set with all that the set says of it."""

    name: str  # by which the set knows it
    recording: Path | Embedded | str  # the file, or why there is none
    split: Split | None  # None: the set has no splits
    annotation: Annotation
    spans: list[LabelledSpan] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    licence: str = ""  # of the recording, if the set says it
    author: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedSet:
    """All of its clips, and what the user should know of the rest."""

    clips: list[Clip]
    notes: list[str] = field(default_factory=list)  # a line each
