"""What a language model is told, from a TOML file: one of curation/prompts, or a user's own."""

import hashlib
import json
import tomllib
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal, TypeVar

from pydantic import Field, ValidationError, model_validator

from curation.distributions import StrictModel
from manifests.errors import FlamError

# A phrase for each sound (event), or a caption
BUILT_IN_STYLES = ("sentence", "terse", "temporal", "counts", "event")
_FOLDER = Path(__file__).parent / "prompts"
_MANY = (_FOLDER / "many.txt").read_text("utf-8").strip()
_LONGEST_QUOTE = 500  # characters of a bad answer that are shown to the model again
AnyPrompt = TypeVar("AnyPrompt", bound="Prompt")


class Prompt(StrictModel):
    """A question about some data, in words."""

    mark: ClassVar[str]  # in `user`, stands for the JSON object with the data
    system: str = Field(min_length=1)
    user: str
    again: str  # what follows a bad answer; {problems} stands for what was wrong with it

    @model_validator(mode="after")
    def _complete(self) -> "Prompt":
        for name, mark in (("user", self.mark), ("again", "{problems}")):
            if mark not in getattr(self, name):
                raise ValueError(f"{name} does not hold {mark}")
        return self

    @cached_property
    def hash(self) -> str:
        """Changes with whatever changes the question or what is taken for an answer."""
        content = json.dumps([self.model_dump(), _MANY], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    @cached_property
    def instructions(self) -> str:
        """All that a model is told, whatever the data: what must not come back as an answer."""
        return "\n".join((self.system, self.user.replace(self.mark, ""), self.again, _MANY))

    def messages(self, data: object, *, more: str = "") -> list[dict[str, str]]:
        """The question. What comes from labels only occurs inside a JSON object.

        Args:
            data: what it is about.
            more: instructions that follow the prompt's own.
        """
        content = self.user.replace(self.mark, json.dumps(data, ensure_ascii=False))
        return [
            {"role": "system", "content": f"{self.system}\n\n{more}".strip()},
            {"role": "user", "content": content.strip()},
        ]

    def messages_again(self, said: str, problems: str) -> list[dict[str, str]]:
        """What follows the question after a bad answer."""
        quote = said[:_LONGEST_QUOTE].encode("utf-8", "replace").decode()  # a lone surrogate cannot be sent
        return [
            {"role": "assistant", "content": quote or "(nothing)"},
            {"role": "user", "content": self.again.replace("{problems}", problems).strip()},
        ]


class LabelPrompt(Prompt):
    """What is asked about a label."""

    mark = "{label}"


class SoundscapePrompt(Prompt):
    """What is asked about a soundscape, in what form, and how the answer is measured."""

    mark = "{timeline}"
    style: str = Field(min_length=1)  # the file's name
    asks: Literal["caption", "events"] = "caption"  # one text for the soundscape, or one for each of its sounds
    fewest_words: int = Field(default=3, ge=1)
    most_words: int = Field(default=60, ge=1, le=300)
    times: bool = False  # whether times in digits are wanted

    @model_validator(mode="after")
    def _possible(self) -> "SoundscapePrompt":
        if self.most_words < self.fewest_words:
            raise ValueError("most_words is less than fewest_words")
        return self

    def messages_about_many(self, timelines: object) -> list[dict[str, str]]:
        """The question about a list of soundscapes, each with an `id`."""
        return self.messages(timelines, more=_MANY)


def prompt_path(style: str) -> Path:
    """The file of a built-in style, or else the path itself."""
    return _FOLDER / f"{style}.toml" if style in BUILT_IN_STYLES else Path(style)


def load_prompt(style: str) -> SoundscapePrompt:
    """A built-in style's prompt by its name, or one from a TOML file; raises FlamError naming file and key."""
    path = prompt_path(style)
    if not path.is_file():
        raise FlamError(f"no style {style!r}: neither one of {', '.join(BUILT_IN_STYLES)} nor a prompt file")
    return _loaded(path, SoundscapePrompt, style=path.stem)


def load_label_prompt(path: Path | None = None) -> LabelPrompt:
    """The built-in prompt about labels, or one from a TOML file; raises FlamError naming file and key."""
    return _loaded(path or _FOLDER / "phrases.toml", LabelPrompt)


def _loaded(path: Path, kind: type[AnyPrompt], **more: str) -> AnyPrompt:
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise FlamError(f"cannot read prompt {path}: {error.strerror}") from None
    except ValueError as error:
        raise FlamError(f"prompt {path} cannot be read as TOML: {error}") from None
    try:
        return kind.model_validate({**more, **content})
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"]) or "as a whole"
        raise FlamError(f"prompt {path}: {where}: {problem['msg'].removeprefix('Value error, ')}") from None
