"""Which captions of a dataset to take: one set, one style of it, or several side by side."""

from collections.abc import Collection, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from manifests.errors import FlamError
from manifests.schema import Caption
from manifests.store import DatasetFolder, read_json, read_table


def preferred_captions(folder: DatasetFolder, *, among: Collection[str] | None = None) -> str | None:
    """What to take where nobody chooses: captions that came with the dataset, else templates' if there are any.

    Args:
        folder: the dataset.
        among: ids of soundscapes, at least one of which they must tell of; None: any.
    """
    imported = [name for name in folder.caption_sets() if is_imported(folder, name)]
    for chosen in (",".join(imported), "template" if "template" in folder.caption_sets() else ""):
        if chosen and (among is None or any(key in among for key, _ in caption_texts(folder, chosen))):
            return chosen
    return None


def is_imported(folder: DatasetFolder, choice: str) -> bool:
    """Whether any of the sets chosen came with the dataset, whose makers may have described a part of it."""
    notes = {path.parent / "captions.json" for path in caption_shards(folder, choice)}
    return any(note.exists() and read_json(note).get("via") == "import" for note in notes)


def caption_shards(folder: DatasetFolder, choice: str) -> list[Path]:
    """The files that a choice reads."""
    return [path for name, _ in _chosen(folder, choice) for path in folder.caption_shards(name)]


def caption_texts(folder: DatasetFolder, choice: str) -> Iterator[tuple[str, str]]:
    """(soundscape id, text) of the captions of whole soundscapes that a choice names, set by set.

    Raises FlamError for a set or a style that is not there.

    Args:
        folder: the dataset.
        choice: names of caption sets, each perhaps with a style of it: "template", "template,qwen3", "qwen3/terse".
    """
    for name, style in _chosen(folder, choice):
        styles: set[str] = set()
        for path in folder.caption_shards(name):
            table = read_table(path, Caption).select(["soundscape_id", "style", "cluster", "text"])
            table = table.filter(pc.equal(table["cluster"], ""))
            styles.update(pc.unique(table["style"]).to_pylist())
            yield from _texts(table.filter(pc.equal(table["style"], style)) if style else table)
        if style and style not in styles:
            there = ", ".join(sorted(styles)) or "none"
            raise FlamError(f"captions {name!r} of {folder.root} have no style {style!r}, only {there}")


def template_styles(folder: DatasetFolder, choice: str) -> list[str] | None:
    """The styles in which templates wrote what a choice names; None if it names others' captions, too."""
    found: set[str] = set()
    for name, style in _chosen(folder, choice):
        if name != "template":
            return None
        for path in () if style else folder.caption_shards(name):
            table = read_table(path, Caption).select(["style", "cluster"])
            found.update(pc.unique(table.filter(pc.equal(table["cluster"], ""))["style"]).to_pylist())
        found |= {style} if style else set()
    return sorted(found)


def event_phrases(folder: DatasetFolder, choice: str) -> Iterator[tuple[str, str, str]]:
    """(soundscape id, cluster, text) of the phrases for single sounds in the sets that are chosen whole."""
    for name, style in _chosen(folder, choice):
        for path in () if style else folder.caption_shards(name):
            table = read_table(path, Caption).select(["soundscape_id", "cluster", "text"])
            table = table.filter(pc.not_equal(table["cluster"], ""))
            yield from zip(*(column.to_pylist() for column in table.columns), strict=True)


def _texts(table: pa.Table) -> Iterator[tuple[str, str]]:
    return zip(table["soundscape_id"].to_pylist(), table["text"].to_pylist(), strict=True)


def _chosen(folder: DatasetFolder, choice: str) -> list[tuple[str, str]]:
    """(set, style or empty) in the order of the choice."""
    chosen = [part.strip().partition("/") for part in choice.split(",")]
    for name, _, _ in chosen:
        if not name or not folder.caption_shards(name):
            there = ", ".join(folder.caption_sets()) or "none"
            raise FlamError(f"{folder.root} has no captions {name!r} (there: {there}); run `flam-cli caption`")
    return [(name, style) for name, _, style in chosen]
