"""A dataset as the Hugging Face hub shows it: audio, captions and phrases in one table, in files for each split.

OUT/data/SPLIT-00000-of-00003.parquet  ExportedRow with its audio; whole under its name, or not there
OUT/README.md, OUT/ATTRIBUTION.md      the dataset's card, with what the hub must know
OUT/export.json                        what it was made of: another dataset or other captions are refused

The columns audio_id, audio, caption and phrases are those of FineLAP-100k; `flam-cli import finelap` reads them again.
"""

import json
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curation.card import lines_of_table
from curation.wording import wording
from manifests import digest
from manifests.audio import AudioError, Recording, encoded, probe
from manifests.captions import caption_texts, event_phrases
from manifests.embedded import AUDIO, COLUMN, with_audio
from manifests.errors import FlamError
from manifests.progress import progress
from manifests.schema import SPLITS, Event, Soundscape, arrow_schema, to_table
from manifests.store import DatasetFolder, claim, read_table, replacing

# What the hub calls a split
SPLIT_NAMES = {"train": "train", "valid": "validation", "test": "test"}
_FILE_BYTES = 300 << 20  # of samples: the hub asks for files of some hundred megabytes
_GROUP_BYTES = 32 << 20  # a row group: what its viewer loads to show one row


@dataclass(kw_only=True, slots=True)
class Segment:
    """When a phrase is heard, in seconds."""

    start: float
    end: float


@dataclass(kw_only=True, slots=True)
class ExportedPhrase:
    """One event in words."""

    phrase: str
    segments: list[Segment]  # measured activity
    original_clip_id: str | None  # the file that the sound was taken from
    label: str
    cluster: str


@dataclass(kw_only=True, slots=True)
class ExportedRow:
    """One soundscape. Its audio stands beside it, in the column `audio`."""

    audio_id: str
    caption: str | None  # one of `captions`
    captions: list[str]  # of the chosen sets, in their order
    phrases: list[ExportedPhrase]
    background: str | None  # label
    duration: float  # seconds
    annotation: str  # closed: every sound is listed; open: these and perhaps more; none: nothing is known
    licences: list[str]


@dataclass(kw_only=True, slots=True)
class ExportReport:
    """What is there now."""

    splits: Counter[str] = field(default_factory=Counter)  # soundscapes
    num_files: int = 0
    num_bytes: int = 0
    num_without_caption: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class _File:
    """A file to be, and the soundscapes that go into it: of its split, from `first` on."""

    path: Path
    split: str
    num: int


def export(folder: DatasetFolder, out: Path, *, captions: str) -> ExportReport:
    """Write the dataset to `out`, or what is missing there. Raises FlamError for audio that isn't what its row says.

    Audio files are taken as they are; what is rendered or lies in shards becomes FLAC, without loss. A soundscape of
    several captions has all of them, and one as `caption`: which one depends on its id alone, so that sets are mixed in
    equal shares.

    Args:
        folder: the dataset.
        out: a new folder, or one of the same export.
        captions: names of caption sets, each perhaps with a style: "template", "template,qwen3", "qwen3/terse".
    """
    words = _Words(folder, captions)
    lengths, checksum = _measured(folder)
    made_of = {"captions": captions, "captions_crc32": words.checksum, "soundscapes_crc32": checksum}
    claim(out / "export.json", made_of, differs=f"delete {out}, or export to another folder")
    files = [file for split in SPLITS for file in _files(out / "data", split, lengths[split])]
    report = ExportReport(splits=Counter({split: len(lengths[split]) for split in SPLITS if lengths[split]}))
    there = [file for file in files if file.path.exists()]
    with progress("export", report.splits.total(), done=sum(file.num for file in there)) as advance:
        unfinished = {file.split for file in files if file not in there}
        for split in (split for split in SPLITS if split in unfinished):
            rows = (row for row in folder.soundscapes() if row.split == split)
            for file in (file for file in files if file.split == split):
                chosen = islice(rows, file.num)
                if file in there:
                    for _ in chosen:
                        pass
                else:
                    _write(file.path, chosen, folder, words, advance)
    report.num_files = len(files)
    report.num_bytes = sum(file.path.stat().st_size for file in files)
    report.num_without_caption = report.splits.total() - words.num_captioned
    _write_card(folder, out, report, captions)
    return report


class _Words:
    """The texts of the chosen caption sets."""

    def __init__(self, folder: DatasetFolder, choice: str) -> None:
        self._captions: dict[str, list[str]] = defaultdict(list)
        for soundscape_id, text in caption_texts(folder, choice):
            self._captions[soundscape_id].append(text)
        self._phrases = {(key, cluster): text for key, cluster, text in event_phrases(folder, choice)}
        everything = json.dumps([list(self._captions.items()), list(self._phrases.items())])
        self.checksum = zlib.crc32(everything.encode())
        self.num_captioned = len(self._captions)

    def row(self, soundscape: Soundscape) -> ExportedRow:
        """A soundscape in words."""
        captions = self._captions.get(soundscape.soundscape_id, [])
        chosen = zlib.crc32(soundscape.soundscape_id.encode()) % max(len(captions), 1)
        return ExportedRow(
            audio_id=soundscape.soundscape_id,
            caption=captions[chosen] if captions else None,
            captions=captions,
            phrases=[self._phrase(soundscape, event) for event in soundscape.events],
            background=None if soundscape.background is None else soundscape.background.label,
            duration=soundscape.duration,
            annotation=soundscape.annotation,
            licences=soundscape.licences,
        )

    def _phrase(self, soundscape: Soundscape, event: Event) -> ExportedPhrase:
        own = self._phrases.get((soundscape.soundscape_id, event.cluster))
        return ExportedPhrase(
            phrase=wording(event.label).words if own is None else own,
            segments=[Segment(start=stretch.onset, end=stretch.offset) for stretch in event.activity],
            original_clip_id=event.origin,
            label=event.label,
            cluster=event.cluster,
        )


def _measured(folder: DatasetFolder) -> tuple[dict[str, list[int]], list[int]]:
    """Bytes of samples of each soundscape by split, and a checksum of every shard."""
    lengths: dict[str, list[int]] = {split: [] for split in SPLITS}
    checksums = []
    for path in folder.soundscape_shards():
        table = read_table(path, Soundscape)
        checksums.append(digest.checksum(table))
        for split, num_samples in zip(table["split"].to_pylist(), table["num_samples"].to_pylist(), strict=True):
            if split not in lengths:
                raise FlamError(f"{path}: split {split!r} is none of {', '.join(SPLITS)}; run `flam-cli validate`")
            lengths[split].append(2 * num_samples)
    return lengths, checksums


def _files(folder: Path, split: str, lengths: Sequence[int]) -> Iterator[_File]:
    """As many files as are needed, of about the same number of soundscapes each."""
    num_files = -(-sum(lengths) // _FILE_BYTES)
    ends = [index * len(lengths) // max(num_files, 1) for index in range(num_files + 1)]
    for index in range(num_files):
        path = folder / f"{SPLIT_NAMES[split]}-{index:05d}-of-{num_files:05d}.parquet"
        yield _File(path=path, split=split, num=ends[index + 1] - ends[index])


def _write(
    path: Path, soundscapes: Iterable[Soundscape], folder: DatasetFolder, words: _Words, advance: Callable[..., None]
) -> None:
    schema = with_audio(arrow_schema(ExportedRow))
    rows: list[ExportedRow] = []
    sounds: list[dict[str, Any]] = []

    with replacing(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:

        def write_group() -> None:
            table = to_table(rows, ExportedRow).append_column(pa.field(COLUMN, AUDIO), pa.array(sounds, AUDIO))
            writer.write_table(table.replace_schema_metadata(schema.metadata), row_group_size=len(rows))
            rows.clear()
            sounds.clear()

        for soundscape in soundscapes:
            rows.append(words.row(soundscape))
            sounds.append(_audio(folder, soundscape))
            advance()
            if sum(len(sound["bytes"]) for sound in sounds) >= _GROUP_BYTES:
                write_group()
        if rows:
            write_group()


def _audio(folder: DatasetFolder, soundscape: Soundscape) -> dict[str, Any]:
    """A value of the audio column."""
    source = folder.audio(soundscape)
    if isinstance(source, Recording):
        return {"bytes": encoded(source, "flac"), "path": f"{soundscape.soundscape_id}.flac"}
    sample_rate, _, duration = probe(source)
    if round(duration * sample_rate) != soundscape.num_samples:
        raise AudioError(source, "is not as long as its row says; run `flam-cli validate` on the dataset")
    return {"bytes": source.read_bytes(), "path": f"{soundscape.soundscape_id}{source.suffix}"}


def _write_card(folder: DatasetFolder, out: Path, report: ExportReport, captions: str) -> None:
    """The dataset's own, with other files named and other columns."""
    files = [
        line
        for split in SPLITS
        if split in report.splits
        for line in (f"  - split: {SPLIT_NAMES[split]}", f"    path: data/{SPLIT_NAMES[split]}-*.parquet")
    ]
    front = ["---", "license: other", "configs:", "- config_name: default", "  data_files:", *files, "---", ""]
    own = folder.root / "README.md"
    body = own.read_text("utf-8").split("\n") if own.is_file() else []
    if body[:1] == ["---"] and "---" in body[1:]:
        body = body[body.index("---", 1) + 1 :]
    rows = [
        ("audio_id", "name of the soundscape"),
        ("audio", "its sound"),
        ("caption", f"a text about the whole, of caption sets {captions}"),
        ("captions", "all of its texts"),
        ("phrases", "each event: phrase, segments (start and end in seconds), the file it was taken from, its label"),
        ("background", "label of what plays all through"),
        ("annotation", "closed: every sound is listed; open: there may be more; none: nothing is known"),
        ("licences", "of its sources"),
    ]
    lines = [*front, *body, "## Columns", "", *lines_of_table(("column", "holds"), rows)]
    with replacing(out / "README.md") as temporary:
        temporary.write_text("\n".join(lines) + "\n", "utf-8")
    attribution = folder.root / "ATTRIBUTION.md"
    if attribution.is_file():
        with replacing(out / "ATTRIBUTION.md") as temporary:
            temporary.write_bytes(attribution.read_bytes())
