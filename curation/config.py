"""What a user may set of the soundscapes: a recipe, typed and strict. Times are seconds."""

import difflib
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from curation.distributions import (
    COUNTS,
    QUANTITIES,
    Constant,
    Count,
    IntegerUniform,
    Quantity,
    StrictModel,
    Uniform,
    within,
)
from manifests.errors import FlamError

_BUILT_IN = Path(__file__).parent / "recipes"


class Shares(StrictModel):
    """How much of the soundscapes each split gets; those that the bank can't serve get none."""

    train: float = Field(default=0.0, ge=0)
    valid: float = Field(default=0.0, ge=0)
    test: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _some(self) -> "Shares":
        if self.train + self.valid + self.test <= 0:
            raise ValueError("all shares are 0")
        return self


class Recipe(StrictModel):
    """How soundscapes are made. The defaults are FineLAP-100k's (2604.01155), levels in LUFS."""

    name: str = Field(min_length=1)
    duration: float = Field(default=10.0, ge=0.5, le=3600)
    split: Shares = Shares(train=0.8, valid=0.1, test=0.1)
    background_lufs: Annotated[Quantity, within(-70, 0)] = Constant(value=-50.0)
    events: Annotated[Count, within(0, 1_000_000)] = IntegerUniform(low=1, high=5)
    balance: Literal["sources", "labels"] = "sources"  # which of them are equally likely
    hold_out: tuple[str, ...] = ()  # labels or clusters that test soundscapes only may hold
    snr_db: Annotated[Quantity, within(-60, 60)] = Uniform(low=12.0, high=20.0)
    max_event_duration: float = Field(default=7.5, gt=0, le=3600)  # of a longer source, a slice is taken
    repeat_below: float = Field(default=3.0, ge=0)  # a shorter source occurs `repeats` times
    repeats: Annotated[Count, within(1, 1_000_000)] = IntegerUniform(low=1, high=3)
    polyphony: int | None = Field(default=None, ge=1)  # at most so many events at once; no limit if left out
    fade: float = Field(default=0.01, ge=0, le=1)  # at each end of an event
    activity_dbfs: float = Field(default=-60.0, ge=-100, le=0)  # A-weighted; an event is active above

    @model_validator(mode="after")
    def _sensible(self) -> "Recipe":
        if self.max_event_duration < 2 * self.fade:
            raise ValueError(f"max_event_duration = {self.max_event_duration} is under two fades")
        return self


def built_in_recipes() -> list[str]:
    """Names that `load_recipe` knows."""
    return sorted(path.stem for path in _BUILT_IN.glob("*.toml"))


def load_recipe(name_or_path: str | Path) -> Recipe:
    """A built-in recipe by its name, or one from a TOML file.

    Raises FlamError naming the file, the key and what would be right.
    """
    path = recipe_path(name_or_path)
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        known = ", ".join(built_in_recipes())
        message = f"no recipe {str(name_or_path)!r}: neither a file nor one of the built-in {known}"
        raise FlamError(message) from None
    except (OSError, ValueError) as error:
        raise FlamError(f"{path} cannot be read as TOML: {error}") from None
    try:
        return Recipe.model_validate({"name": path.stem, **content})
    except ValidationError as error:
        raise FlamError(f"{path}: {_first(error)}") from None


def recipe_path(name_or_path: str | Path) -> Path:
    """The file of a built-in recipe, or else the path itself."""
    return _BUILT_IN / f"{name_or_path}.toml" if str(name_or_path) in built_in_recipes() else Path(name_or_path)


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, and for an unknown key the nearest that exists."""
    problem = error.errors()[0]
    # pydantic puts the tag of a chosen distribution into the location; it is no key of the file
    tags = {_tag(model) for model in (*QUANTITIES, *COUNTS)}
    parts = [str(part) for part in problem["loc"] if part not in tags]
    key = ".".join(parts) or "the recipe"
    if problem["type"] != "extra_forbidden":
        given = problem.get("input")
        shown = f", not {given!r}" if isinstance(given, str | int | float | bool) else ""
        return f"{key}: {problem['msg'].removeprefix('Value error, ')}{shown}"
    keys = _keys_beside(problem["loc"])
    nearest = difflib.get_close_matches(parts[-1], keys, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]}?" if nearest else f"valid keys: {', '.join(keys)}"
    return f"{key} is not a key of a recipe; {hint}"


def _keys_beside(location: tuple[int | str, ...]) -> list[str]:
    """The valid keys of the table in which an unknown one was found."""
    if len(location) == 1:
        return list(Recipe.model_fields)
    if location[0] == "split":
        return list(Shares.model_fields)
    models = COUNTS if location[0] in ("events", "repeats") else QUANTITIES
    return [key for model in models if _tag(model) == location[1] for key in model.model_fields]


def _tag(model: type[StrictModel]) -> str:
    return str(model.model_fields["distribution"].default)
