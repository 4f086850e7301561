"""README.md of an imported dataset: what it is, and whose."""

from collections import Counter
from collections.abc import Iterator

from curation.card import lines_of_table
from curation.contents import UNKNOWN, Contents, contents
from manifests.store import DatasetFolder, read_json, replacing


def write_card(folder: DatasetFolder) -> None:
    """Write the card from the dataset's rows."""
    found = contents(folder)
    licences = Counter(licence for row in folder.soundscapes() for licence in row.licences or [UNKNOWN])
    with replacing(folder.root / "README.md") as path:
        path.write_text("\n".join(_lines(read_json(folder.info_path), found, licences)) + "\n", "utf-8")


def _lines(info: dict[str, dict[str, object]], found: Contents, licences: Counter[str]) -> Iterator[str]:
    splits = ", ".join(f"{count} {split}" for split, count in sorted(found.splits.items()))
    annotations = ", ".join(f"{count} {name}" for name, count in sorted(found.annotations.items()))
    yield from (
        f"# {info['import']['kind']}",
        "",
        f"{found.num} soundscapes ({splits}; annotation: {annotations}), {found.seconds / 3600:.2f} hours, "
        f"{found.labels.total()} events of {len(found.labels)} labels. Made by `flam-cli import`.",
        "",
    )
    yield from lines_of_table(("not used", "recordings"), sorted(info["rejects"].items()))
    yield from ("", "## Licences", "", "Every recording keeps its licence; ask its publisher where none is stated.", "")
    yield from lines_of_table(("licence", "soundscapes"), sorted(licences.items()))
    yield from ("", "## Labels", "")
    yield from lines_of_table(("label", "events"), sorted(found.labels.items()))
