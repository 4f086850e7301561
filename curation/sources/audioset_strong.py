"""AudioSet with strong labels: tables of events as Google publishes them, and the recordings, fetched from YouTube.

Of every event the spans are taken in which, by the tables, nothing else sounds; each becomes one source.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from curation.source_clip import SourceFile
from curation.sources.listing import Listing, Reject, default_cluster, sound_files_below, visible
from curation.sources.table import TableRow, read_csv
from manifests.errors import FlamError
from manifests.schema import Split

LICENCE = "unknown: the uploader's, of a YouTube video"
AUTHOR = "the uploader of YouTube video {}; its labels: AudioSet (Google), CC BY 4.0"
GUARD = 0.1  # seconds between a span and a neighbour: hands set the onsets
SHORTEST_PART = 0.25  # seconds; less of an event is left out. A whole event may be shorter
COLUMNS = ("segment_id", "start_time_seconds", "end_time_seconds", "label")
_SEGMENT = re.compile(r"(?P<video>.+)_(?P<start_ms>[0-9]+)")
_SEGMENT_MS = 10_000
_LIST = re.compile(r", (and )?")  # FSD50K writes "Gull, seagull" as Gull_and_seagull: one cluster for both
SPLITS: dict[str, Split] = {"eval": "test", "train": "train"}  # by a word in the table's name

Span = tuple[float, float]  # onset and offset, seconds from the start of the file


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """A row of a table; seconds from the start of the segment."""

    onset: float
    offset: float
    audioset_id: str


@dataclass(kw_only=True, slots=True)
class _Segment:
    """Ten seconds of a video, and what the tables say of them."""

    video: str
    path: Path | None  # None: nobody fetched it, or it is gone from YouTube
    split: str | None = None
    events: set[Event] = field(default_factory=set)


def recognises(root: Path) -> bool:
    """Whether a folder has this layout: a table of segments lies in it, or in a folder of it."""
    return any(True for _ in tables(root))


def read(root: Path) -> Listing:
    """Every event, or part of one, that is alone, grouped by video.

    A recording is found by its name, in whatever folder: its segment_id, `segment_id`_END in milliseconds, the
    YouTube id followed by _START-END or _START_END in seconds, or only that id, each with a Y before it or without.
    It holds the segment's ten seconds. `contains` is empty: what else the tables name in a recording lies outside
    the span. Tables with eval in their name are for testing, those with train for training.
    """
    root = root.resolve()
    names = display_names(root)
    files: dict[str, Path] = {}
    for path in sound_files_below(root):
        files.setdefault(path.stem, path)
    segments: dict[str, _Segment] = {}
    for table in tables(root):
        _read_table(table, segments, names=names, files=files)
    listing = Listing(name=root.name, layout="audioset_strong")
    users = defaultdict(list)
    tested = {segment.video for segment in segments.values() if segment.split == "test"}
    for name in sorted(segments):
        users[segments[name].path].append(name)
    for segment in segments.values():
        segment.split = "test" if segment.video in tested else segment.split
    if not any(users):
        raise FlamError(f"no recording of {next(tables(root))} is in {root}; name each by its segment_id or YouTube id")
    for name in sorted(segments):
        _add(listing, root, name, segments[name], names=names, shared=len(users[segments[name].path]) > 1)
    return listing


def alone(events: Sequence[Event]) -> Iterator[tuple[Event, Span]]:
    """The spans of each event that keep a distance of GUARD to all other events."""
    for event in events:
        spans = [(event.onset, event.offset)]
        for other in events:
            if other is not event:
                spans = [part for span in spans for part in _without(span, other.onset - GUARD, other.offset + GUARD)]
        whole = spans == [(event.onset, event.offset)]
        yield from ((event, span) for span in spans if whole or span[1] - span[0] >= SHORTEST_PART)


def _without(span: Span, start: float, end: float) -> list[Span]:
    onset, offset = span
    parts = [(onset, min(offset, start)), (max(onset, end), offset)]
    return [(low, high) for low, high in parts if low < high] if start < offset and onset < end else [span]


def _add(listing: Listing, root: Path, name: str, segment: _Segment, *, names: Mapping[str, str], shared: bool) -> None:
    if segment.path is None:
        listing.rejects.append(Reject(origin=name, reason="no recording of this segment", detail="", bad=False))
        return
    origin = segment.path.relative_to(root).as_posix()
    if shared:
        detail = f"{origin} is named by a video of which there are several segments"
        listing.rejects.append(Reject(origin=name, reason="no telling which segment it is", detail=detail))
        return
    if listing.refuses(segment.path, origin=origin, root=root):
        return
    spans = list(alone(sorted(segment.events)))
    if not spans:
        listing.rejects.append(Reject(origin=origin, reason="no event is alone in it", detail="", bad=False))
    for event, (onset, offset) in spans:
        label = names[event.audioset_id]
        file = SourceFile(
            path=segment.path,
            origin=f"{origin}#t={onset:.3f},{offset:.3f}",
            onset=onset,
            offset=offset,
            role="foreground",
            label=label,
            cluster=cluster_of(label),
            group=f"youtube:{segment.video}",
            split=segment.split,
            licence=LICENCE,
            author=AUTHOR.format(segment.video),
            audioset_id=event.audioset_id,
        )
        listing.files.append(file)


def _read_table(
    table: Path, segments: dict[str, _Segment], *, names: Mapping[str, str], files: Mapping[str, Path]
) -> None:
    """Add the events of one table; of segments without a recording only that they were named."""
    side = next((side for word, side in SPLITS.items() if word in table.name.lower()), None)
    for row in read_csv(table, required=COLUMNS, delimiter="\t"):
        name = row["segment_id"]
        if name not in segments:
            video, start_ms = video_and_start(row)
            segments[name] = _Segment(video=video, path=recording_of(files, video, start_ms))
        segment = segments[name]
        segment.split = "test" if "test" in (side, segment.split) else side or segment.split
        event = event_of(row, names)
        if segment.path is not None:
            segment.events.add(event)


def event_of(row: TableRow, names: Mapping[str, str]) -> Event:
    """The event of a row, its label checked; raises FlamError."""
    onset, offset = row.span("start_time_seconds", "end_time_seconds")
    if row["label"] not in names:
        raise FlamError(f"{row.place}: label {row['label']!r} is not in the table of display names; use AudioSet's own")
    return Event(onset, offset, row["label"])


def cluster_of(label: str) -> str:
    """The cluster of a display name."""
    return default_cluster(_LIST.sub(" and ", label))


def video_and_start(row: TableRow) -> tuple[str, int]:
    """The YouTube id and the start in milliseconds that a segment_id is made of; raises FlamError."""
    found = _SEGMENT.fullmatch(row["segment_id"])
    if not found:
        raise FlamError(f"{row.place}: segment_id {row['segment_id']!r} is not a YouTube id, _ and a start in ms")
    return found["video"], int(found["start_ms"])


def recording_of(files: Mapping[str, Path], video: str, start_ms: int) -> Path | None:
    """The recording of a segment among files by their stem, in any of the ways in which they are named."""
    end_ms = start_ms + _SEGMENT_MS
    seconds = [
        f"{video}_{form}".format(start_ms / 1000, end_ms / 1000)
        for number in ("{:g}", "{:.1f}", "{:.3f}")
        for form in (f"{number}-{number}", f"{number}_{number}")
    ]
    for name in (f"{video}_{start_ms}", f"{video}_{start_ms}_{end_ms}", *seconds, video):
        for start in ("", "Y"):
            if start + name in files:
                return files[start + name]
    return None


def display_names(root: Path) -> Mapping[str, str]:
    """The display name of each AudioSet id, by either of the two tables that AudioSet has of them."""
    for folder in _folders(root):
        path = folder / "mid_to_display_name.tsv"
        if path.is_file():
            rows = read_csv(path, required=("mid", "display_name"), delimiter="\t", header=("mid", "display_name"))
            return {row["mid"]: row["display_name"] for row in rows}
        path = folder / "class_labels_indices.csv"
        if path.is_file():
            return {row["mid"]: row["display_name"] for row in read_csv(path, required=("mid", "display_name"))}
    raise FlamError(f"{root} has no mid_to_display_name.tsv, which names AudioSet's labels; put it beside the table")


def tables(root: Path) -> Iterator[Path]:
    """The tables of strong labels in a folder and the folders in it."""
    for folder in _folders(root):
        for path in visible(folder):
            if path.suffix == ".tsv" and path.is_file():
                with path.open("rb") as file:
                    header = file.readline(1000).removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").split("\t")
                columns = {name.strip() for name in header}
                if columns >= set(COLUMNS) and "present" not in columns:  # that of frames has what is absent, too
                    yield path


def _folders(root: Path) -> list[Path]:
    return [root, *(path for path in visible(root) if path.is_dir() and not path.is_symlink())]
