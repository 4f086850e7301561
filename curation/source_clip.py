"""The records that pass from the readers in curation/sources to the sound bank, and from the bank to the plan."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from manifests.schema import Stretch

Role = Literal["foreground", "background", "impulse_response"]
UNLABELLED = "unlabelled"  # label and cluster of what has none
FileRole = Role | Literal["either"]  # either: as its length is fit for, by curation.lengths


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFile:
    """One recording as a reader found it, not opened yet."""

    path: Path
    onset: float = 0.0  # seconds; of a longer recording only what is between the two is used
    offset: float | None = None  # None: to its end
    origin: str  # the path as the user knows it: relative to the SOURCE given; of a span with #t=ONSET,OFFSET
    role: FileRole
    label: str
    cluster: str  # labels that name one sound share it; `default_cluster(label)` where the corpus names none
    contains: tuple[str, ...] = ()  # other clusters that can be heard in it
    content_known: bool = True  # False: more may be heard, and nobody knows what
    group: str  # recordings that must stay on one side of a split
    split: str | None = None  # train | valid | test, where the corpus says
    licence: str = ""
    author: str = ""
    audioset_id: str = ""  # of the label, as /m/05tny_, where the corpus names one


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceClip:
    """One prepared clip: a row of BANK/sources.parquet. Positions are samples at the bank's rate."""

    source_id: str
    role: Role
    label: str
    cluster: str
    contains: list[str]
    content_known: bool
    group: str
    split: str
    licence: str
    author: str
    audioset_id: str  # of the label; empty where unknown
    origin: str
    origin_sample_rate: int
    origin_channels: int
    origin_start: int  # where the prepared clip begins, in samples of the original file
    pcm_shard: int  # BANK/pcm/00000.i16
    pcm_start: int  # first sample in that file
    measures_start: int  # the first of its values in BANK/measures/00000.f32
    measures_sizes: list[int]  # of each part of curation.measures.Measures, in its order
    num_samples: int
    duration: float
    gain_db: float  # what preparing multiplied the recording by, so that its peak is at PEAK_DBFS
    lufs: float  # of the prepared clip, by curation.loudness
    activity: list[Stretch]  # seconds from the start of the prepared clip, relative to its own loudest moment
    warnings: list[str]
