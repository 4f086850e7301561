"""The phrase table as CSV, and corrections from it.

A row is one text of one cluster: a phrase, an ancestor or a near miss. `keep` = no takes it away, and a row of a text
that the table does not have adds it. Rows that are not in the file are left as they are.
"""

import csv
import io
from collections.abc import Collection, Iterator
from pathlib import Path

from curation.phrases_review import unusable
from curation.phrases_sources import KINDS, Correction, Sources
from curation.phrases_table import Label, PhraseTable, phrase_table
from curation.sources.table import TableRow, read_csv
from manifests.errors import FlamError

COLUMNS = ("cluster", "label", "kind", "text", "origin", "keep")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_KEEP = {"": True, "yes": True, "no": False}


def to_csv(table: PhraseTable) -> str:
    """Every text of the table."""
    out = io.StringIO(newline="")
    returns = any("\r" in row.cluster + row.label for row in table.phrases)  # Python 3.11 does not quote them
    writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL if returns else csv.QUOTE_MINIMAL)
    writer.writerow(COLUMNS)
    seen: set[str] = set()
    for row in table.phrases:
        if row.cluster not in seen:
            seen.add(row.cluster)
            for kind, texts in (("ancestor", row.ancestors), ("near miss", row.near_misses)):
                writer.writerows([_safe(row.cluster), "", kind, _safe(text), "", "yes"] for text in texts)
        writer.writerow([_safe(row.cluster), _safe(row.label), "phrase", _safe(row.phrase), row.origin, "yes"])
    return out.getvalue()


def corrected(path: Path, labels: Collection[Label], sources: Sources) -> list[Correction]:
    """The corrections so far with those of a file; raises FlamError, with its line, for one that can't be."""
    table = phrase_table(labels, sources)
    before = _keys(table)
    merged = {one.key: one for one in sources.corrections}
    places: dict[tuple[str, str, str], str] = {}
    for one, place in _read(path, labels):
        if one.keep != (one.key in before) or one.key in merged:
            merged[one.key] = one
            places[one.key] = place
    corrections = list(merged.values())
    found = phrase_table(labels, Sources(ontology=sources.ontology, answers=sources.answers, corrections=corrections))
    keys = _keys(found)
    for key, place in places.items():
        one = merged[key]
        if one.keep != (key in keys):
            rules = [
                finding.rule for finding in found.findings if (finding.cluster, finding.text) == (key[0], one.text)
            ]
            why = rules[0] if rules else "other texts decide otherwise"
            raise FlamError(
                f"{place}: {one.kind} {one.text!r} of {one.cluster!r}, keep = {_word(one)}: {why}; change it"
            )
    if lost := {row.cluster for row in table.phrases} - {row.cluster for row in found.phrases}:
        raise FlamError(f"{path} leaves cluster {min(lost)!r} without a phrase; keep one of them")
    return corrections


def _keys(table: PhraseTable) -> set[tuple[str, str, str]]:
    return {
        Correction(cluster=cluster, kind=kind, text=text, label="", keep=True).key
        for kind in KINDS
        for cluster, text in table.texts(kind)
    }


def _read(path: Path, labels: Collection[Label]) -> Iterator[tuple[Correction, str]]:
    labels_of: dict[str, set[str]] = {}
    for label, cluster in labels:
        labels_of.setdefault(cluster, set()).add(label)
    for row in read_csv(path, required=("cluster", "kind", "text")):
        one = _correction(row)
        if one.cluster not in labels_of:
            raise FlamError(
                f"{row.place}: the dataset has no cluster {one.cluster!r}; see `flam-cli phrases DATA --csv`"
            )
        if one.label and one.label not in labels_of[one.cluster]:
            raise FlamError(
                f"{row.place}: cluster {one.cluster!r} has no label {one.label!r}; leave it empty or mend it"
            )
        if one.kind == "ancestor" and one.text not in labels_of:
            raise FlamError(
                f"{row.place}: ancestor {one.text!r} is no cluster of the dataset; name one, or leave it out"
            )
        if one.kind != "ancestor" and one.keep and not _from_label(row) and (why := unusable(one.text)):
            raise FlamError(f"{row.place}: {one.kind} {one.text!r}: {why}; change it")
        yield one, row.place


def _correction(row: TableRow) -> Correction:
    kind, keep = row["kind"], row.get("keep").lower()
    if kind not in KINDS:
        raise FlamError(f"{row.place}: kind is {kind!r}, must be one of {', '.join(KINDS)}")
    if keep not in _KEEP:
        raise FlamError(f"{row.place}: keep is {row.get('keep')!r}, must be yes or no")
    text = _plain(row.cells["text"])
    return Correction(
        cluster=_plain(row.cells["cluster"]),
        kind=kind,
        text=text if kind == "ancestor" else text.strip() or text,
        label=_plain(row.cells.get("label", "")) if kind == "phrase" else "",
        keep=_KEEP[keep],
    )


def _from_label(row: TableRow) -> bool:
    """Our own words may break the rules for others'."""
    return row.get("origin") in ("label", "template")


def _word(one: Correction) -> str:
    return "yes" if one.keep else "no"


def _safe(text: str) -> str:
    """Text that a spreadsheet would run as a formula gets an apostrophe; one that looks so already gets another."""
    return f"'{text}" if text.lstrip("'").startswith(_FORMULA) else text


def _plain(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell.lstrip("'").startswith(_FORMULA) else cell
