"""Is a text in English? By words that are frequent in some languages, and without a model."""

import tomllib
from collections.abc import Set as AbstractSet
from pathlib import Path

from curation.stems import stem, tokens, words_of
from curation.vocabulary import vocabulary

_LEAST_ENGLISH = 0.34  # share of the words; names of sounds that no list knows are the rest
_LEAST_LATIN = 0.9  # share of the letters

_LISTS = tomllib.loads(Path(__file__).with_name("languages.toml").read_text("utf-8"))
_ENGLISH = frozenset(map(stem, words_of(_LISTS["english"])))
_FOREIGN = words_of(_LISTS["foreign"])
_BORROWED = words_of(_LISTS["borrowed"])


def is_english(text: str, *, given: AbstractSet[str] = frozenset()) -> bool:
    """Whether enough of a text is English; one without words is.

    Args:
        text: the text.
        given: stems of words that tell nothing, whatever their language: those of the labels.
    """
    words = [token for token in tokens(text) if token.stem and token.stem not in given and not token.text.isdigit()]
    if not text.isascii():
        letters = [char for token in words for char in token.text if char.isalpha()]
        if sum(_is_latin(char) for char in letters) < _LEAST_LATIN * len(letters):
            return False
    known = vocabulary()
    english = foreign = 0
    for token in words:
        if token.stem in _ENGLISH or known.knows(token.stem):
            english += 1
        elif token.text in _FOREIGN or not (token.text.isascii() or token.text in _BORROWED):
            foreign += 1
    if foreign > max(1.0, english / 3):
        return False
    return len(words) < 3 or english >= _LEAST_ENGLISH * len(words)


def _is_latin(char: str) -> bool:
    return ord(char) < 0x250 or 0x1E00 <= ord(char) < 0x1F00
