"""How far what is asked is from the wordings that a model was trained with, in the model's own space of texts."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from evaluation.queries import Query, Trained, normalised
from evaluation.scored import Detector
from manifests.schema import Phrase


def wording_distances(
    detector: Detector, queries: Sequence[Query], phrases: Sequence[Phrase], trained: Trained
) -> Float[np.ndarray, " query"]:
    """1 - the highest cosine with a wording of the same label that the model was trained with; 0 for one of these.

    Of a label without such a wording, as held-out labels are, all wordings of training count.

    Args:
        detector: that embeds texts.
        queries: what is asked.
        phrases: the dataset's phrase table, which says of which label a wording is.
        trained: with at least one phrase.
    """
    heard = {normalised(text): text for text in trained.phrases}
    own: dict[str, set[str]] = {}
    rows: list[Phrase | Query] = [*phrases, *queries]
    for row in rows:
        if normalised(row.phrase) in heard:
            own.setdefault(row.cluster, set()).add(normalised(row.phrase))
    place = {text: index for index, text in enumerate(heard)}
    known = detector.caption_embeddings(list(heard.values()))
    asked = detector.caption_embeddings([query.phrase for query in queries])
    distances = np.zeros(len(queries))
    for index, query in enumerate(queries):
        candidates = own.get(query.cluster, set(heard)) if query.cluster in (trained.clusters or ()) else set(heard)
        if normalised(query.phrase) not in candidates:
            nearest = (known[[place[text] for text in sorted(candidates)]] @ asked[index]).max()
            distances[index] = np.clip(1.0 - nearest, 0.0, 2.0)
    return distances
