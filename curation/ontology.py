"""An ontology in AudioSet's format: which names a sound has, and which sounds are more general or more special."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curation.wording import plain_words
from manifests.errors import FlamError

_NO_NAMES = frozenset({"", "etc"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """One sound, and the kinds of it."""

    id: str
    name: str  # alternatives are separated by commas
    child_ids: tuple[str, ...]


class Ontology:
    """Sounds by id. A sound may have several parents; children that are not there are left out."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = {node.id: node for node in nodes}
        self.dangling = sorted({child for node in nodes for child in node.child_ids if child not in self.nodes})
        self._children = {
            node.id: [child for child in dict.fromkeys(node.child_ids) if child in self.nodes] for node in nodes
        }
        self._parents: dict[str, list[str]] = {node.id: [] for node in nodes}
        for parent, children in self._children.items():
            for child in children:
                self._parents[child].append(parent)
        self._whole = _index((node.id, whole) for node in nodes for whole in _whole_names(node.name))
        self._parts = _index((node.id, part) for node in nodes for part in _parts(node.name))

    def match(self, label: str) -> str | None:
        """The id of the sound that a label is, by its id, its name or one of its names; None if none or several are."""
        if label in self.nodes:
            return label
        words = plain_words(label)
        for index in (self._whole, self._parts):
            if found := index.get(words):
                return next(iter(found)) if len(found) == 1 else None
        return None

    def names(self, node_id: str) -> list[str]:
        """What a sound is called, in plain words. A part that several sounds have is no name: "inside, small room"."""
        parts = [part for part in _parts(self.nodes[node_id].name) if len(self._parts[part]) == 1]
        return list(dict.fromkeys(parts)) or [plain_words(self.nodes[node_id].name) or node_id]

    def all_names(self, node_ids: Iterable[str]) -> set[str]:
        """Every text that may stand for one of these sounds."""
        names = [self.nodes[node_id].name for node_id in node_ids]
        return {text for name in names for text in (*_whole_names(name), *_parts(name))}

    def above(self, node_id: str) -> set[str]:
        """The ids of all that is more general."""
        return _reached(node_id, self._parents)

    def below(self, node_id: str) -> set[str]:
        """The ids of all that is more special."""
        return _reached(node_id, self._children)

    def circles(self) -> list[str]:
        """Names of sounds that lie on, or between, circles of children."""
        left = _peeled(_peeled(set(self.nodes), self._children, self._parents), self._parents, self._children)
        return sorted(self.nodes[node_id].name for node_id in left)

    def to_json(self) -> list[dict[str, Any]]:
        """As AudioSet's file, without what is not used."""
        return [{"id": node.id, "name": node.name, "child_ids": list(node.child_ids)} for node in self.nodes.values()]


def load_ontology(path: Path) -> Ontology:
    """The ontology of a file; raises FlamError saying which entry is wrong."""
    try:
        content = json.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise FlamError(
            f"cannot read {path}: {error.strerror}; give AudioSet's ontology.json or a file like it"
        ) from None
    except (ValueError, RecursionError) as error:
        raise FlamError(f"{path} is no JSON ({error}); give AudioSet's ontology.json or a file like it") from None
    if not isinstance(content, list) or not content:
        raise FlamError(f"{path}: not a list of sounds; give AudioSet's ontology.json or a file like it")
    nodes: dict[str, Node] = {}
    for index, entry in enumerate(content, 1):
        if what := _problem(entry):
            raise FlamError(f"{path}: sound {index} of {len(content)}: {what}; mend it")
        node = Node(id=entry["id"], name=entry["name"], child_ids=tuple(entry.get("child_ids", ())))
        if node.id in nodes:
            raise FlamError(f"{path}: sound {index} of {len(content)}: id {node.id!r} occurs twice; remove one")
        nodes[node.id] = node
    return Ontology(list(nodes.values()))


def _problem(entry: Any) -> str:
    if not isinstance(entry, dict):
        return "is no JSON object"
    for field in ("id", "name"):
        if not _is_text(entry.get(field)):
            return f"{field} is missing or no text"
    children = entry.get("child_ids", [])
    if not isinstance(children, list) or not all(map(_is_text, children)):
        return "child_ids is no list of ids"
    return ""


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and not any("\ud800" <= char <= "\udfff" for char in value)


def _whole_names(name: str) -> Iterator[str]:
    """The name as a label may write it: FSD50K has "and" for AudioSet's commas."""
    yield from {plain_words(name), plain_words(name.replace(",", " and "))} - _NO_NAMES


def _parts(name: str) -> list[str]:
    return [words for part in name.split(",") if (words := plain_words(part)) not in _NO_NAMES]


def _index(names: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for node_id, name in names:
        found[name].add(node_id)
    return dict(found)


def _reached(start: str, steps: Mapping[str, Sequence[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(steps[start])
    while waiting:
        if (at := waiting.pop()) not in found:
            found.add(at)
            waiting += steps[at]
    return found - {start}


def _peeled(nodes: set[str], ahead: Mapping[str, Sequence[str]], behind: Mapping[str, Sequence[str]]) -> set[str]:
    """What stays when those that nothing is behind of are taken away, again and again."""
    counts = {node: sum(other in nodes for other in behind[node]) for node in nodes}
    waiting = [node for node, count in counts.items() if not count]
    gone = set(waiting)
    while waiting:
        for other in ahead[waiting.pop()]:
            if other in counts and other not in gone:
                counts[other] -= 1
                if not counts[other]:
                    gone.add(other)
                    waiting.append(other)
    return nodes - gone
