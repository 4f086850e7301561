"""The dataset card: README.md, and ATTRIBUTION.md with the author and licence of every source that was used."""

from collections.abc import Iterable, Iterator
from typing import Any

from curation.contents import UNKNOWN, Contents, contents
from manifests.store import DatasetFolder, read_json, replacing


def write_card(folder: DatasetFolder) -> None:
    """Write both files from the dataset's rows."""
    found = contents(folder)
    info = read_json(folder.info_path)
    for name, lines in (("README.md", _lines(info, found)), ("ATTRIBUTION.md", _attribution(found))):
        with replacing(folder.root / name) as path:
            path.write_text("\n".join(lines) + "\n", "utf-8")


def _attribution(found: Contents) -> Iterator[str]:
    columns = found.sources.select(["author", "licence", "origin"]).to_pydict().values()
    rows = {tuple(cell or UNKNOWN for cell in row) for row in zip(*columns, strict=True)}
    authors = {author for author, _, _ in rows}
    yield from (
        "# Attribution",
        "",
        f"The soundscapes were mixed from {len(rows)} recordings by {len(authors)} authors. Every recording keeps the "
        "licence of its source.",
        "",
    )
    yield from lines_of_table(("author", "licence", "file"), sorted(rows))


def _lines(info: dict[str, Any], found: Contents) -> Iterator[str]:
    num_open = found.num - found.annotations["closed"]
    splits = ", ".join(f"{count} {split}" for split, count in sorted(found.splits.items()))
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
        f"{found.num} soundscapes ({splits}), {found.seconds / 3600:.2f} hours, "
        f"{found.labels.total()} events of {len(found.labels)} labels, "
        f"{info['sample_rate']} Hz mono. Made by `flam-cli simulate`.",
        "",
        "Onset, offset and activity were measured on each event's own signal in the mixture. "
        + (
            f"In {num_open} soundscapes nobody knows all that is heard in the background (annotation `open`)."
            if num_open
            else "Every sound is listed (annotation `closed`)."
        ),
        "",
        "## Recipe",
        "",
    )
    yield from lines_of_table(("setting", "value"), sorted(_settings(info)))
    yield from ("", "## Licences", "", "Every sound keeps the licence of its source.", "")
    yield from lines_of_table(("licence", "sources"), sorted(found.licences().items()))
    yield from ("", "Their authors are named in [ATTRIBUTION.md](ATTRIBUTION.md).", "")
    yield from ("## Labels", "")
    yield from lines_of_table(("label", "events"), sorted(found.labels.items()))


def _settings(info: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in info.items():
        if key not in ("recipe", "bank") and value is not None:  # where the bank is says nothing elsewhere
            yield key, _value(value)
    for key, value in info["recipe"].items():
        yield f"recipe.{key}", _value(value)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {part}" for name, part in value.items()) or "none"
    return str(value)


def lines_of_table(header: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> Iterator[str]:
    """A Markdown table in which no text can be markup."""
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
