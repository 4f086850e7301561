"""Is a model's answer a usable caption? Each reason why not has a name, told to the model too."""

import re
import unicodedata
from collections.abc import Iterable

from manifests.schema import Check

FEWEST_WORDS, MOST_WORDS = 3, 60
_ECHO_WORDS = 8  # so many words in a row of the prompt are no accident

_CHATTER = re.compile(
    r"\b(?:as an? (?:ai|language model|assistant)|i(?:'m| am) (?:sorry|unable|not able)"
    r"|i (?:cannot|can't|can not|won't)"
    r"|here(?:'s| is| are)\b.{0,30}\b(?:caption|sentence|description)|th(?:e|is) caption|caption:"
    r"|(?:audio|sound) (?:clip|file)|json|timeline|as requested|let me know)"
    r"|^(?:sure|certainly|of course|okay)\b",
    re.IGNORECASE,
)
_TIMES = re.compile(
    r"\d+(?:[.,]\d+)?\s*-?\s*(?:s|sec|secs|seconds?|ms|milliseconds?|minutes?)\b|\d:\d\d|\d+[.,]\d",
    re.I,
)
_MARKUP = re.compile(r"[*_`#<>{}\[\]|\\]|https?:|^[-\u2022]\s")
PROBLEMS = {
    "finished": "it was cut off or withheld",
    "not_empty": "it is empty or not the JSON object asked for",
    "one_line": "it holds line breaks or characters that cannot be printed",
    "plain": "it holds markup or underscores",
    "length": f"it has fewer than {FEWEST_WORDS} or more than {MOST_WORDS} words",
    "one_sentence": "it is more than one sentence",
    "no_chatter": "it talks about the task instead of the sounds",
    "no_echo": "it repeats the instructions",
    "no_times": "it gives times in digits",
    "english": "it is not in English",
}


def check_caption(text: str, *, finish_reason: str, prompt: str, labels: Iterable[str]) -> list[Check]:
    """Every check in the order of PROBLEMS, passed or not.

    Args:
        text: the caption as the model wrote it, without its JSON.
        finish_reason: as the server gave it; "stop" alone means that the answer is whole.
        prompt: the instructions that must not come back as a caption.
        labels: words of the soundscape's labels; what they say is no sign of another language.
    """
    words = text.split()
    results = {
        "finished": finish_reason == "stop",
        "not_empty": bool(words),
        "one_line": not any(unicodedata.category(char) in ("Cc", "Cs", "Co", "Zl", "Zp") for char in text),
        "plain": not _MARKUP.search(text),
        "length": FEWEST_WORDS <= len(words) <= MOST_WORDS,
        "one_sentence": len(re.findall(r"[.!?](?=\s)", text.strip())) == 0,
        "no_chatter": not _CHATTER.search(text),
        "no_echo": not _shares_run(text, prompt),
        "no_times": not _TIMES.search(text),
        "english": _is_latin(text, labels),
    }
    return [Check(name=name, passed=results[name]) for name in PROBLEMS]


def failed(checks: Iterable[Check]) -> list[str]:
    """Names of the checks that did not pass."""
    return [check.name for check in checks if not check.passed]


def tidy(text: str) -> str:
    """A good caption in the dataset's form: NFC, single spaces, a capital and a full stop."""
    text = " ".join(unicodedata.normalize("NFC", text).split()).rstrip(" .!?,;:") + "."
    return text[0].upper() + text[1:]


def _shares_run(text: str, prompt: str) -> bool:
    def runs(of: str) -> set[tuple[str, ...]]:
        words = re.findall(r"[a-z']+", of.lower())
        return {tuple(words[at : at + _ECHO_WORDS]) for at in range(len(words) - _ECHO_WORDS + 1)}

    return not runs(text[:10_000]).isdisjoint(runs(prompt))


def _is_latin(text: str, labels: Iterable[str]) -> bool:
    """At least 9 of 10 letters are Latin: a coarse sign of English, but one that needs no model."""
    for label in labels:
        text = text.replace(label, "")
    letters = [char for char in text if char.isalpha()]
    return sum(char.isascii() for char in letters) >= 0.9 * len(letters)
