"""The wordings that may be asked, which of them say nothing about one another, and whose absence a dataset tells."""

from collections.abc import Collection, Sequence

import numpy as np
from jaxtyping import Bool

from manifests.schema import Phrase
from training.sound_kinds import SoundKinds


class PhraseBook:
    """The wordings of the clusters that may be asked, which of them say nothing about one another, and their kinds.

    Args:
        tables: the phrase table of each dataset. A dataset tells of the clusters of its own table alone: what it has no
            label for may sound in it all the same.
        clusters: those that training hears. Wordings of any other are left out, or the model would learn that a sound
            held out for testing never happens.
        kinds: what kinds of sound words name.
    """

    def __init__(self, tables: Sequence[Sequence[Phrase]], clusters: Collection[str], kinds: SoundKinds) -> None:
        self.num_kinds = len(kinds.names)
        self._kinds: dict[str, Bool[np.ndarray, " kind"]] = {}
        texts: dict[str, dict[str, None]] = {}
        for row in (row for table in tables for row in table):
            if row.origin == "label":
                self._kinds[row.cluster] = self.kinds_of(row.cluster) | (kinds.shares(row.phrase) > 0)
            if row.cluster in clusters:
                texts.setdefault(row.cluster, {})[row.phrase] = None
        self.phrases = {cluster: list(found) for cluster, found in texts.items()}
        self.clusters = sorted(self.phrases)
        self.column = {cluster: index for index, cluster in enumerate(self.clusters)}
        self.annotated = np.zeros((len(tables), len(self.clusters)), dtype=bool)  # by dataset
        self._related = np.zeros((len(self.clusters), len(self.clusters)), dtype=bool)
        for dataset, row in ((dataset, row) for dataset, table in enumerate(tables) for row in table):
            column = self.column.get(row.cluster)
            if column is None:
                continue
            self.annotated[dataset, column] = True
            above = [self.column[name] for name in row.ancestors if name in self.column]
            self._related[column, above] = self._related[above, column] = True
        self._ancestors: dict[str, set[str]] = {}
        for row in (row for table in tables for row in table):
            self._ancestors.setdefault(row.cluster, set()).update(row.ancestors)

    def related(self, clusters: Collection[str]) -> Bool[np.ndarray, " cluster"]:
        """The ancestors and descendants of these, of whose absence they tell nothing."""
        found = np.zeros(len(self.clusters), dtype=bool)
        for name in clusters:
            if name in self.column:
                found |= self._related[self.column[name]]
            else:  # a sound that is never asked may have ancestors that are
                found[[self.column[above] for above in self._ancestors.get(name, ()) if above in self.column]] = True
        return found

    def kinds_of(self, cluster: str) -> Bool[np.ndarray, " kind"]:
        """The kinds that a cluster's labels name; none where no label is known or no word of it."""
        return self._kinds.get(cluster, np.zeros(self.num_kinds, dtype=bool))
