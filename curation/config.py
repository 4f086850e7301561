"""What a user may set of the soundscapes: a recipe, typed and strict. Times are seconds."""

import difflib
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from manifests.errors import FlamError

_BUILT_IN = Path(__file__).parent / "recipes"


class StrictModel(BaseModel):
    """A misspelt key is an error, and nothing changes after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Constant(StrictModel):
    """Always the same value."""

    distribution: Literal["constant"]
    value: float

    def sample(self, rng: np.random.Generator) -> float:  # noqa: ARG002 (as its siblings)
        """The value."""
        return self.value


class Uniform(StrictModel):
    """Any value between two bounds, all equally likely."""

    distribution: Literal["uniform"]
    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> "Uniform":
        return _ordered(self)

    def sample(self, rng: np.random.Generator) -> float:
        """One draw."""
        return float(rng.uniform(self.low, self.high))


class IntegerUniform(StrictModel):
    """Any whole number between two bounds, which are included."""

    distribution: Literal["integer_uniform"]
    low: int = Field(le=1_000_000)
    high: int = Field(le=1_000_000)

    @model_validator(mode="after")
    def _ordered(self) -> "IntegerUniform":
        return _ordered(self)

    def sample(self, rng: np.random.Generator) -> int:
        """One draw."""
        return int(rng.integers(self.low, self.high, endpoint=True))


Bounded = TypeVar("Bounded", Uniform, IntegerUniform)


def _ordered(bounds: Bounded) -> Bounded:
    if bounds.low > bounds.high:
        raise ValueError(f"low = {bounds.low} is above high = {bounds.high}")
    return bounds


Quantity = Annotated[Constant | Uniform, Field(discriminator="distribution")]


def _within(low: float, high: float) -> AfterValidator:
    def check(quantity: Constant | Uniform) -> Constant | Uniform:
        for name, value in quantity:
            if name != "distribution" and not low <= value <= high:
                raise ValueError(f"{name} = {value:g} is not between {low:g} and {high:g}")
        return quantity

    return AfterValidator(check)


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
    background_lufs: Annotated[Quantity, _within(-70, 0)] = Constant(distribution="constant", value=-50.0)
    events: IntegerUniform = IntegerUniform(distribution="integer_uniform", low=1, high=5)
    balance: Literal["sources", "labels"] = "sources"  # which of them are equally likely
    hold_out: tuple[str, ...] = ()  # labels or clusters that test soundscapes only may hold
    snr_db: Annotated[Quantity, _within(-60, 60)] = Uniform(distribution="uniform", low=12.0, high=20.0)
    max_event_duration: float = Field(default=7.5, gt=0, le=3600)  # of a longer source, a slice is taken
    repeat_below: float = Field(default=3.0, ge=0)  # a shorter source occurs `repeats` times
    repeats: IntegerUniform = IntegerUniform(distribution="integer_uniform", low=1, high=3)
    fade: float = Field(default=0.01, ge=0, le=1)  # at each end of an event
    activity_dbfs: float = Field(default=-60.0, ge=-100, le=0)  # A-weighted; an event is active above

    @model_validator(mode="after")
    def _sensible(self) -> "Recipe":
        if self.events.low < 0:
            raise ValueError(f"events.low = {self.events.low} is below 0")
        if self.repeats.low < 1:
            raise ValueError(f"repeats.low = {self.repeats.low} is below 1")
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
    path = _BUILT_IN / f"{name_or_path}.toml"
    if str(name_or_path) not in built_in_recipes():
        path = Path(name_or_path)
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


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, and for an unknown key the nearest that exists."""
    problem = error.errors()[0]
    # pydantic puts the tag of a chosen distribution into the location; it is no key of the file
    tags = {"constant", "uniform", "integer_uniform"}
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
    models: dict[str, type[StrictModel]] = {
        "split": Shares,
        "constant": Constant,
        "uniform": Uniform,
        "integer_uniform": IntegerUniform,
    }
    integers = location[0] in ("events", "repeats")
    model: Any = models.get(str(location[-2]), IntegerUniform if integers else Uniform)
    return list(model.model_fields)
