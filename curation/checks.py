"""Is a model's answer a caption that can be used, and does it say just what can be heard?

Each check has a name, and for the model a sentence that says what is wrong with its caption.
"""

import functools
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from curation.counts import wrong_counts
from curation.heard import Sound, sounds
from curation.known import Clusters, Known
from curation.language import is_english
from curation.mentions import Mentions, mentions
from curation.sequence import Times, wrong_orders
from curation.source_clip import UNLABELLED
from curation.stems import tokens
from curation.wording import wording
from manifests.schema import Check, Phrase, Soundscape

_ECHO_WORDS = 8  # so many words in a row of the prompt are no accident
_MOST_NAMED = 5  # things that one sentence to the model names

_CHATTER = re.compile(
    r"\b(?:as an? (?:ai|language model|assistant)\b|unfortunately|sorry|apologi[sz]e|i (?:cannot|can't|can not|won't|am|hear)"
    r"|i['\u2019](?:m|ve|d|ll)|my apologies|great question|thank you|you(?:r| asked| provided| requested| would)"
    r"|here(?:'s| is| are)\b.{0,30}\b(?:caption|sentence|description)|(?:this|the) caption(?! (?:should|must))|caption:"
    r"|(?:audio|sound) (?:clip|file)|json|timeline|as requested|let me know|hope this|happy to|feel free)"
    r"|^(?:sure(?![\w-])|certainly[,!:]|of course|okay|absolutely[,!:])|^i\b",
    re.IGNORECASE,
)
_INSTRUCTION = re.compile(
    r"^\W{0,3}(?:(?:write|mention|describe|do not|don't|avoid|answer|return|respond|output|generate|summari[sz]e)\b"
    r"|use (?:natural|simple|plain|only|no|the|short|words|one|a few)\b|say (?:how|what|which|when|only)\b"
    r"|(?:give|keep|include) (?:no|one|it|the|only|every|all|a caption)\b"
    r"|(?:style|task|rules?|instructions?|format|input|output|user|system|assistant)\s?:)"
    r"|\b(?:caption|sentence|answer|description) (?:should|must|needs to)\b"
    r"|\b(?:do not|don't) (?:mention|list|use|give|include|repeat)\b"
    r"|\b(?:under|at most|fewer than|no more than|up to|of) (?:\w+ to )?\w+ words\b",
    re.IGNORECASE,
)
_TIMES = re.compile(
    r"\d+(?:[.,]\d+)?\s?-?\s?(?:s|sec|secs|seconds?|ms|milliseconds?|min|mins|minutes?)\b|\d:\d\d|\d[.,]\d",
    re.IGNORECASE,
)
_MARKUP = re.compile(r"[*_`#<>{}\[\]|\\]|https?:|^[-\u2022]\s")
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What was asked for.

    Args:
        fewest_words, most_words: of a caption, both included.
        times: the prompt asks for times in digits.
    """

    fewest_words: int = 3
    most_words: int = 60
    times: bool = False


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
        finish_reason: str = "stop",
        prompt: str = "",
        limits: Limits = Limits(),  # noqa: B008 - it cannot change
    ) -> list[Result]:
        """Every check of a caption, in the order of CHECKS.

        Args:
            text: the caption as the model wrote it, without its JSON; any text at all.
            soundscape: what it is about.
            finish_reason: as the server gave it; "stop" alone means that the answer is whole.
            prompt: the instructions that must not come back as a caption.
            limits: what was asked for.
        """
        heard = {sound.cluster: sound for sound in sounds(soundscape)}
        present = self._present(soundscape)
        said = mentions(tokens(text), list(present.items()))
        mentioned = {cluster for mention in said.found for cluster in mention.clusters}
        missing = [sound for sound in heard.values() if sound.spans and sound.cluster not in mentioned]
        problems = self._form(text, present, finish_reason=finish_reason, prompt=prompt, limits=limits)
        problems["complete"] = _named("it does not mention", [wording(sound.label).words for sound in missing])
        problems["nothing_invented"] = _invented(said)
        problems["order"] = "; ".join(wrong_orders(said, _times(soundscape), soundscape.duration)[:_MOST_NAMED])
        problems["counts"] = "; ".join(wrong_counts(said, heard)[:_MOST_NAMED])
        return _results(problems)

    def check_event(
        self,
        text: str,
        soundscape: Soundscape,
        cluster: str,
        *,
        finish_reason: str = "stop",
        prompt: str = "",
        limits: Limits = Limits(),  # noqa: B008 - it cannot change
    ) -> list[Result]:
        """The same of a phrase about one sound: it must mention that, and no other.

        Args:
            text: the phrase as the model wrote it.
            soundscape: what the sound is heard in.
            cluster: of the sound; one of the soundscape's.
            finish_reason, prompt, limits: as for `check`.
        """
        present = self._present(soundscape)
        heard: dict[str, Sound] = {sound.cluster: sound for sound in sounds(soundscape)}
        said = mentions(tokens(text), list(present.items()))
        label = heard[cluster].label if cluster in heard else cluster
        others = [mention.text for mention in said.found if cluster not in mention.clusters]
        problems = self._form(text, present, finish_reason=finish_reason, prompt=prompt, limits=limits)
        about = any(cluster in mention.clusters for mention in said.found)
        problems["complete"] = "" if about else f"it does not mention: {wording(label).words}"
        problems["nothing_invented"] = _invented(said) or _named("it mentions another sound", others)
        problems["order"] = ""
        problems["counts"] = "; ".join(wrong_counts(said, heard)[:_MOST_NAMED])
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

    @staticmethod
    def _form(
        text: str, present: dict[str, Known], *, finish_reason: str, prompt: str, limits: Limits
    ) -> dict[str, str]:
        """What is wrong with a text whatever can be heard; by name, empty for what passed."""
        words = text.split()
        given = frozenset().union(*(known.words for known in present.values()))
        passed: dict[str, Callable[[], object]] = {
            "finished": lambda: finish_reason == "stop",
            "not_empty": lambda: words,
            "one_line": lambda: not any(unicodedata.category(char) in _UNPRINTABLE for char in set(text)),
            "plain": lambda: not _MARKUP.search(text),
            "length": lambda: limits.fewest_words <= len(words) <= limits.most_words,
            "one_sentence": lambda: not re.search(r"[.!?](?=\s)", text.strip()),
            "no_chatter": lambda: not _CHATTER.search(text),
            "no_echo": lambda: not (_INSTRUCTION.search(text) or _shares_run(text, prompt)),
            "no_times": lambda: limits.times or not _TIMES.search(text),
            "english": lambda: is_english(text, given=given),
        }
        wrong = {
            "finished": "it was cut off or withheld",
            "not_empty": "it is empty or not the JSON object asked for",
            "one_line": "it holds line breaks or characters that cannot be printed",
            "plain": "it holds markup or underscores",
            "length": f"it has {len(words)} words, not {limits.fewest_words} to {limits.most_words}",
            "one_sentence": "it is more than one sentence",
            "no_chatter": "it talks about the task instead of the sounds",
            "no_echo": "it repeats the instructions",
            "no_times": "it gives times in digits",
            "english": "it is not in English",
        }
        return {name: "" if passed[name]() else problem for name, problem in wrong.items()}


_UNPRINTABLE = frozenset({"Cc", "Cs", "Co", "Zl", "Zp"})


def _results(problems: dict[str, str]) -> list[Result]:
    return [Result(name, not problems[name], problems[name]) for name in CHECKS]


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
    text = " ".join(unicodedata.normalize("NFC", text).split()).rstrip(" .!?,;:") + "."
    return text[0].upper() + text[1:]


def _shares_run(text: str, prompt: str) -> bool:
    return not _runs(text[:10_000]).isdisjoint(_runs_of_prompt(prompt))


def _runs(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"[a-z']+", text.lower())
    return {tuple(words[at : at + _ECHO_WORDS]) for at in range(len(words) - _ECHO_WORDS + 1)}


@functools.lru_cache(maxsize=64)
def _runs_of_prompt(prompt: str) -> set[tuple[str, ...]]:
    return _runs(prompt)


PROBLEMS = {
    "finished": "it was cut off or withheld",
    "not_empty": "it is empty or not the JSON object asked for",
    "one_line": "it holds line breaks or characters that cannot be printed",
    "plain": "it holds markup or underscores",
    "length": "it has fewer than 3 or more than 60 words",
    "one_sentence": "it is more than one sentence",
    "no_chatter": "it talks about the task instead of the sounds",
    "no_echo": "it repeats the instructions",
    "no_times": "it gives times in digits",
    "english": "it is not in English",
}


def check_caption(text: str, *, finish_reason: str, prompt: str, labels: Iterable[str]) -> list[Check]:
    """The checks of PROBLEMS, in its order."""
    present = {label: Clusters(()).known(label, label) for label in labels}
    problems = Checker._form(text, present, finish_reason=finish_reason, prompt=prompt, limits=Limits())
    return [Check(name=name, passed=not problems[name]) for name in PROBLEMS]
