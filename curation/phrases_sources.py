"""What a phrase table is made from besides labels: DATA/phrases/, which every later run reads again.

ontology.json is the ontology's names and children, answers.jsonl what a model said of each label, and
corrections.json what a user changed.
"""

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from curation.ontology import Ontology, load_ontology
from manifests.errors import FlamError
from manifests.store import read_json, write_json

Kind = Literal["phrase", "ancestor", "near miss"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelAnswer:
    """What a language model said of one label."""

    label: str
    model: str
    prompt_hash: str
    synonyms: list[str]
    near_misses: list[str]
    parents: list[str]
    rejected: str  # why the answer can't be used; empty if it can
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Correction:
    """A user's word on one text of one cluster."""

    cluster: str
    kind: Kind
    text: str
    label: str  # of a phrase; else empty
    keep: bool

    @property
    def key(self) -> tuple[str, str, str]:
        """What a later correction replaces."""
        return self.cluster, self.kind, self.text if self.kind == "ancestor" else self.text.casefold()


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """All of them."""

    ontology: Ontology | None = None
    answers: Sequence[ModelAnswer] = ()  # in the order in which they were given
    corrections: Sequence[Correction] = ()

    def usable_answers(self) -> dict[str, ModelAnswer]:
        """The last usable answer for each label."""
        return {answer.label: answer for answer in self.answers if not answer.rejected}


class SourcesFolder:
    """DATA/phrases."""

    def __init__(self, data: Path) -> None:
        self.root = data / "phrases"
        self.ontology_path = self.root / "ontology.json"
        self.answers_path = self.root / "answers.jsonl"
        self.corrections_path = self.root / "corrections.json"

    def load(self) -> Sources:
        """What is there; raises FlamError if it is damaged."""
        return Sources(
            ontology=load_ontology(self.ontology_path) if self.ontology_path.exists() else None,
            answers=[answer for answer, _ in self._answers()],
            corrections=self._corrections(),
        )

    def keep_ontology(self, ontology: Ontology) -> None:
        """Take this ontology in the place of any other."""
        write_json(self.ontology_path, ontology.to_json())

    def keep_corrections(self, corrections: Sequence[Correction]) -> None:
        """Take these in the place of any others."""
        write_json(self.corrections_path, [dataclasses.asdict(correction) for correction in corrections])

    @contextlib.contextmanager
    def appending(self) -> Iterator[Callable[[ModelAnswer], None]]:
        """A function that keeps an answer, and returns when it is on the disk."""
        path = self.answers_path
        try:
            whole = sum(size for _, size in self._answers())
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.truncate(whole)  # a run that was killed may have left half a line

                def append(answer: ModelAnswer) -> None:
                    file.write(json.dumps(dataclasses.asdict(answer), ensure_ascii=False).encode() + b"\n")
                    file.flush()
                    os.fsync(file.fileno())

                yield append
        except OSError as error:
            raise FlamError(f"cannot write {path}: {error.strerror}; what was answered before is kept") from None

    def _answers(self) -> Iterator[tuple[ModelAnswer, int]]:
        """Each answer with the bytes of its line, but for a last line that was cut."""
        lines = self.answers_path.read_bytes().splitlines(keepends=True) if self.answers_path.exists() else []
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n"):
                return
            try:
                answer = _parsed(ModelAnswer, json.loads(line))
            except ValueError as error:
                raise FlamError(f"{self.answers_path}:{number} is damaged ({error}); delete this line") from None
            yield answer, len(line)

    def _corrections(self) -> list[Correction]:
        path = self.corrections_path
        content = read_json(path) if path.exists() else []
        try:
            if not isinstance(content, list):
                raise ValueError("no list")
            found = [_parsed(Correction, entry) for entry in content]
            if wrong := [correction.kind for correction in found if correction.kind not in KINDS]:
                raise ValueError(f"kind {wrong[0]!r}")
        except ValueError as error:
            raise FlamError(f"{path} is damaged ({error}); restore it, or delete it to correct anew") from None
        return found


def _parsed(record: type[Any], content: Any) -> Any:
    """A record from JSON; raises ValueError unless each field is there and of its type."""
    if not isinstance(content, dict) or set(content) != {item.name for item in dataclasses.fields(record)}:
        raise ValueError("not the fields that it should have")
    for name, hint in get_type_hints(record).items():
        value = content[name]
        kind = list if get_origin(hint) is list else str if hint is Kind else hint
        if not isinstance(value, kind) or (kind is list and not all(isinstance(text, str) for text in value)):
            raise ValueError(f"{name} is {value!r}")
    return record(**content)
