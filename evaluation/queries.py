"""What a detector is asked for: each label by its name, by wordings it was never trained with, and by near misses."""

import dataclasses
import unicodedata
from collections.abc import Collection, Sequence
from typing import Literal

from evaluation.post_processing import PostProcessing
from manifests.schema import Phrase, Soundscape

MOST_WORDINGS = MOST_NEAR_MISSES = 3  # asked for each label: each is scored in every window, and kept

Kind = Literal["label", "wording", "near miss"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Query:
    """A phrase to ask for.

    Args:
        cluster: that it is a wording of, or nearly.
        label: of the cluster.
        phrase: as the detector hears it.
        kind: "label": the cluster's own name. "wording": another, of a label that the model was trained with, that it
            was not trained with. "near miss": what sounds alike and isn't it.
    """

    cluster: str
    label: str
    phrase: str
    kind: Kind = "label"

    @property
    def name(self) -> str:
        """Unlike that of any other query."""
        return self.cluster if self.kind == "label" else f"{self.cluster} ({self.kind}: {self.phrase})"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trained:
    """What a model was trained with.

    Args:
        clusters: all others are held-out labels; None takes every label as trained.
        phrases: all other wordings of these clusters are unseen ones.
        threshold: chosen on validation data.
        post: what else makes detections of scores, chosen there, too. Smoothing is the detector's own part.
    """

    clusters: Collection[str] | None = None
    phrases: Collection[str] = ()
    threshold: float | None = None
    post: PostProcessing = dataclasses.field(default_factory=PostProcessing)


UNTRAINED = Trained()


def split_queries(
    soundscapes: Sequence[Soundscape], phrases: Sequence[Phrase], trained: Trained = UNTRAINED
) -> list[Query]:
    """First a query for each cluster of the events, by its first phrase of origin "label", else its label's words.

    Then, of a model that was trained: of clusters that it was trained with, up to three wordings each that are not
    among its phrases, and of every cluster up to three near misses, both in the order of the table.
    """
    labels: dict[str, str] = {}
    for soundscape in soundscapes:
        for event in soundscape.events:
            labels[event.cluster] = min(event.label, labels.get(event.cluster, event.label))
    own: dict[str, str] = {}
    wordings: dict[str, dict[str, str]] = {}
    near_misses: dict[str, dict[str, str]] = {}
    heard = {normalised(phrase) for phrase in trained.phrases}
    for row in phrases:
        if row.cluster in labels:
            if row.origin == "label":
                own.setdefault(row.cluster, row.phrase)
            if row.cluster in (trained.clusters or ()) and normalised(row.phrase) not in heard:
                wordings.setdefault(row.cluster, {})[normalised(row.phrase)] = row.phrase
            if trained.clusters is not None:
                near_misses.setdefault(row.cluster, {}).update((normalised(text), text) for text in row.near_misses)
    queries = [
        Query(cluster=cluster, label=label, phrase=own.get(cluster) or label_words(label))
        for cluster, label in sorted(labels.items())
    ]
    kinds: tuple[tuple[Kind, dict[str, dict[str, str]], int], ...] = (
        ("wording", wordings, MOST_WORDINGS),
        ("near miss", near_misses, MOST_NEAR_MISSES),
    )
    for kind, found, most in kinds:
        for cluster, texts in sorted(found.items()):
            asked = [text for text in texts.values() if text != own.get(cluster)][:most]
            queries += [Query(cluster=cluster, label=labels[cluster], phrase=text, kind=kind) for text in asked]
    return queries


def label_words(label: str) -> str:
    """A label as words: `Car_horn` is asked as "car horn"."""
    return " ".join(label.replace("_", " ").split()).lower() or label


def normalised(text: str) -> str:
    """A text without the differences that don't make it another: case, spaces, the full stop at its end."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).rstrip(" .!")
