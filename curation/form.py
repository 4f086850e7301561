"""Is a text a caption at all, whatever can be heard: its length, its language, no chatter, no markup."""

import functools
import re
import unicodedata
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from curation.language import is_english
from curation.stems import stem

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
    r"^\W{0,3}(?:(?:write|mention|describe|do not|don't|avoid|ignore|disregard|answer|return|respond|output|generate"
    r"|summari[sz]e)\b"
    r"|use (?:natural|simple|plain|only|no|the|short|words|one|a few)\b|say (?:how|what|which|when|only)\b"
    r"|(?:give|keep|include) (?:no|one|it|the|only|every|all|a caption)\b"
    r"|(?:style|task|rules?|instructions?|format|input|output|user|system|assistant)\s?:)"
    r"|\b(?:caption|sentence|answer|description) (?:should|must|needs to)\b"
    r"|\b(?:do not|don't) (?:mention|list|use|give|include|repeat)\b"
    r"|\b(?:under|at most|fewer than|no more than|up to|of) (?:\w+ to )?\w+ words\b",
    re.IGNORECASE,
)
_NUMBER = (
    r"(?:\d{1,9}(?:[.,]\d{1,9})?|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|[a-z]{3,5}teen|twenty"
    r"|thirty|forty|fifty|sixty)"
)
_TIMES = re.compile(  # "a second one" and "at one point" are none
    rf"(?<!\w){_NUMBER}(?: and a half)?\s?-?\s?(?:seconds?|milliseconds?|minutes?)\b"
    r"|(?<!\d)\d{1,9}\s?-?\s?(?:s|secs?|ms|mins?)\b|\d:\d\d|\d[.,]\d"
    r"|\b(?:half|quarter) (?:of )?a (?:second|minute)\b"
    r"|\b(?:first|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth) (?:second|minute)\b"
    rf"|\b(?:at|from|by|until|till|after|around) (?:the )?(?:second|minute) (?!one\b){_NUMBER}\b",
    re.IGNORECASE,
)
_HAS_UNIT = re.compile(r"\d|second|minute", re.IGNORECASE)  # what _TIMES, which takes long, cannot match without
_MOMENT = re.compile(  # "at five"
    rf"\b(?:at|from|until|till) (?!one\b){_NUMBER}"
    r"(?=\W*$|[,.;:)]|\s?[-\u2013\u2014]|\s(?:and|to|until|till|then|a|an|the)\b)",
    re.IGNORECASE,
)
_DATA = re.compile(  # of the question; nobody hears decibels
    r"(?<![a-z])db\w*|\bdecibels?\b|\bluf?s\b|\bsnr\b|\bids?\b(?=\W{0,3}\d)", re.IGNORECASE
)
_MARKUP = re.compile(r"[*_`#<>{}\[\]|\\]|https?:|^[-\u2022]\s")
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What was asked for.

    Args:
        fewest_words, most_words: of a caption, both included.
        times: the prompt asks for times.
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
    kinds = set(map(unicodedata.category, set(text)))
    passed: dict[str, Callable[[], object]] = {
        "finished": lambda: finish_reason == "stop",
        "not_empty": lambda: words,
        "one_line": lambda: kinds.isdisjoint(_UNPRINTABLE),
        "plain": lambda: not (_MARKUP.search(start) or "So" in kinds),
        "length": lambda: limits.fewest_words <= len(words) <= limits.most_words and len(text) <= _MOST_CHARACTERS,
        "one_sentence": lambda: not re.search(r"[.!?](?=\s)", start),
        "no_chatter": lambda: not _CHATTER.search(start),
        "no_echo": lambda: not (_INSTRUCTION.search(start) or _shares_run(start, prompt) or _shows_data(start, given)),
        "no_times": lambda: limits.times or not _tells_times(start),
        "english": lambda: is_english(start, given=given),
    }
    wrong = {
        "finished": "it was cut off or withheld",
        "not_empty": "it is empty or not the JSON object asked for",
        "one_line": "it holds line breaks or characters that cannot be printed",
        "plain": "it holds markup, underscores or symbols",
        "length": f"it has {len(words)} words, not {limits.fewest_words} to {limits.most_words}",
        "one_sentence": "it is more than one sentence",
        "no_chatter": "it talks about the task instead of the sounds",
        "no_echo": "it repeats the instructions or numbers from the JSON object",
        "no_times": "it gives times",
        "english": "it is not in English",
    }
    return {name: "" if passed[name]() else problem for name, problem in wrong.items()}


def _tells_times(text: str) -> bool:
    return bool((_HAS_UNIT.search(text) and _TIMES.search(text)) or _MOMENT.search(text))


def _shows_data(text: str, given: AbstractSet[str]) -> bool:
    return any(stem(found.lower()) not in given for found in _DATA.findall(text))


def _shares_run(text: str, prompt: str) -> bool:
    return not _runs(text).isdisjoint(_runs_of_prompt(prompt))


def _runs(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"[a-z']+", text.lower())
    return {tuple(words[at : at + _ECHO_WORDS]) for at in range(len(words) - _ECHO_WORDS + 1)}


@functools.lru_cache(maxsize=64)
def _runs_of_prompt(prompt: str) -> set[tuple[str, ...]]:
    return _runs(prompt)
