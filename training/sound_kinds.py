"""What kind of sound the words of a text name: an animal, a machine, something that rings or scrapes.

Word vectors know little of how things sound; to them a crow is nearer to a click than to a bird. A model that hears a
few dozen labels learns what their kinds sound like, and the table says of what kind a word is that it never heard.
"""

import functools
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import snowballstemmer
from jaxtyping import Float

_TABLES = Path(__file__).parent / "kinds"
_STEMMER = snowballstemmer.stemmer("english")


class SoundKinds:
    """A table of sound words by kind. Words are compared by their stems: `barks` is `barking`."""

    def __init__(self, members: Mapping[str, frozenset[str]]) -> None:
        """Of the words of each kind; a kind's own name is one of them."""
        self.names = sorted(members)
        rows: dict[tuple[str, ...], Float[np.ndarray, " kind"]] = {}
        for column, name in enumerate(self.names):
            for term in sorted(members[name]):
                rows.setdefault(_stems(term), np.zeros(len(self.names), np.float32))[column] = 1.0
        self._rows = {term: row / row.sum() for term, row in rows.items()}
        self._longest = max(map(len, rows))

    def shares(self, text: str) -> Float[np.ndarray, " kind"]:
        """How much of each kind a text names, in all 1.0; zeros if it names none that is known.

        The longest run of words that is in the table counts: a mouse click is no mouse.
        """
        stems, found, place = _stems(text), [], 0
        while place < len(stems):
            for length in range(min(self._longest, len(stems) - place), 0, -1):
                row = self._rows.get(stems[place : place + length])
                if row is not None:
                    found.append(row)
                    place += length - 1
                    break
            place += 1
        return np.mean(found, axis=0) if found else np.zeros(len(self.names), np.float32)


@functools.cache
def load_kinds(version: str) -> SoundKinds:
    """The table of a version; a model keeps the version that it was trained with."""
    content = tomllib.loads((_TABLES / f"{version}.toml").read_text("utf-8"))
    listed = {
        kind.replace("-", " "): [term.strip() for term in terms.replace("\n", " ").split(",")]
        for part in content.values()
        for kind, terms in part.items()
    }
    return SoundKinds({kind: _with_members(kind, listed) for kind in listed})


def _with_members(kind: str, listed: Mapping[str, list[str]]) -> frozenset[str]:
    """The words of a kind, and of the kinds among them."""
    found, waiting = {kind}, list(listed[kind])
    while waiting:
        term = waiting.pop()
        if term not in found:
            found.add(term)
            waiting += listed.get(term, [])
    return frozenset(found)


@functools.lru_cache(maxsize=65536)
def _stems(text: str) -> tuple[str, ...]:
    return tuple(_stem(word) for word in re.findall(r"[a-z]+", text.casefold()))


@functools.lru_cache(maxsize=65536)
def _stem(word: str) -> str:
    return str(_STEMMER.stemWord(word))
