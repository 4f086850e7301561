"""A text as words with their stems: what captions, labels and the vocabulary are compared by."""

import functools
import re
from dataclasses import dataclass

import snowballstemmer

_MOST_CHARACTERS = 2000  # of a text that are looked at; no caption is that long
_LONGEST_WORD = 40  # characters; a longer one is no English word
_TOKEN = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*|[.,;:!?()\u2013\u2014]|-(?=\s)")
_PLURALS = frozenset({"children", "feet", "geese", "mice", "oxen", "people", "teeth"})
_FORMS = {
    "beat": "beaten",
    "bite": "bit bitten",
    "blow": "blew blown",
    "break": "broke broken",
    "bus": "buses",
    "child": "children",
    "draw": "drew drawn",
    "drink": "drank drunk",
    "drive": "drove driven",
    "eat": "ate eaten",
    "fall": "fell fallen",
    "fly": "flew flown flying",
    "foot": "feet",
    "go": "goes went gone going",
    "goose": "geese",
    "hoof": "hooves",
    "knife": "knives",
    "leaf": "leaves",
    "mouse": "mice",
    "ox": "oxen",
    "ring": "rang rung",
    "run": "ran",
    "saw": "sawn",
    "shake": "shook shaken",
    "sing": "sang sung",
    "slide": "slid",
    "speak": "spoke spoken",
    "strike": "struck",
    "stride": "strode",
    "sweep": "swept",
    "swim": "swam swum",
    "tear": "tore torn",
    "throw": "threw thrown",
    "tooth": "teeth",
    "tread": "trod trodden",
    "weep": "wept",
    "wolf": "wolves",
    "write": "wrote written",
}
_BASE = {form: base for base, forms in _FORMS.items() for form in forms.split()}
_STEMMER = snowballstemmer.stemmer("english")


@dataclass(frozen=True, slots=True)
class Token:
    """A word, or a mark between words.

    Args:
        text: lower-cased, without 's.
        stem: what its inflections have in common; empty for a mark.
        plural: whether it ends like a plural.
    """

    text: str
    stem: str
    plural: bool


def tokens(text: str) -> list[Token]:
    """The words and marks of a text; of a very long one, those of its beginning."""
    return [_token(found) for found in _TOKEN.findall(text[:_MOST_CHARACTERS].lower())]


@functools.lru_cache(maxsize=1 << 13)
def _token(text: str) -> Token:
    if not text[0].isalnum():
        return Token(text, "", plural=False)
    text = text.replace("\u2019", "'").removesuffix("'s")
    return Token(text, stem(text), (len(text) > 3 and text[-1] == "s" and text[-2] != "s") or text in _PLURALS)


@functools.lru_cache(maxsize=1 << 15)
def stem(word: str) -> str:
    """The stem of a lower-cased word; a word that is none in English keeps its form."""
    if len(word) > _LONGEST_WORD or not word.isascii():
        return word
    found = str(_STEMMER.stemWord(_BASE.get(word, word)))
    return found[:-1] if found.endswith("rr") else found  # it makes "pur" of "purring", but not of "purr"


def words_of(text: str) -> frozenset[str]:
    """The words of a list that is written as a text."""
    return frozenset(text.split())
