"""The English words that mention sounds, read from sounds.toml: which sounds a word may be about, and how surely.

Sets of sounds are bit masks, for they are met and joined some ten times a caption. Bit i stands for the i-th sound of
the file; a sound that is more general than others ("animal") has a bit of its own.
"""

import functools
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from curation.stems import Token, stem

_PATH = Path(__file__).with_name("sounds.toml")
_NOTHING = "nothing"  # the entry whose words mention no sound


_AFTER_CAN = frozenset({"be", "hear", "also", "still", "only", "just"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Meaning:
    """Which sounds a word, or several that go together, may be about; each a bit mask.

    Args:
        named: those that it names by itself.
        claimed: those that it says are heard: named ones, and those that do what a shared verb says.
        general: claimed ones and those that are kinds of them.
        hinted: those that it may be about, but does not claim.
        near: all that it fits in any way; words that stand together are about what is near to all of them.
    """

    named: int = 0
    claimed: int = 0
    general: int = 0
    hinted: int = 0
    near: int = 0

    def with_(self, other: "Meaning") -> "Meaning | None":
        """What both are about if they stand together; None if there is no such sound."""
        near = self.near & other.near
        if not near:
            return None
        return Meaning(
            named=(self.named | other.named) & near,
            claimed=(self.claimed | other.claimed) & near,
            general=(self.general | other.general) & near,
            hinted=(self.hinted | other.hinted) & near,
            near=near,
        )


NO_SOUND = Meaning()


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Every term by its first word, the longest first."""

    terms: Mapping[str, Sequence[tuple[tuple[str, ...], Meaning]]]
    bits: Mapping[str, int]  # mask of each sound, by name
    sources: int  # sounds that are named by what makes them: "two dogs" is no count of barks
    wholes: Mapping[int, int]  # bit of a sound that something makes -> bit of that thing
    kinds: Mapping[int, int]  # bit -> all that is near to it: the kinds and parts of that sound, and itself

    def match(self, words: Sequence[Token], at: int) -> tuple[int, Meaning] | None:
        """The longest term that begins with word `at`: how many words, and what it means."""
        found = None
        for key in (f"={words[at].text}", words[at].stem):
            for term, meaning in self.terms.get(key, ()):
                if (found is None or len(term) > found[0]) and fits(term, words, at):
                    found = len(term), meaning
                    break
        return found

    def knows(self, word: str) -> bool:
        """Whether a word (its stem) begins a term."""
        return word in self.terms

    def near(self, mask: int) -> int:
        """A mask with the kinds and parts of its sounds."""
        for bit in _bits(mask):
            mask |= self.kinds[bit]
        return mask

    def whole(self, mask: int) -> int:
        """The things that make the sounds of a mask."""
        return _join(self.wholes.get(bit, 0) for bit in _bits(mask))


def fits(term: Sequence[str], words: Sequence[Token], at: int) -> bool:
    """Whether the words from `at` on are this term; "=" asks for a word as it stands."""
    end = at + len(term)
    if end > len(words):
        return False
    if words[end - 1].text == "can" and end < len(words) and words[end].text in _AFTER_CAN:
        return False  # no tin: "a drink can be heard"
    for place, key in enumerate(term, at):
        word = words[place]
        if key != word.stem and (key[0] != "=" or key[1:] != word.text):
            return False
    return True


@functools.cache
def vocabulary() -> Vocabulary:
    """The vocabulary of sounds.toml, made once."""
    entries = tomllib.loads(_PATH.read_text("utf-8"))
    bits = {name: 1 << index for index, name in enumerate(entries)}
    parents = {name: _listed(entry.get("is", "")) for name, entry in entries.items()}
    kinds = {name: _join(bits[kind] for kind in entries if _is_a(kind, name, parents)) for name in entries}
    parts = {
        name: _join(bits[part] for part, entry in entries.items() if entry.get("part") == name) for name in entries
    }
    terms: dict[tuple[str, ...], Meaning] = defaultdict(Meaning)
    for name, entry in entries.items():
        bit, near = bits[name], kinds[name] | parts[name]
        for role in ("names", "acts", "hints", "with"):
            for words in _listed(entry.get(role, "")):
                term = tuple(word if word[0] == "=" else stem(word) for word in _words(words))
                terms[term] = NO_SOUND if name == _NOTHING else _added(terms[term], role, bit, kinds[name], near)
    by_first: dict[str, list[tuple[tuple[str, ...], Meaning]]] = defaultdict(list)
    for term, meaning in sorted(terms.items(), key=lambda item: -len(item[0])):
        by_first[term[0]].append((term, meaning))
    return Vocabulary(
        terms=dict(by_first),
        bits=bits,
        sources=kinds["animal"] | kinds["vehicle"] | kinds["children playing"] | kinds["machine"] | kinds["music"],
        wholes={bits[name]: bits[entry["part"]] for name, entry in entries.items() if "part" in entry},
        kinds={bits[name]: kinds[name] | parts[name] for name in entries},
    )


def _added(meaning: Meaning, role: str, bit: int, kinds: int, near: int) -> Meaning:
    changed = replace(meaning, near=meaning.near | near)
    if role == "names":
        changed = replace(changed, named=meaning.named | bit)
    if role in ("names", "acts"):
        return replace(changed, claimed=meaning.claimed | bit, general=meaning.general | kinds)
    return replace(changed, hinted=meaning.hinted | bit) if role == "hints" else changed


def _is_a(kind: str, name: str, parents: Mapping[str, Sequence[str]]) -> bool:
    return kind == name or any(_is_a(parent, name, parents) for parent in parents[kind])


def _listed(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _words(text: str) -> list[str]:
    """The words of a term; "=can be" asks for both as they stand."""
    exact = text.startswith("=")
    return [f"={word}" if exact else word for word in text.removeprefix("=").replace("-", " ").split()]


def _bits(mask: int) -> list[int]:
    found = []
    while mask:
        low = mask & -mask
        found.append(low)
        mask ^= low
    return found


def _join(masks: Iterable[int]) -> int:
    total = 0
    for mask in masks:
        total |= mask
    return total
