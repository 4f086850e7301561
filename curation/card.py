"""The dataset card: README.md, with the licence and author of every source that was used."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow.compute as pc

from manifests.schema import Soundscape
from manifests.store import DatasetFolder, read_json, read_table, replacing

_UNKNOWN = "not stated"


@dataclass(kw_only=True, slots=True)
class _Contents:
    seconds: float = 0.0
    splits: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)  # events of each
    sources: dict[str, dict[str, Any]] = field(default_factory=dict)  # by source_id


def write_card(folder: DatasetFolder) -> None:
    """Write README.md from the dataset's rows."""
    contents = _read(folder)
    info = read_json(folder.info_path)
    with replacing(folder.root / "README.md") as path:
        path.write_text("\n".join(_lines(info, contents)) + "\n", "utf-8")


def _read(folder: DatasetFolder) -> _Contents:
    contents = _Contents()
    for path in folder.soundscape_shards():
        table = read_table(path, Soundscape)
        contents.seconds += pc.sum(table["duration"]).as_py() or 0.0
        contents.splits.update(table["split"].to_pylist())
        events = pc.list_flatten(table["events"])
        contents.labels.update(pc.struct_field(events, "label").to_pylist())
        for sounds in (events, pc.drop_null(table["background"])):
            names = ("source_id", "origin", "licence", "author")
            columns = [pc.struct_field(sounds, name).to_pylist() for name in names]
            for source_id, origin, licence, author in zip(*columns, strict=True):
                contents.sources[source_id] = {
                    "origin": origin,
                    "licence": licence or _UNKNOWN,
                    "author": author or _UNKNOWN,
                }
    return contents


def _lines(info: dict[str, Any], contents: _Contents) -> Iterator[str]:
    num = sum(contents.splits.values())
    splits = ", ".join(f"{count} {split}" for split, count in sorted(contents.splits.items()))
    yield from (
        "# Synthetic soundscapes with timestamped labels",
        "",
        f"{num} soundscapes ({splits}), {contents.seconds / 3600:.2f} hours, "
        f"{sum(contents.labels.values())} events of {len(contents.labels)} labels, "
        f"{info['sample_rate']} Hz mono. Made by `flam-cli simulate`.",
        "",
        "Onset, offset and activity were measured on each event's own signal in the mixture. Every "
        "sound is listed (annotation `closed`).",
        "",
        "## Recipe",
        "",
    )
    yield from _table(("setting", "value"), sorted(_settings(info)))
    yield from ("", "## Licences", "", "Every sound keeps the licence of its source.", "")
    licences = Counter(source["licence"] for source in contents.sources.values())
    yield from _table(("licence", "sources"), sorted(licences.items()))
    yield from ("", "## Sources", "")
    rows = {(source["author"], source["licence"], source["origin"]) for source in contents.sources.values()}
    yield from _table(("author", "licence", "file"), sorted(rows))
    yield from ("", "## Labels", "")
    yield from _table(("label", "events"), sorted(contents.labels.items()))


def _settings(info: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in info.items():
        if key != "recipe" and value is not None:
            yield key, str(value)
    for key, value in info["recipe"].items():
        parts = ", ".join(f"{name} {part}" for name, part in value.items()) if isinstance(value, dict) else str(value)
        yield f"recipe.{key}", parts


def _table(header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> Iterator[str]:
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
