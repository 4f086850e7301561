"""Every rule that a dataset must meet, checked row by row in memory that does not grow with the audio."""

import dataclasses
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from manifests.errors import FlamError
from manifests.progress import progress
from manifests.schema import SCHEMA_VERSION, SPLITS, Annotation, Background, Caption, Event, Phrase, Row, Soundscape
from manifests.store import DatasetFolder, Render, inside, read_json, read_rows
from manifests.validate_audio import check_samples
from manifests.validate_phrases import check_phrases

_ANNOTATIONS: tuple[Annotation, ...] = ("closed", "open", "none")
_TOLERANCE_SECONDS = 1e-6  # times may have been written with 6 decimals
_MAX_KEPT = 1000
_FLOOR_LUFS = -70.0  # what silence measures, and BS.1770's absolute gate
_TOLERANCE_LU = 1.0
_GATED_LU = 10.0  # by which a gain may change loudness besides, as fainter blocks fall below that gate or rise above it


@dataclasses.dataclass(frozen=True, kw_only=True)
class Problem:
    """One broken rule: where, in which row and field, and what is wrong."""

    where: str  # file, relative to the dataset
    row: str  # soundscape_id, phrase, or empty
    field: str
    what: str

    def __str__(self) -> str:
        """One line for a user."""
        return " ".join(f"{self.where}: {self.row} {self.field}: {self.what}".split())


class Problems(list[Problem]):
    """The first thousand problems; `num_found` counts all."""

    num_found = 0

    def note(self, found: Iterable[Problem]) -> None:
        """Count problems, and keep them while there is room."""
        for problem in found:
            self.num_found += 1
            if len(self) < _MAX_KEPT:
                self.append(problem)


_Finding = tuple[str, str]  # field, what


def validate(root: Path, *, read_audio: bool = False, render: Render | None = None) -> Problems:
    """All broken rules of a dataset; empty if it is sound. Raises FlamError if `root` holds no dataset at all.

    Args:
        root: the dataset folder.
        read_audio: read all audio, not only look that it is there.
        render: makes the audio of soundscapes that have none on disk.
    """
    folder = DatasetFolder.open(root, render=render)
    problems = Problems()
    problems.note(_check_info(folder))
    problems.note(_check_sequence(folder, "soundscapes", folder.soundscape_shards()))
    tables = _Tables(folder, problems, read_audio=read_audio)
    shards = folder.soundscape_shards()
    with progress("validate", len(shards)) as advance:
        for path in shards:
            tables.check_soundscapes(path)
            advance()
    for name in folder.caption_sets():
        problems.note(_check_sequence(folder, f"captions/{name}", folder.caption_shards(name)))
        tables.check_captions(name)
    tables.check_phrases()
    tables.check_orphans()
    return problems


class _Tables:
    """What has to be remembered from one row to the next."""

    def __init__(self, folder: DatasetFolder, problems: Problems, *, read_audio: bool) -> None:
        self.folder, self.problems, self.read_audio = folder, problems, read_audio
        self.ids: set[str] = set()
        self.audio_paths: set[str] = set()
        self.split_of: dict[str, str] = {}  # by source
        self.clusters: set[str] = set()
        self.settings = _settings(folder)
        self.is_virtual = folder.is_virtual()
        self.all_rows_read = True

    def check_soundscapes(self, path: Path) -> None:
        for row in self._rows(path, Soundscape):
            findings = [*check_soundscape(row), *self._check_across(row)]
            findings += self._check_audio(row)
            self._note(path, row.soundscape_id, findings)

    def check_captions(self, name: str) -> None:
        seen: set[tuple[str, str, str]] = set()
        for path in self.folder.caption_shards(name):
            for caption in self._rows(path, Caption):
                findings = list(check_caption(caption))
                if self.all_rows_read and caption.soundscape_id not in self.ids:
                    findings.append(("soundscape_id", "no soundscape has this id"))
                if (key := (caption.soundscape_id, caption.style, caption.cluster)) in seen:
                    findings.append(("style", f"a second caption of style {caption.style!r} for this soundscape"))
                seen.add(key)
                self._note(path, caption.soundscape_id, findings)

    def check_phrases(self) -> None:
        path = self.folder.phrases_path
        if not path.exists():
            return
        phrases = self._rows(path, Phrase)
        for phrase, findings in check_phrases(phrases):
            self._note(path, phrase.phrase, findings)
        for cluster in sorted(self.clusters - {phrase.cluster for phrase in phrases}):
            self._note(path, cluster, [("cluster", "events have this cluster, but it has no phrase")])

    def check_orphans(self) -> None:
        """Audio that no row names; not reported if a shard could not be read, since its rows might."""
        if not self.all_rows_read:
            return
        folder = self.folder.root / "audio"
        for path in sorted(folder.rglob("*")):
            relative = path.relative_to(self.folder.root).as_posix()
            hidden = any(part.startswith(".") for part in PurePosixPath(relative).parts)
            if path.is_file() and not hidden and relative not in self.audio_paths:
                self._note(path, "", [("audio_path", "no row names this file")])

    def _check_across(self, row: Soundscape) -> Iterator[_Finding]:
        for field, wanted in self.settings.items():
            if getattr(row, field) != wanted:
                yield field, f"{getattr(row, field)!r}, but {self.folder.info_path.name} says {wanted!r}"
        if row.soundscape_id in self.ids:
            yield "soundscape_id", "occurs twice"
        self.ids.add(row.soundscape_id)
        if row.audio_path in self.audio_paths and not row.audio_path.endswith(".parquet"):
            yield "audio_path", f"{row.audio_path} is the audio of another soundscape too"
        self.audio_paths.add(row.audio_path)
        self.clusters.update(event.cluster for event in row.events)
        for source in _source_ids(row):
            other = self.split_of.setdefault(source, row.split)
            if other != row.split:
                yield "split", f"source {source!r} is in split {other} and in {row.split}"

    def _check_audio(self, row: Soundscape) -> Iterator[_Finding]:
        try:
            path = inside(self.folder.root, row.audio_path, what="the path")
        except FlamError as error:
            yield "audio_path", str(error)
            return
        there = os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises on a name that is too long
        if not there and not self.is_virtual:
            yield "audio_path", f"{row.audio_path} is missing"
        elif self.read_audio and (there or self.folder.render is not None):
            try:
                source = self.folder.audio(row)
            except FlamError as error:
                yield "audio", str(error)
                return
            yield from (("audio", what) for what in check_samples(source, row))

    def _rows(self, path: Path, record: type[Row]) -> list[Row]:
        try:
            rows = read_rows(path, record)
        except FlamError as error:
            self.all_rows_read = self.all_rows_read and record is not Soundscape
            self._note(path, "", [("file", str(error))])
            return []
        if not rows:
            self._note(path, "", [("file", "holds no rows; delete it and run its stage again")])
        return rows

    def _note(self, path: Path, row: str, findings: Iterable[_Finding]) -> None:
        where = path.relative_to(self.folder.root).as_posix()
        self.problems.note(Problem(where=where, row=row, field=field, what=what) for field, what in findings)


def check_soundscape(row: Soundscape) -> Iterator[_Finding]:
    """The rules that one row can break by itself, as (field, what is wrong)."""
    if row.schema_version != SCHEMA_VERSION:
        yield "schema_version", f"{row.schema_version}, this flam-cli reads {SCHEMA_VERSION}"
    if not row.soundscape_id.strip():
        yield "soundscape_id", "is empty"
    if row.split not in SPLITS:
        yield "split", f"{row.split!r} is none of {', '.join(SPLITS)}"
    if row.annotation not in _ANNOTATIONS:
        yield "annotation", f"{row.annotation!r} is none of {', '.join(_ANNOTATIONS)}"
    if row.sample_rate <= 0 or row.num_samples <= 0:
        yield "num_samples", f"{row.num_samples} samples at {row.sample_rate} Hz is no sound"
    elif not abs(row.duration - row.num_samples / row.sample_rate) <= _TOLERANCE_SECONDS:
        yield "duration", f"{row.duration:g} s, but {row.num_samples} samples at {row.sample_rate} Hz are not"
    yield from _check_mixture(row)
    for index, event in enumerate(row.events):
        yield from ((f"events[{index}].{field}", what) for field, what in _check_event(event, row))
    if row.background is not None:
        yield from ((f"background.{field}", what) for field, what in _check_background(row.background, row))
    if row.room is not None and not 0 < row.room.rt60 < math.inf:
        yield "room.rt60", f"{row.room.rt60} s is no time"
    if row.microphone is not None and not 0 <= row.microphone.low_hz < row.microphone.high_hz:
        yield "microphone", f"{row.microphone.low_hz:g} to {row.microphone.high_hz:g} Hz is no pass band"
    yield from _check_licences(row)


def _check_mixture(row: Soundscape) -> Iterator[_Finding]:
    if row.mix_gain_db is not None and not math.isfinite(row.mix_gain_db):
        yield "mix_gain_db", f"{row.mix_gain_db} is no number"
    for field in ("num_inaudible", "num_masked"):
        if (getattr(row, field) or 0) < 0:
            yield field, f"{getattr(row, field)} is no count"


def _check_event(event: Event, row: Soundscape) -> Iterator[_Finding]:
    yield from _check_names(event)
    yield from _check_finite(event, ("target_snr_db", "snr_db", "gain_db", "pitch_semitones", "tilt_db"))
    if event.time_stretch is not None and not 0 < event.time_stretch < math.inf:
        yield "time_stretch", f"{event.time_stretch} is no factor of a duration"
    if not (math.isfinite(event.onset) and math.isfinite(event.offset)):
        yield "onset", f"{event.onset} to {event.offset} is no time"
        return
    if not 0 <= event.onset < event.offset <= row.duration + _TOLERANCE_SECONDS:
        yield "onset", f"{event.onset:g} to {event.offset:g} s is not a span inside 0 to {row.duration:g} s"
    yield from _check_samples_of_event(event, row)
    yield from _check_activity(event)


def _check_samples_of_event(event: Event, row: Soundscape) -> Iterator[_Finding]:
    if event.start is None or event.num_samples is None:
        if (event.start is None) != (event.num_samples is None):
            yield "start", "start and num_samples are known both or not at all"
        return
    if not 0 <= event.start < event.start + event.num_samples <= row.num_samples:
        yield "start", f"{event.num_samples} samples from {event.start} are not inside {row.num_samples}"
    end = event.start + event.num_samples
    for field, seconds, position in (("onset", event.onset, event.start), ("offset", event.offset, end)):
        if abs(seconds * row.sample_rate - position) > 0.5:
            yield field, f"{seconds:g} s is not sample {position} at {row.sample_rate} Hz"


def _check_activity(event: Event) -> Iterator[_Finding]:
    if not event.activity:
        yield "activity", "is empty: the event would sound nowhere"
    before = event.onset - _TOLERANCE_SECONDS
    for index, stretch in enumerate(event.activity):
        span = f"{stretch.onset:g} to {stretch.offset:g} s"
        if not stretch.onset < stretch.offset:  # NaN too
            yield "activity", f"{span} is no span"
        elif stretch.onset < before:
            yield "activity", f"{span} begins before its event" if index == 0 else f"{span} is not after the one before"
        elif stretch.offset > event.offset + _TOLERANCE_SECONDS:
            yield "activity", f"{span} ends after its event, at {event.offset:g} s"
        if stretch.audible_db is not None and not math.isfinite(stretch.audible_db):
            yield "activity", f"{stretch.audible_db} dB audible is no number"
        before = stretch.offset


def _check_background(background: Background, row: Soundscape) -> Iterator[_Finding]:
    yield from _check_names(background)
    yield from _check_finite(background, ("target_lufs", "lufs", "gain_db"))
    if what := off_target(background, row.mix_gain_db or 0.0):
        yield "lufs", what
    known = {background.cluster, *background.contains}
    for cluster in sorted({event.cluster for event in row.events} & known):
        yield "contains", f"holds {cluster!r}, which is also an event: its times cannot be known"


def _check_names(record: Event | Background) -> Iterator[_Finding]:
    for field in ("label", "cluster"):
        if not getattr(record, field).strip():
            yield field, "is empty"
    if not all(cluster.strip() for cluster in record.contains):
        yield "contains", "names an empty cluster"
    for field in ("source_start", "origin_start"):
        position = getattr(record, field)
        if position is not None and position < 0:
            yield field, f"{position} is before the start of its file"


def _check_finite(record: Event | Background, fields: tuple[str, ...]) -> Iterator[_Finding]:
    for field in fields:
        value = getattr(record, field)
        if value is not None and not math.isfinite(value):
            yield field, f"{value} is no number"


def _check_licences(row: Soundscape) -> Iterator[_Finding]:
    sources = [source for source in (*row.events, row.background, row.room) if source is not None]
    wanted = sorted({source.licence for source in sources if source.licence})  # where one is known
    if row.licences != wanted:
        yield "licences", f"{row.licences}, but its sources have {wanted}"


def off_target(background: Background, mix_gain_db: float) -> str:
    """What is wrong with a background's measured loudness, if it is not the one that it was set to; else empty.

    One that had nothing to be amplified is too quiet. Of one with pauses, attenuated, the absolute gate leaves out
    blocks that counted before, and the rest measures louder than all did; amplified, it is the other way round.
    """
    expected = max(background.target_lufs + mix_gain_db, _FLOOR_LUFS)
    excess, gain = background.lufs - expected, background.gain_db + mix_gain_db
    most = _GATED_LU if gain < 0 else _TOLERANCE_LU
    least = -_GATED_LU if gain > 0 and background.lufs > _FLOOR_LUFS else -_TOLERANCE_LU
    if not math.isfinite(excess) or least <= excess <= most:
        return ""  # what is no number is told by itself
    return f"measures {background.lufs:.1f} LUFS, not {expected:.1f}"


def _source_ids(row: Soundscape) -> set[str]:
    sources = (source for source in (*row.events, row.background, row.room) if source is not None)
    return {source.source_id for source in sources if source.source_id is not None}


def check_caption(caption: Caption) -> Iterator[_Finding]:
    """The rules that one caption can break by itself, as (field, what is wrong)."""
    if not caption.text.strip():
        yield "text", "is empty"
    elif caption.text != caption.text.strip() or len(caption.text.splitlines()) != 1:
        yield "text", "is not one line without spaces around it"
    if not caption.style.strip():
        yield "style", "is empty"
    for field in ("prompt_tokens", "completion_tokens"):
        if getattr(caption, field) < 0:
            yield field, "is negative"


def _check_info(folder: DatasetFolder) -> Iterator[Problem]:
    try:
        info = read_json(folder.info_path)
    except FlamError as error:
        yield Problem(where=folder.info_path.name, row="", field="file", what=str(error))
        return
    if not isinstance(info, dict):
        yield Problem(where=folder.info_path.name, row="", field="file", what="is no JSON object")
        return
    version = info.get("schema_version", SCHEMA_VERSION)  # the rows have it too
    if version != SCHEMA_VERSION:
        what = f"{version}, this flam-cli reads {SCHEMA_VERSION}"
        yield Problem(where=folder.info_path.name, row="", field="schema_version", what=what)


def _settings(folder: DatasetFolder) -> dict[str, Any]:
    """What dataset.json says of every row, so far as it says anything."""
    try:
        info = read_json(folder.info_path)
    except FlamError:  # _check_info tells it
        return {}
    if not isinstance(info, dict):
        return {}
    settings = {field: info[field] for field in ("seed", "engine", "sample_rate") if field in info}
    recipe = info.get("recipe")
    return {**settings, "recipe": recipe["name"]} if isinstance(recipe, dict) and "name" in recipe else settings


def _check_sequence(folder: DatasetFolder, where: str, shards: list[Path]) -> Iterator[Problem]:
    """Shards are numbered from 0 without gaps: one that is absent was deleted, or its stage was interrupted."""
    there = {int(path.stem) for path in shards}
    for index in sorted(set(range(max(there, default=-1) + 1)) - there):
        name = folder.soundscape_shard(index).name
        yield Problem(where=f"{where}/{name}", row="", field="file", what="is missing; run its stage again")
