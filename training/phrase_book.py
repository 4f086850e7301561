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
        self._kin: dict[str, set[str]] = {}
        for dataset, row in ((dataset, row) for dataset, table in enumerate(tables) for row in table):
            if row.cluster in self.column:
                self.annotated[dataset, self.column[row.cluster]] = True
            for above in row.ancestors:
                self._kin.setdefault(row.cluster, set()).add(above)
                self._kin.setdefault(above, set()).add(row.cluster)
        # A dataset tells that a kind is absent if it has labels for all that is asked of this kind
        members = np.array([self.kinds_of(name) for name in self.clusters], dtype=bool).reshape(-1, self.num_kinds)
        missing: Bool[np.ndarray, "dataset kind"] = ~self.annotated @ members
        self.annotated_kinds = members.any(axis=0) & ~missing  # by dataset

    def related(self, clusters: Collection[str]) -> Bool[np.ndarray, " cluster"]:
        """The ancestors and descendants of these, asked or not themselves, of whose absence they tell nothing."""
        kin = set[str]().union(*(self._kin.get(name, ()) for name in clusters))
        found = np.zeros(len(self.clusters), dtype=bool)
        found[[self.column[name] for name in kin if name in self.column]] = True
        return found

    def kinds_of(self, cluster: str) -> Bool[np.ndarray, " kind"]:
        """The kinds that a cluster's labels name; none where no label is known or no word of it."""
        return self._kinds.get(cluster, np.zeros(self.num_kinds, dtype=bool))

    def kinds_near(self, cluster: str) -> Bool[np.ndarray, " kind"]:
        """Kinds of whose absence a cluster tells nothing: its own, its ancestors', its descendants'."""
        found = self.kinds_of(cluster)
        for name in self._kin.get(cluster, ()):
            found = found | self.kinds_of(name)
        return found
