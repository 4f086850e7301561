"""The phrase table as a function of labels, an ontology, a model's answers and a user's corrections.

Candidates from all of them pass the rules of `phrases_review`; then it is settled which clusters contain which, and
last which near misses are none.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from curation import phrases_review as review
from curation.known import Clusters
from curation.ontology import Ontology
from curation.phrases_ancestors import Pair, ancestors, below
from curation.phrases_review import Finding, Sense, sense, tidy
from curation.phrases_sources import Correction, Kind, Sources
from curation.wording import plain_words, wordings
from manifests.schema import ORIGINS, Phrase

Label = tuple[str, str]  # label, cluster
_MOST_PER_LABEL = 10  # of our own
_ID = re.compile(r"/[a-z]/\S+")  # in Freebase, as in AudioSet


@dataclass(frozen=True, kw_only=True, slots=True)
class PhraseTable:
    """The rows, and what the rules left out."""

    phrases: list[Phrase]
    findings: list[Finding]

    def texts(self, kind: Kind) -> set[tuple[str, str]]:
        """Every (cluster, text) of a kind."""
        if kind == "phrase":
            return {(row.cluster, row.phrase) for row in self.phrases}
        field = "ancestors" if kind == "ancestor" else "near_misses"
        return {(row.cluster, text) for row in self.phrases for text in getattr(row, field)}


def phrase_table(labels: Iterable[Label], sources: Sources | None = None) -> PhraseTable:
    """The table of these labels. The order in which they come does not matter."""
    builder = _Builder(labels, sources or Sources())
    phrases = builder.phrases()
    above = builder.above(phrases)
    near_misses = builder.near_misses(phrases, above)
    for phrase in phrases:
        phrase.ancestors = sorted(above.get(phrase.cluster, ()))
        phrase.near_misses = list(near_misses.get(phrase.cluster, ()))
    return PhraseTable(phrases=phrases, findings=builder.findings)


def label_words(label: str, ontology: Ontology | None) -> str:
    """What a label says: itself, or the name of the sound whose id it is."""
    return ontology.names(label)[0] if ontology is not None and label in ontology.nodes else label


class _Builder:
    def __init__(self, labels: Iterable[Label], sources: Sources) -> None:
        self.labels = sorted({(cluster, label) for label, cluster in labels})
        self.sources = sources
        self.findings: list[Finding] = []
        answers = sources.usable_answers()
        self.answers = [(cluster, answers[label]) for cluster, label in self.labels if label in answers]
        self.nodes: dict[str, list[str]] = defaultdict(list)  # by cluster
        for cluster, label in self.labels:
            node = sources.ontology.match(label) if sources.ontology is not None else None
            if node is not None:
                self.nodes[cluster].append(node)
        answered = {cluster for cluster, _ in self.answers}
        spoken = [(cluster, label_words(label, sources.ontology)) for cluster, label in self.labels]
        spoken = [(cluster, words) for cluster, words in spoken if cluster in answered]
        named = Clusters(
            _phrase(text, words, cluster, by) for cluster, words in spoken for text, by in _own_texts(words)
        )
        self.known = {cluster: named.known(cluster, words) for cluster, words in spoken}
        self.corrections = [one for one in sources.corrections if self._is_here(one)]

    def phrases(self) -> list[Phrase]:
        """Every wording that is right for its cluster alone, by cluster, label and origin."""
        usable = review.usable(self._candidates(), self.findings)
        candidates = self._uncorrected(review.about_their_cluster(usable, self.known, self.findings))
        wider, narrower = self._named_by_ontology()
        for cluster, answer in self.answers:
            wider[cluster] |= {sense(text) for text in answer.parents}
        fitting = review.neither_wider_nor_narrower(candidates, wider, narrower, self.findings)
        kept = review.unambiguous(fitting, self.findings)
        place = {key: index for index, key in enumerate(self.labels)}
        kept.sort(key=lambda phrase: (place[phrase.cluster, phrase.label], ORIGINS.index(phrase.origin)))
        once: dict[tuple[str, str, str], Phrase] = {}
        for phrase in kept:
            once.setdefault((phrase.cluster, phrase.label, phrase.phrase.casefold()), phrase)
        unspoken = {(phrase.cluster, phrase.label) for phrase in candidates} - {key[:2] for key in once}
        self.findings += [
            Finding(rule=review.UNSPOKEN, cluster=cluster, text=label) for cluster, label in sorted(unspoken)
        ]
        return list(once.values())

    def above(self, phrases: Sequence[Phrase]) -> dict[str, set[str]]:
        """The clusters above each."""
        named: dict[Sense, set[str]] = defaultdict(set)  # a model's own words don't say what another cluster is
        for phrase in phrases:
            if phrase.origin != "model":
                named[sense(phrase.phrase)].add(phrase.cluster)
        claimed: set[Pair] = set()
        for cluster, answer in self.answers:
            for text in answer.parents:
                if len(found := named.get(sense(text), set())) == 1:
                    claimed |= {(cluster, high) for high in found}
        corrected = [one for one in self.corrections if one.kind == "ancestor"]
        refused = {(one.cluster, one.text) for one in corrected if not one.keep}
        stated = (self._ontology_pairs() | {(one.cluster, one.text) for one in corrected if one.keep}) - refused
        above = ancestors(stated, claimed - refused, self.findings)
        return {low: {high for high in highs if (low, high) not in refused} for low, highs in above.items()}

    def near_misses(self, phrases: Sequence[Phrase], above: Mapping[str, Collection[str]]) -> dict[str, list[str]]:
        """What each cluster is not."""
        proposed: dict[str, list[str]] = defaultdict(list)
        for cluster, answer in self.answers:
            for text in map(tidy, answer.near_misses):
                if why := review.no_wording(text, self.known[cluster]):
                    self.findings.append(Finding(rule=review.UNUSABLE, cluster=cluster, text=text[:60], more=why))
                else:
                    proposed[cluster].append(text)
        refused = set()
        for one in self.corrections:
            if one.kind == "near miss" and one.keep:
                proposed[one.cluster].append(one.text)
            elif one.kind == "near miss":
                refused.add((one.cluster, one.text.casefold()))
        proposed = {
            cluster: [text for text in texts if (cluster, text.casefold()) not in refused]
            for cluster, texts in proposed.items()
        }
        return review.apart(proposed, self._related(phrases, above), self.findings)

    def _is_here(self, one: Correction) -> bool:
        """Whether the dataset has what is corrected: it may have been made anew."""
        here = any(one.cluster == cluster and one.label in ("", label) for cluster, label in self.labels)
        if one.kind == "ancestor":
            here &= any(one.text == cluster for cluster, _ in self.labels)
        if not here:
            self.findings.append(Finding(rule=review.STRAY, cluster=one.cluster, text=one.text))
        return here

    def _candidates(self) -> Iterator[Phrase]:
        ontology = self.sources.ontology
        for cluster, label in self.labels:
            for text, origin in _own_texts(label_words(label, ontology)):
                yield _phrase(text, label, cluster, origin)
            if ontology is not None and (node := ontology.match(label)) is not None:
                for text in ontology.names(node):
                    yield _phrase(text, label, cluster, "ontology")
        for cluster, answer in self.answers:
            for text in answer.synonyms:
                yield _phrase(tidy(text), answer.label, cluster, "model")
        for one in self.corrections:
            if one.kind == "phrase" and one.keep:
                label = one.label or next(label for cluster, label in self.labels if cluster == one.cluster)
                yield _phrase(one.text, label, one.cluster, "correction")

    def _uncorrected(self, candidates: Sequence[Phrase]) -> list[Phrase]:
        """The candidates without what a user took away."""
        refused = {
            (one.cluster, one.text.casefold()) for one in self.corrections if one.kind == "phrase" and not one.keep
        }
        return [phrase for phrase in candidates if (phrase.cluster, phrase.phrase.casefold()) not in refused]

    def _named_by_ontology(self) -> tuple[dict[str, set[Sense]], dict[str, set[Sense]]]:
        """What the ontology calls that which is more general than each cluster, and that which is more special."""
        wider: dict[str, set[Sense]] = defaultdict(set)
        narrower: dict[str, set[Sense]] = defaultdict(set)
        ontology = self.sources.ontology
        if ontology is None:
            return wider, narrower
        for cluster, nodes in self.nodes.items():
            own = set(nodes)
            for node in nodes:
                wider[cluster] |= set(map(sense, ontology.all_names(ontology.above(node) - own)))
                narrower[cluster] |= set(map(sense, ontology.all_names(ontology.below(node) - own)))
        return wider, narrower

    def _ontology_pairs(self) -> set[Pair]:
        ontology = self.sources.ontology
        if ontology is None:
            return set()
        clusters: dict[str, set[str]] = defaultdict(set)
        for cluster, nodes in self.nodes.items():
            for node in nodes:
                clusters[node].add(cluster)
        return {
            (cluster, high)
            for cluster, nodes in self.nodes.items()
            for node in nodes
            for above in ontology.above(node)
            for high in clusters.get(above, ())
            if high != cluster
        }

    def _related(self, phrases: Sequence[Phrase], above: Mapping[str, Collection[str]]) -> dict[str, set[Sense]]:
        """What names each cluster itself, or anything above or below it."""
        own: dict[str, set[Sense]] = defaultdict(set)
        for phrase in phrases:
            own[phrase.cluster].add(sense(phrase.phrase))
        for cluster, label in self.labels:  # what two clusters might be called is no near miss of either
            own[cluster] |= {sense(text) for text, _ in _own_texts(label_words(label, self.sources.ontology))}
        wider, narrower = self._named_by_ontology()
        under = below(above)
        related = {
            cluster: set().union(
                own[cluster],
                wider.get(cluster, ()),
                narrower.get(cluster, ()),
                *(own[other] for other in (*above.get(cluster, ()), *under.get(cluster, ()))),
            )
            for cluster in own
        }
        for cluster, answer in self.answers:
            related[cluster] |= {sense(text) for text in answer.parents}
        return related


def _phrase(text: str, label: str, cluster: str, origin: str) -> Phrase:
    return Phrase(phrase=text, label=label, cluster=cluster, origin=origin, ancestors=[], near_misses=[])


def _own_texts(label: str) -> list[tuple[str, str]]:
    """A label's wordings with their origin, most like the label first."""
    words = plain_words(label)
    texts = [(words, "label")] if words else [(label, "label")]
    for word in wordings(label) if not _ID.fullmatch(label) else ():
        rephrased = [word.noun, word.doing, word.sound_of, word.acts, word.is_acting]
        if not (word.plural or word.words.endswith(("ing", "sound", "sounds", "noise"))):
            rephrased.append(f"{word.words} sounds")
        rephrased.append(f"{word.noun} can be heard")
        texts += [(text, "template") for text in rephrased]
    return list({text: (text, origin) for text, origin in reversed(texts)}.values())[::-1][:_MOST_PER_LABEL]
