"""Is a model's answer a caption that can be used, and does it say just what can be heard?

Each check has a name, and for the model a sentence that says what is wrong with its caption.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from curation.counts import wrong_counts
from curation.form import Limits, form_problems
from curation.heard import Sound, sounds
from curation.known import Clusters, Known
from curation.loud_and_faint import wrong_levels
from curation.mentions import Mentions, mentions
from curation.reading import Times
from curation.sequence import wrong_orders
from curation.source_clip import UNLABELLED
from curation.stems import tokens
from curation.wording import wording
from manifests.schema import Phrase, Soundscape

__all__ = ["CHECKS", "Checker", "Limits", "Result", "failed", "tidy", "tidy_phrase"]

_LIMITS = Limits()
_MOST_NAMED = 5  # things that one sentence to the model names
CHECKS = (
    "finished",
    "not_empty",
    "one_line",
    "plain",
    "length",
    "one_sentence",
    "no_chatter",
    "no_echo",
    "no_times",
    "english",
    "complete",
    "nothing_invented",
    "order",
    "counts",
    "loudness",
)


@dataclass(frozen=True, slots=True)
class Result:
    """One check of a caption.

    Args:
        name: of CHECKS.
        passed: whether the caption passed it.
        problem: for the model, what is wrong with this caption; empty if it passed.
    """

    name: str
    passed: bool
    problem: str = ""


_PASSED = {name: Result(name, passed=True) for name in CHECKS}


class _Checked(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def passed(self) -> bool: ...


class Checker:
    """The checks of one dataset's captions."""

    def __init__(self, phrases: Iterable[Phrase] = ()) -> None:
        """Make one for many captions.

        Args:
            phrases: the dataset's phrase table: other words by which its clusters are recognised.
        """
        self._clusters = Clusters(phrases)

    def check(
        self,
        text: str,
        soundscape: Soundscape,
        *,
        heard: Sequence[Sound] | None = None,
        finish_reason: str = "stop",
        prompt: str = "",
        limits: Limits = _LIMITS,
    ) -> list[Result]:
        """Every check of a caption, in the order of CHECKS.

        Args:
            text: the caption as the model wrote it, without its JSON; any text at all.
            soundscape: what it is about.
            heard: its `sounds`, for a caller who has them.
            finish_reason: as the server gave it; "stop" alone means that the answer is whole.
            prompt: the instructions that must not come back as a caption.
            limits: what was asked for.
        """
        by_cluster = _by_cluster(soundscape, heard)
        present = self._present(soundscape)
        said = mentions(tokens(text), list(present.items()))
        mentioned = {cluster for mention in said.found for cluster in mention.clusters}
        missing = [sound for sound in by_cluster.values() if sound.spans and sound.cluster not in mentioned]
        problems = form_problems(text, given=_words(present), finish_reason=finish_reason, prompt=prompt, limits=limits)
        problems["complete"] = _named("it does not mention", [wording(sound.label).words for sound in missing])
        problems["nothing_invented"] = _invented(said)
        problems["order"] = "; ".join(wrong_orders(said, _times(soundscape), soundscape.duration)[:_MOST_NAMED])
        problems["counts"] = "; ".join(wrong_counts(said, by_cluster)[:_MOST_NAMED])
        problems["loudness"] = "; ".join(wrong_levels(said, soundscape)[:_MOST_NAMED])
        return _results(problems)

    def check_event(
        self,
        text: str,
        soundscape: Soundscape,
        cluster: str,
        *,
        heard: Sequence[Sound] | None = None,
        finish_reason: str = "stop",
        prompt: str = "",
        limits: Limits = _LIMITS,
    ) -> list[Result]:
        """The same of a phrase about one sound: it must mention that, and no other.

        Args:
            text: the phrase as the model wrote it.
            soundscape: what the sound is heard in.
            cluster: of the sound; one of the soundscape's.
            heard: as for `check`.
            finish_reason: as for `check`.
            prompt: as for `check`.
            limits: as for `check`.
        """
        present = self._present(soundscape)
        by_cluster = _by_cluster(soundscape, heard)
        said = mentions(tokens(text), list(present.items()))
        label = by_cluster[cluster].label if cluster in by_cluster else cluster
        others = [mention.text for mention in said.found if cluster not in mention.clusters]
        problems = form_problems(text, given=_words(present), finish_reason=finish_reason, prompt=prompt, limits=limits)
        about = any(cluster in mention.clusters for mention in said.found)
        problems["complete"] = "" if about else f"it does not mention: {wording(label).words}"
        problems["nothing_invented"] = _invented(said) or _named("it mentions another sound", others)
        problems["order"] = ""
        problems["counts"] = "; ".join(wrong_counts(said, by_cluster)[:_MOST_NAMED])
        problems["loudness"] = ""
        return _results(problems)

    def _present(self, soundscape: Soundscape) -> dict[str, Known]:
        """All that can be heard, so far as anybody knows, and how it is recognised."""
        labels: dict[str, str] = {}
        contained: dict[str, str] = {}
        for event in soundscape.events:
            labels.setdefault(event.cluster, event.label)
            contained |= dict(zip(event.contains, event.contains, strict=True))
        background = soundscape.background
        if background is not None:
            contained |= dict(zip(background.contains, background.contains, strict=True))
            if background.label != UNLABELLED:
                labels.setdefault(background.cluster, background.label)
        return {cluster: self._clusters.known(cluster, label) for cluster, label in (contained | labels).items()}


def _by_cluster(soundscape: Soundscape, heard: Sequence[Sound] | None) -> dict[str, Sound]:
    return {sound.cluster: sound for sound in (sounds(soundscape) if heard is None else heard)}


def _words(present: dict[str, Known]) -> frozenset[str]:
    return frozenset[str]().union(*(known.words for known in present.values()))


def _results(problems: dict[str, str]) -> list[Result]:
    return [Result(name, passed=False, problem=problems[name]) if problems[name] else _PASSED[name] for name in CHECKS]


def _invented(said: Mentions) -> str:
    return _named("it mentions what is not there", [mention.text for mention in said.invented])


def _named(problem: str, names: Iterable[str]) -> str:
    found = list(dict.fromkeys(names))[:_MOST_NAMED]
    return f"{problem}: {', '.join(found)}" if found else ""


def _times(soundscape: Soundscape) -> dict[str, Times]:
    """When each cluster is heard; what is only contained in a source is heard nobody knows when."""
    spans: dict[str, list[tuple[float, float]]] = {}
    for event in soundscape.events:
        for stretch in event.activity:
            spans.setdefault(event.cluster, []).append((stretch.onset, stretch.offset))
    found = {cluster: Times(stretches) for cluster, stretches in spans.items()}
    if soundscape.background is not None:
        found[soundscape.background.cluster] = Times([(0.0, soundscape.duration)], background=True)
    return found


def failed(results: Iterable[_Checked]) -> list[str]:
    """Names of the checks that did not pass."""
    return [result.name for result in results if not result.passed]


def tidy(text: str) -> str:
    """A good caption in the dataset's form: NFC, single spaces, a capital and a full stop."""
    text = tidy_phrase(text) + "."
    return text[0].upper() + text[1:]


def tidy_phrase(text: str) -> str:
    """A good phrase in the dataset's form: NFC, single spaces, no full stop."""
    return " ".join(unicodedata.normalize("NFC", text).split()).rstrip(" .!?,;:")
