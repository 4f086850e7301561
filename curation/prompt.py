"""What a language model is told, from a TOML file: one of curation/prompts, or a user's own."""

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from curation.distributions import StrictModel
from manifests.errors import FlamError

_BUILT_IN = Path(__file__).parent / "prompts"
_MANY = (_BUILT_IN / "many.txt").read_text("utf-8").strip()


class Prompt(StrictModel):
    """What is asked about a soundscape, in what form, and how the answer is measured."""

    style: str = Field(min_length=1)  # the file's name
    asks: Literal["caption", "events"] = "caption"  # one text for the soundscape, or one for each of its sounds
    fewest_words: int = Field(default=3, ge=1)
    most_words: int = Field(default=60, ge=1, le=300)
    times: bool = False  # whether times in digits are wanted
    system: str
    user: str  # {timeline} stands for the JSON object that describes the soundscape
    again: str  # what follows a bad answer; {problems} stands for what was wrong with it

    @model_validator(mode="after")
    def _complete(self) -> "Prompt":
        for name, mark in (("user", "{timeline}"), ("again", "{problems}")):
            if mark not in getattr(self, name):
                raise ValueError(f"{name} does not hold {mark}")
        if self.most_words < self.fewest_words:
            raise ValueError("most_words is less than fewest_words")
        return self

    @property
    def hash(self) -> str:
        """Changes with whatever changes the question or what is taken for an answer."""
        content = json.dumps([self.model_dump(), _MANY], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def messages(self, timeline: object) -> list[dict[str, str]]:
        """The question about one soundscape. Its labels only occur inside a JSON object."""
        return self._messages(self.system, timeline)

    def messages_about_many(self, timelines: object) -> list[dict[str, str]]:
        """The question about a list of soundscapes, each with an `id`."""
        return self._messages(f"{self.system}\n\n{_MANY}", timelines)

    def _messages(self, system: str, content: object) -> list[dict[str, str]]:
        data = json.dumps(content, ensure_ascii=False)
        return [
            {"role": "system", "content": system},
            {"role": "user", "content": self.user.replace("{timeline}", data).strip()},
        ]

    def messages_again(self, said: str, problems: str) -> list[dict[str, str]]:
        """What follows the first question after a bad answer."""
        return [
            {"role": "assistant", "content": said or "(nothing)"},
            {"role": "user", "content": self.again.replace("{problems}", problems).strip()},
        ]


def built_in_styles() -> list[str]:
    """Names of the prompts that come with the program, for soundscapes."""
    return ["sentence", "terse", "temporal", "counts", "event"]


def prompt_path(style: str) -> Path:
    """The file of a built-in prompt, or else the path itself."""
    return _BUILT_IN / f"{style}.toml" if style in built_in_styles() else Path(style)


def load_prompt(style: str) -> Prompt:
    """A built-in prompt by its name, or one from a TOML file; raises FlamError naming file and key."""
    path = prompt_path(style)
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        known = ", ".join(built_in_styles())
        raise FlamError(f"no style {style!r}: neither one of {known} nor a prompt file") from None
    except (OSError, ValueError) as error:
        raise FlamError(f"{path} cannot be read as TOML: {error}") from None
    try:
        return Prompt.model_validate({"style": path.stem, **content})
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"]) or "the prompt"
        raise FlamError(f"{path}: {where}: {problem['msg'].removeprefix('Value error, ')}") from None
