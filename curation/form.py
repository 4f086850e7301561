"""Is a text a caption at all, whatever can be heard: its length, its language, no chatter, no markup."""

import functools
import re
import unicodedata
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from curation.language import is_english

_MOST_CHARACTERS = 2000  # of a caption
_ECHO_WORDS = 8  # so many words in a row of the prompt are no accident

_CHATTER = re.compile(
    r"\b(?:as an? (?:ai|language model|assistant)\b|unfortunately|sorry|apologi[sz]e"
    r"|i (?:cannot|can't|can not|won't|am|hear)"
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
    r"(?<!\d)\d{1,9}(?:[.,]\d{1,9})?\s?-?\s?(?:s|sec|secs|seconds?|ms|milliseconds?|min|mins|minutes?)\b|\d:\d\d|\d[.,]\d",
    re.IGNORECASE,
)
_MARKUP = re.compile(r"[*_`#<>{}\[\]|\\]|https?:|^[-\u2022]\s")
_UNPRINTABLE = frozenset({"Cc", "Cs", "Co", "Zl", "Zp"})


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


def form_problems(
    text: str, *, given: AbstractSet[str], finish_reason: str, prompt: str, limits: Limits
) -> dict[str, str]:
    """What is wrong with a text, by the name of the check; empty for what passed.

    Args:
        text: any text.
        given: stems of the labels' words; they tell nothing about the language.
        finish_reason: as the server gave it; "stop" alone means that the answer is whole.
        prompt: the instructions that must not come back as a caption.
        limits: what was asked for.
    """
    words = text.split()
    start = text[:_MOST_CHARACTERS].strip()  # what is longer fails
    passed: dict[str, Callable[[], object]] = {
        "finished": lambda: finish_reason == "stop",
        "not_empty": lambda: words,
        "one_line": lambda: not any(unicodedata.category(char) in _UNPRINTABLE for char in set(text)),
        "plain": lambda: not _MARKUP.search(start),
        "length": lambda: limits.fewest_words <= len(words) <= limits.most_words and len(text) <= _MOST_CHARACTERS,
        "one_sentence": lambda: not re.search(r"[.!?](?=\s)", start),
        "no_chatter": lambda: not _CHATTER.search(start),
        "no_echo": lambda: not (_INSTRUCTION.search(start) or _shares_run(start, prompt)),
        "no_times": lambda: limits.times or not _TIMES.search(start),
        "english": lambda: is_english(start, given=given),
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


def _shares_run(text: str, prompt: str) -> bool:
    return not _runs(text).isdisjoint(_runs_of_prompt(prompt))


def _runs(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"[a-z']+", text.lower())
    return {tuple(words[at : at + _ECHO_WORDS]) for at in range(len(words) - _ECHO_WORDS + 1)}


@functools.lru_cache(maxsize=64)
def _runs_of_prompt(prompt: str) -> set[tuple[str, ...]]:
    return _runs(prompt)
