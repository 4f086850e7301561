"""Rules for the texts of a phrase table: what is no phrase, and which cluster may use which text.

A rule that leaves something out says so by a finding. Texts from outside (an ontology's, a model's) are compared by
their sense, so that "a tabla" and "the sound of tablas" are "tabla"; our own are taken as they are.
"""

import functools
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import snowballstemmer

from curation.form import Limits, form_problems
from curation.known import Known
from curation.mentions import mentions
from curation.stems import tokens
from curation.wording import plain_words
from manifests.schema import Phrase

FOREIGN = "synonyms that name another sound, left out"
SEVERAL = "phrases that fit several clusters, left out of each"
OTHERS = "synonyms that name another cluster, left out"
GENERAL = "synonyms that name something more general, left out"
SPECIAL = "synonyms that name something more special, left out"
NEAR = "near misses that name the sound itself, or something more general or special, left out"
UNUSABLE = "texts that are no phrases, left out"
CIRCLE = "clusters that are above one another, neither taken"
AGAINST = "parents by the model that the ontology or a correction puts below, left out"
UNSPOKEN = "labels without a phrase of their own, for another reads the same; give both one cluster"
STRAY = "corrections of what the dataset does not hold, ignored"

MOST_WORDS = 13
Sense = tuple[str, ...]

_STEMMER = snowballstemmer.stemmer("english")
_EMPTY_WORDS = frozenset({"a", "an", "the", "some", "of", "sound", "sounds", "noise", "noises"})
# Words that say no other sound: how loud it is, how far, how long, how often
_MANNERS = frozenset(_STEMMER.stemWords([
    "away", "background", "brief", "close", "constant", "continuous", "distance", "distant", "faint", "far", "heavy",
    "in", "long", "loud", "loudly", "many", "near", "nearby", "once", "quiet", "quietly", "repeated", "repeatedly",
    "several", "short", "single", "soft", "softly", "sudden", "suddenly", "twice", "very",
]))  # fmt: skip
_MARKUP = re.compile(r"[*_`#<>{}\[\]|\\^~=]|https?:|&\w+;")
_BORROWED = ("ontology", "model")  # in the order of what is believed first


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that a rule left out."""

    rule: str
    cluster: str
    text: str
    more: str = ""

    def __str__(self) -> str:
        """What it is, without the rule."""
        return f"{self.text!r} of cluster {self.cluster!r}" + (f" ({self.more})" if self.more else "")


@functools.lru_cache(maxsize=65536)
def sense(text: str) -> Sense:
    """What a text names, without what many ways of saying it add: articles, endings, "the sound of"."""
    words = plain_words(text).split()
    return tuple(_STEMMER.stemWords([word for word in words if word not in _EMPTY_WORDS] or words or [text]))


def unusable(text: str) -> str:
    """Why a text can't be a phrase; empty if it can."""
    if not plain_words(text):
        return "empty"
    if not text.isprintable():
        return "holds characters that cannot be printed"
    if len(text.split()) > MOST_WORDS:
        return f"more than {MOST_WORDS} words"
    return "markup" if _MARKUP.search(text) else ""


def tidy(text: str) -> str:
    """A text from outside as a phrase is written: one line, lower case, no full stop, no quotes around it."""
    return re.sub(" +", " ", text.strip()).strip(" .\"'").lower()


def usable(candidates: Iterable[Phrase], findings: list[Finding]) -> list[Phrase]:
    """The candidates without texts from outside that are no phrases."""
    kept = []
    for phrase in candidates:
        why = unusable(phrase.phrase) if phrase.origin not in ("label", "template") else ""
        if why:
            findings.append(Finding(rule=UNUSABLE, cluster=phrase.cluster, text=phrase.phrase[:60], more=why))
        else:
            kept.append(phrase)
    return kept


def about_their_cluster(
    candidates: Iterable[Phrase], clusters: Mapping[str, Known], findings: list[Finding]
) -> list[Phrase]:
    """The candidates without a model's texts that are no wordings at all, or plainly those of another sound."""
    kept = []
    for phrase in candidates:
        if phrase.origin != "model":
            kept.append(phrase)
            continue
        known = clusters[phrase.cluster]
        said = mentions(tokens(phrase.phrase), [(phrase.cluster, known)])
        # what names the sound itself may say more of it: "a bat screeching"; of an unknown one nothing is foreign
        others = [] if said.found or not known.sounds else [mention.text for mention in said.invented]
        if others:
            findings.append(Finding(rule=FOREIGN, cluster=phrase.cluster, text=phrase.phrase, more=others[0]))
        elif why := no_wording(phrase.phrase, known):
            findings.append(Finding(rule=UNUSABLE, cluster=phrase.cluster, text=phrase.phrase[:60], more=why))
        else:
            kept.append(phrase)
    return kept


def no_wording(text: str, known: Known) -> str:
    """Why what a model says is like a sound is no sound at all; empty if it may be one."""
    wrong = form_problems(text, given=known.words, finish_reason="stop", prompt="", limits=Limits(fewest_words=0))
    named = mentions(tokens(text), [("", known)]).found  # a few words, one of them rare, tell no language
    return wrong["no_chatter"] or wrong["no_echo"] or ("" if named else wrong["english"])


def neither_wider_nor_narrower(
    candidates: Iterable[Phrase],
    general: Mapping[str, Collection[Sense]],
    special: Mapping[str, Collection[Sense]],
    findings: list[Finding],
) -> list[Phrase]:
    """The candidates without borrowed texts that name what contains their cluster, or what it contains."""
    kept = []
    for phrase in candidates:
        meant = sense(phrase.phrase)
        if phrase.origin in _BORROWED and meant in general.get(phrase.cluster, ()):
            findings.append(Finding(rule=GENERAL, cluster=phrase.cluster, text=phrase.phrase, more=phrase.origin))
        elif phrase.origin in _BORROWED and meant in special.get(phrase.cluster, ()):
            findings.append(Finding(rule=SPECIAL, cluster=phrase.cluster, text=phrase.phrase, more=phrase.origin))
        else:
            kept.append(phrase)
    return kept


def unambiguous(candidates: Sequence[Phrase], findings: list[Finding]) -> list[Phrase]:
    """The candidates that are right for one cluster only.

    Of our own texts, one that several clusters have is the one's whose label it is, or whose correction, or nobody's.
    A borrowed one gives way to our own, a model's to an ontology's, and two of one origin leave both out.
    """
    own = [phrase for phrase in candidates if phrase.origin not in _BORROWED]
    owners = _owners(own)
    kept = [phrase for phrase in own if owners[phrase.phrase.casefold()] == phrase.cluster]
    for text, phrases in _by_text(own).items():
        without = sorted({phrase.cluster for phrase in phrases} - {owners[text]})
        findings += [_shared(phrases, cluster) for cluster in without]
    taken = _clusters_by_sense(own)
    for origin in _BORROWED:
        proposed = [phrase for phrase in candidates if phrase.origin == origin]
        rivals = _clusters_by_sense(proposed)
        for phrase in proposed:
            meant = sense(phrase.phrase)
            if others := taken.get(meant, set()) - {phrase.cluster}:
                findings.append(_conflict(OTHERS, phrase, others))
            elif others := rivals[meant] - {phrase.cluster}:
                findings.append(_conflict(SEVERAL, phrase, others))
            else:
                kept.append(phrase)
        for meant, clusters in rivals.items():
            taken.setdefault(meant, set()).update(clusters)
    return kept


def apart(
    near_misses: Mapping[str, Sequence[str]], related: Mapping[str, set[Sense]], findings: list[Finding]
) -> dict[str, list[str]]:
    """The near misses of each cluster that name nothing of what is related to it, each once."""
    kept: dict[str, list[str]] = {}
    for cluster, texts in near_misses.items():
        seen: dict[Sense, str] = {}
        for text in texts:
            if why := unusable(text):
                findings.append(Finding(rule=UNUSABLE, cluster=cluster, text=text[:60], more=why))
            elif not related.get(cluster, set()).isdisjoint({sense(text), _without_manner(text)}):
                findings.append(Finding(rule=NEAR, cluster=cluster, text=text))
            else:
                seen.setdefault(sense(text), text)
        kept[cluster] = list(seen.values())
    return kept


def _without_manner(text: str) -> Sense:
    """What "a loud dog bark in the distance" names: a dog bark."""
    return tuple(word for word in sense(text) if word not in _MANNERS)


def summary(findings: Iterable[Finding], *, most: int = 5) -> Iterator[str]:
    """A line for each rule: how many, and the first few."""
    by_rule: dict[str, list[str]] = defaultdict(list)
    for finding in findings:
        by_rule[finding.rule].append(str(finding))
    for rule, all_found in by_rule.items():
        found = list(dict.fromkeys(all_found))
        more = ", ..." if len(found) > most else ""
        yield f"{rule}: {len(found)}: {', '.join(found[:most])}{more}"


def _owners(own: Sequence[Phrase]) -> dict[str, str]:
    """Which cluster may use a text: the first whose label it is, or whose correction, or the only one, or none ("")."""
    owners = {}
    for text, phrases in _by_text(own).items():
        clusters = {phrase.cluster for phrase in phrases}
        named = [phrase.cluster for phrase in phrases if phrase.origin == "label"]
        named += [phrase.cluster for phrase in phrases if phrase.origin == "correction"]
        owners[text] = named[0] if named else (clusters.pop() if len(clusters) == 1 else "")
    return owners


def _by_text(phrases: Iterable[Phrase]) -> dict[str, list[Phrase]]:
    found: dict[str, list[Phrase]] = defaultdict(list)
    for phrase in phrases:
        found[phrase.phrase.casefold()].append(phrase)
    return found


def _clusters_by_sense(phrases: Iterable[Phrase]) -> dict[Sense, set[str]]:
    found: dict[Sense, set[str]] = defaultdict(set)
    for phrase in phrases:
        found[sense(phrase.phrase)].add(phrase.cluster)
    return found


def _shared(phrases: Sequence[Phrase], cluster: str) -> Finding:
    phrase = next(phrase for phrase in phrases if phrase.cluster == cluster)
    return _conflict(SEVERAL, phrase, {other.cluster for other in phrases} - {cluster})


def _conflict(rule: str, phrase: Phrase, others: Collection[str]) -> Finding:
    also = ", ".join(map(repr, sorted(others)))
    return Finding(rule=rule, cluster=phrase.cluster, text=phrase.phrase, more=f"{phrase.origin}; also {also}")
