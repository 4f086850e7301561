"""The phrase table: wordings for each label of a dataset, none of them right for two clusters."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow.compute as pc

from curation.source_clip import UNLABELLED
from curation.wording import plain_words, wordings
from manifests.schema import Phrase, Soundscape
from manifests.store import DatasetFolder, read_table, write_rows

_log = logging.getLogger(__name__)
_MOST_PER_LABEL = 10


def write_phrases(data: Path) -> list[Phrase]:
    """Write a dataset's phrase table, from the labels of its events and its backgrounds."""
    folder = DatasetFolder.open(data)
    phrases = phrases_of(_labels(folder.soundscape_shards()))
    write_rows(folder.phrases_path, phrases, Phrase)
    return phrases


def phrases_by_cluster(phrases: Iterable[Phrase]) -> dict[str, list[str]]:
    """The wordings of each cluster, in the order of the table."""
    found: dict[str, list[str]] = defaultdict(list)
    for phrase in phrases:
        if phrase.phrase not in found[phrase.cluster]:
            found[phrase.cluster].append(phrase.phrase)
    return dict(found)


def phrases_of(labels: Iterable[tuple[str, str]]) -> list[Phrase]:
    """Wordings for (label, cluster) pairs, by cluster and label; doubtful ones are left out."""
    candidates = [
        Phrase(phrase=text, label=label, cluster=cluster, origin=origin, ancestors=[])
        for cluster, label in sorted({(cluster, label) for label, cluster in labels})
        for text, origin in _texts(label)
    ]
    owners = _owners(candidates)
    kept: dict[tuple[str, str], Phrase] = {}
    for phrase in candidates:
        if owners[phrase.phrase.casefold()] == phrase.cluster:
            kept.setdefault((phrase.phrase.casefold(), phrase.label), phrase)
    _report(candidates, list(kept.values()))
    return list(kept.values())


def _labels(shards: Sequence[Path]) -> set[tuple[str, str]]:
    """Every (label, cluster) of events and backgrounds. Columns are read: rows would be slow."""
    found: set[tuple[str, str]] = set()
    for path in shards:
        table = read_table(path, Soundscape)
        for column in (pc.list_flatten(table["events"]), table["background"].drop_null()):
            labels, clusters = (pc.struct_field(column, name).to_pylist() for name in ("label", "cluster"))
            found.update(zip(labels, clusters, strict=True))
    return {(label, cluster) for label, cluster in found if label != UNLABELLED}


def _texts(label: str) -> list[tuple[str, str]]:
    """A label's wordings with their origin, most like the label first."""
    words = plain_words(label)
    texts = [(words, "label")] if words else [(label, "label")]
    for word in wordings(label):
        rephrased = [word.noun, word.doing, word.sound_of, word.acts, word.is_acting]
        if not (word.plural or word.words.endswith(("ing", "sound", "sounds", "noise"))):
            rephrased.append(f"{word.words} sounds")
        rephrased.append(f"{word.noun} can be heard")
        texts += [(text, "template") for text in rephrased]
    return list({text: (text, origin) for text, origin in reversed(texts)}.values())[::-1][:_MOST_PER_LABEL]


def _owners(candidates: Iterable[Phrase]) -> dict[str, str]:
    """Which cluster may use a text: the only one, or the first whose label it is, or none ("")."""
    by_text: dict[str, list[Phrase]] = defaultdict(list)
    for phrase in candidates:
        by_text[phrase.phrase.casefold()].append(phrase)
    owners = {}
    for text, phrases in by_text.items():
        labelled = [phrase.cluster for phrase in phrases if phrase.origin == "label"]
        clusters = {phrase.cluster for phrase in phrases}
        owners[text] = labelled[0] if labelled else (clusters.pop() if len(clusters) == 1 else "")
    return owners


def _report(candidates: Sequence[Phrase], kept: Sequence[Phrase]) -> None:
    served = {(phrase.cluster, phrase.label) for phrase in kept}
    for cluster, label in sorted({(phrase.cluster, phrase.label) for phrase in candidates} - served):
        _log.warning(
            "label %r of cluster %r has no phrase of its own: another label reads the same; "
            "give both labels one cluster",
            label,
            cluster,
        )
    dropped = len({phrase.phrase for phrase in candidates} - {phrase.phrase for phrase in kept})
    if dropped:
        _log.info("%d phrases would fit several clusters and were left out", dropped)
