"""The dataset card: README.md, and ATTRIBUTION.md with the author and licence of every source that was used."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests.schema import Soundscape
from manifests.store import DatasetFolder, read_json, read_table, replacing

_UNKNOWN = "not stated"
_OF_SOURCES = ("source_id", "origin", "licence", "author")


@dataclass(kw_only=True, slots=True)
class _Contents:
    seconds: float = 0.0
    splits: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)  # events of each
    open: int = 0  # soundscapes of which not every sound is known
    sources: pa.Table  # one row each, columns _OF_SOURCES


def write_card(folder: DatasetFolder) -> None:
    """Write both files from the dataset's rows."""
    contents = _read(folder)
    info = read_json(folder.info_path)
    for name, lines in (("README.md", _lines(info, contents)), ("ATTRIBUTION.md", _attribution(contents))):
        with replacing(folder.root / name) as path:
            path.write_text("\n".join(lines) + "\n", "utf-8")


def _read(folder: DatasetFolder) -> _Contents:
    """One shard after another; of the sources each is kept once."""
    schema = pa.schema([(name, pa.string()) for name in _OF_SOURCES])
    contents = _Contents(sources=schema.empty_table())
    for path in folder.soundscape_shards():
        table = read_table(path, Soundscape).combine_chunks()
        contents.seconds += pc.sum(table["duration"]).as_py() or 0.0
        contents.splits.update(_counts(table["split"]))
        contents.open += sum(count for name, count in _counts(table["annotation"]).items() if name != "closed")
        events = pc.list_flatten(table["events"])
        contents.labels.update(_counts(pc.struct_field(events, "label")))
        found = [
            pa.table([pc.struct_field(sounds, name) for name in _OF_SOURCES], schema=schema)
            for sounds in (events, pc.drop_null(table["background"]), pc.drop_null(table["room"]))
        ]
        contents.sources = _unique(pa.concat_tables([contents.sources, *found]))
    known = pc.is_valid(contents.sources["source_id"])  # a synthetic room has no source
    contents.sources = contents.sources.filter(known)
    return contents


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    counted = pc.value_counts(column)
    return dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True))


def _unique(table: pa.Table) -> pa.Table:
    return table.group_by(list(_OF_SOURCES), use_threads=False).aggregate([])


def _attribution(contents: _Contents) -> Iterator[str]:
    rows = {
        (author or _UNKNOWN, licence or _UNKNOWN, origin or _UNKNOWN)
        for origin, licence, author in zip(
            *(contents.sources[name].to_pylist() for name in ("origin", "licence", "author")), strict=True
        )
    }
    authors = {author for author, _, _ in rows}
    yield from (
        "# Attribution",
        "",
        f"The soundscapes were mixed from {len(rows)} recordings by {len(authors)} authors. Every recording keeps the "
        "licence of its source.",
        "",
    )
    yield from _table(("author", "licence", "file"), sorted(rows))


def _lines(info: dict[str, Any], contents: _Contents) -> Iterator[str]:
    num = sum(contents.splits.values())
    splits = ", ".join(f"{count} {split}" for split, count in sorted(contents.splits.items()))
    yield from (
        "---",  # what the Hugging Face hub shows of the folder
        "configs:",
        "- config_name: default",
        "  data_files:",
        "  - split: soundscapes",
        "    path: soundscapes/*.parquet",
        "---",
        "",
        "# Synthetic soundscapes with timestamped labels",
        "",
        f"{num} soundscapes ({splits}), {contents.seconds / 3600:.2f} hours, "
        f"{sum(contents.labels.values())} events of {len(contents.labels)} labels, "
        f"{info['sample_rate']} Hz mono. Made by `flam-cli simulate`.",
        "",
        "Onset, offset and activity were measured on each event's own signal in the mixture. "
        + (
            f"In {contents.open} soundscapes nobody knows all that is heard in the background (annotation `open`)."
            if contents.open
            else "Every sound is listed (annotation `closed`)."
        ),
        "",
        "## Recipe",
        "",
    )
    yield from _table(("setting", "value"), sorted(_settings(info)))
    yield from ("", "## Licences", "", "Every sound keeps the licence of its source.", "")
    licences = Counter(licence or _UNKNOWN for licence in contents.sources["licence"].to_pylist())
    yield from _table(("licence", "sources"), sorted(licences.items()))
    yield from ("", "Their authors are named in [ATTRIBUTION.md](ATTRIBUTION.md).", "")
    yield from ("## Labels", "")
    yield from _table(("label", "events"), sorted(contents.labels.items()))


def _settings(info: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in info.items():
        if key not in ("recipe", "bank") and value is not None:  # where the bank is says nothing elsewhere
            yield key, str(value)
    for key, value in info["recipe"].items():
        parts = ", ".join(f"{name} {part}" for name, part in value.items()) if isinstance(value, dict) else str(value)
        yield f"recipe.{key}", parts


def _table(header: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> Iterator[str]:
    yield _row(header)
    yield _row(("---",) * len(header))
    yield from (_row(row) for row in rows)


def _row(cells: tuple[Any, ...]) -> str:
    """A table row in which no text of a source can end a cell or the line, or be markup."""
    return "| " + " | ".join(_plain(str(cell)) for cell in cells) + " |"


def _plain(text: str) -> str:
    text = " ".join(text.split()).replace("\\", "\\\\")
    for mark in "|`*_<>[]":
        text = text.replace(mark, f"\\{mark}")
    return text
