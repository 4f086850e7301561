"""The phrases of a dataset: phrases.parquet, made anew from labels and from DATA/phrases whenever it is asked for."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from curation.ontology import load_ontology
from curation.phrases_csv import corrected
from curation.phrases_review import UNSPOKEN, summary
from curation.phrases_sources import SourcesFolder
from curation.phrases_table import Label, PhraseTable, phrase_table
from curation.source_clip import UNLABELLED
from manifests.errors import FlamError
from manifests.schema import Phrase, Soundscape
from manifests.store import DatasetFolder, locked, read_table, write_rows

if TYPE_CHECKING:
    from curation.llm import Server
    from curation.llm_phrases import AskReport

_log = logging.getLogger(__name__)


def write_phrases(data: Path) -> list[Phrase]:
    """Write a dataset's phrase table, and log what the rules left out."""
    table = make_phrases(data)
    for finding in table.findings:
        if finding.rule == UNSPOKEN:
            _log.warning(
                "label %s has no phrase of its own: another label reads the same; give both one cluster", finding
            )
    for line in summary(finding for finding in table.findings if finding.rule != UNSPOKEN):
        _log.info("%s", line)
    return table.phrases


def ontology_notes(data: Path, table: PhraseTable) -> list[str]:
    """What is odd about a dataset's ontology, and which labels it does not know, a line each."""
    ontology = SourcesFolder(data).load().ontology
    if ontology is None:
        return []
    odd = {
        "sounds of the ontology that are children of their own children": ontology.circles(),
        "children that the ontology names and does not hold, ignored": ontology.dangling,
        "labels that the ontology does not know": sorted(
            {row.label for row in table.phrases if ontology.match(row.label) is None}
        ),
    }
    return [
        f"{what}: {len(names)}: {', '.join(map(repr, names[:5]))}{', ...' * (len(names) > 5)}"
        for what, names in odd.items()
        if names
    ]


def make_phrases(data: Path) -> PhraseTable:
    """Write a dataset's phrase table, unless the one that is there is the same."""
    folder = DatasetFolder.open(data)
    table = phrase_table(labels_of(folder.soundscape_shards()), SourcesFolder(data).load())
    if _there(folder) != table.phrases and (table.phrases or folder.phrases_path.exists()):  # none of no labels
        write_rows(folder.phrases_path, table.phrases, Phrase)
    return table


def update_phrases(
    data: Path,
    *,
    ontology: Path | None = None,
    corrections: Path | None = None,
    server: "Server | None" = None,
    prompt: Path | None = None,
) -> "tuple[PhraseTable, AskReport | None]":
    """Take what is given into DATA/phrases for good, and write the table.

    Args:
        data: the dataset folder.
        ontology: a file in AudioSet's format, in the place of any earlier one.
        corrections: a table as `phrases_csv.to_csv` makes it, on top of earlier ones.
        server: a language model to ask for every label that it was not asked for.
        prompt: another file than `prompts/phrases.toml`.
    """
    labels = labels_of(DatasetFolder.open(data).soundscape_shards())
    folder, asked, ask = SourcesFolder(data), None, None
    if ontology is None and corrections is None and server is None:
        return make_phrases(data), None
    # all that is given is read and looked over before anything is kept or paid for
    given = load_ontology(ontology) if ontology is not None else None
    if server is not None:
        from curation.llm import Llm
        from curation.llm_phrases import ask_model
        from curation.prompt import load_label_prompt

        asks = load_label_prompt(prompt)
        ask = partial(ask_model, labels, folder, Llm(server), asks)
    with locked(folder.root, "flam-cli phrases"):
        if corrections is not None:
            sources = folder.load()
            corrected(corrections, labels, replace(sources, ontology=given or sources.ontology))
        if given is not None:
            folder.keep_ontology(given)
        if ask is not None:
            asked = ask()
        if corrections is not None:  # with what has been answered now
            folder.keep_corrections(corrected(corrections, labels, folder.load()))
        return make_phrases(data), asked


def phrases_of(labels: Iterable[Label]) -> list[Phrase]:
    """The phrases of (label, cluster) pairs, without any other source."""
    return phrase_table(labels).phrases


def phrases_by_cluster(phrases: Iterable[Phrase]) -> dict[str, list[str]]:
    """The wordings of each cluster, in the order of the table."""
    found: dict[str, list[str]] = defaultdict(list)
    for phrase in phrases:
        if phrase.phrase not in found[phrase.cluster]:
            found[phrase.cluster].append(phrase.phrase)
    return dict(found)


def labels_of(shards: Sequence[Path]) -> set[Label]:
    """Every (label, cluster) of events and backgrounds. Columns are read: rows would be slow."""
    found: set[Label] = set()
    for path in shards:
        table = read_table(path, Soundscape)
        for column in (pc.list_flatten(table["events"]), table["background"].drop_null()):
            labels, clusters = (pc.struct_field(column, name).to_pylist() for name in ("label", "cluster"))
            found.update(zip(labels, clusters, strict=True))
    return {(label, cluster) for label, cluster in found if label != UNLABELLED}


def _there(folder: DatasetFolder) -> list[Phrase] | None:
    """The table of an earlier run; None if there is none, or of another version."""
    try:
        return folder.phrases()
    except FlamError:
        return None
