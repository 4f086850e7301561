"""What a user may set of the soundscapes: a recipe, typed and strict. Times are seconds."""

import difflib
import tomllib
import typing
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from curation.distributions import (
    COUNTS,
    QUANTITIES,
    Constant,
    Count,
    IntegerUniform,
    LogUniform,
    Quantity,
    StrictModel,
    Uniform,
    within,
)
from manifests.errors import FlamError

_BUILT_IN = Path(__file__).parent / "recipes"


Share = Annotated[float, Field(ge=0, le=1)]


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


class Reverb(StrictModel):
    """Rooms in which all events of a soundscape are heard."""

    share: Share = 0.0  # of the soundscapes
    rooms: Literal["synthetic", "bank"] = "synthetic"  # seeded noise, or the bank's impulse responses
    rt60: Annotated[Quantity, within(0.1, 3)] = Uniform(low=0.2, high=0.8)  # of a synthetic room
    direct_db: Annotated[Quantity, within(-20, 40)] = Uniform(low=0.0, high=15.0)  # direct sound over its reverberation


class Microphone(StrictModel):
    """Pass bands of the microphones through which whole soundscapes are heard."""

    share: Share = 0.0  # of the soundscapes
    low_hz: Annotated[Quantity, within(0, 1000)] = LogUniform(low=20.0, high=200.0)  # under 10: none is cut
    high_hz: Annotated[Quantity, within(2000, 100_000)] = LogUniform(low=3400.0, high=16_000.0)


class Together(StrictModel):
    """Two labels that are heard together more often than by chance, or less."""

    labels: tuple[str, str]
    weight: float = Field(ge=0, le=1000)  # once one is chosen, the other is so many times as likely; 0: never


class Recipe(StrictModel):
    """How soundscapes are made. The defaults are FineLAP-100k's (2604.01155), levels in LUFS."""

    name: str = Field(min_length=1)
    duration: Annotated[Quantity, within(0.5, 3600)] = Constant(value=10.0)
    split: Shares = Shares(train=0.8, valid=0.1, test=0.1)

    background_lufs: Annotated[Quantity, within(-70, 0)] = Constant(value=-50.0)
    background_only: Share = 0.0  # of the soundscapes: no event
    near_silent: Share = 0.0  # of the soundscapes: no event, and a background that is hardly there
    near_silent_lufs: Annotated[Quantity, within(-70, 0)] = Uniform(low=-69.0, high=-60.0)

    events: Annotated[Count, within(0, 1_000_000)] = IntegerUniform(low=1, high=5)
    balance: Literal["sources", "labels", "frequency"] = "sources"  # which of them are equally likely
    frequency: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default={}
    )  # of labels, by balance = "frequency"; 1 for others
    together: tuple[Together, ...] = ()
    hold_out: tuple[str, ...] = ()  # labels or clusters that test soundscapes only may hold

    snr_db: Annotated[Quantity, within(-60, 60)] = Uniform(low=12.0, high=20.0)
    max_event_duration: Annotated[Quantity, within(0.02, 3600)] = Constant(value=7.5)  # of a longer source, a slice
    repeat_below: float = Field(default=3.0, ge=0)  # a shorter source may occur `repeats` times
    repeat_share: Share = 1.0  # of these sources
    repeats: Annotated[Count, within(1, 1_000_000)] = IntegerUniform(low=1, high=3)
    cut_share: Share = 0.0  # of the sources that are not repeated: cut into pieces with silence between them
    pieces: Annotated[Count, within(2, 100)] = IntegerUniform(low=2, high=3)
    gap: Annotated[Quantity, within(0, 3600)] | None = None  # between repeats or pieces; anything if left out
    polyphony: int | None = Field(default=None, ge=1)  # at most so many events at once; no limit if left out

    fade: Annotated[Quantity, within(0, 1)] = Constant(value=0.01)  # at each end of an event; half of a shorter one
    pitch_semitones: Annotated[Quantity, within(-12, 12)] = Constant(value=0.0)
    time_stretch: Annotated[Quantity, within(0.5, 2)] = Constant(value=1.0)  # factor of an event's duration
    tilt_db: Annotated[Quantity, within(-6, 6)] = Constant(value=0.0)  # per octave
    reverb: Reverb = Reverb()
    microphone: Microphone = Microphone()

    activity_dbfs: float = Field(default=-60.0, ge=-100, le=0)  # A-weighted; an event is active above
    drop_below_audible_db: float | None = Field(default=None, ge=-60, le=60)  # events that others mask more

    def shortest_fade(self) -> float:
        """Seconds; a sound that is shorter than two of them is no event."""
        return min(self.fade.edges().values())

    @model_validator(mode="after")
    def _sensible(self) -> "Recipe":
        for name in ("max_event_duration", "duration"):
            shortest = min(getattr(self, name).edges().values())
            if shortest < 2 * self.shortest_fade():
                raise ValueError(f"{name} = {shortest:g} is under two fades")
        if self.background_only + self.near_silent > 1:
            raise ValueError("background_only and near_silent are more than all soundscapes together")
        if self.frequency and self.balance != "frequency":
            raise ValueError(f'frequency is given, but balance = "{self.balance}"; set balance = "frequency"')
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
    parts = [str(part) for part in problem["loc"] if part not in _TAGS]
    key = ".".join(parts) or "the recipe"
    if problem["type"] != "extra_forbidden":
        given = problem.get("input")
        says_it = problem["type"] == "value_error" and isinstance(given, float | int) and not isinstance(given, bool)
        shown = f", not {given!r}" if isinstance(given, str | int | float | bool) and not says_it else ""
        return f"{key}: {problem['msg'].removeprefix('Value error, ')}{shown}"
    keys = _keys_beside(problem["loc"])
    nearest = difflib.get_close_matches(parts[-1], keys, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]}?" if nearest else f"valid keys: {', '.join(keys)}"
    return f"{key} is not a key of a recipe; {hint}"


def _keys_beside(location: tuple[int | str, ...]) -> list[str]:
    """The valid keys of the table in which an unknown one was found."""
    model: type[BaseModel] = Recipe
    for part in location[:-1]:
        if part in _TAGS:
            kinds = COUNTS if location[0] in _COUNTED else QUANTITIES
            return [key for kind in kinds if _tag(kind) == part for key in kind.model_fields]
        if isinstance(part, str) and part in model.model_fields:
            hints = [model.model_fields[part].annotation, *typing.get_args(model.model_fields[part].annotation)]
            model = next((hint for hint in hints if isinstance(hint, type) and issubclass(hint, BaseModel)), model)
    return list(model.model_fields)


def _tag(model: type[StrictModel]) -> str:
    return str(model.model_fields["distribution"].default)


_TAGS = {_tag(model) for model in (*QUANTITIES, *COUNTS)}
_COUNTED = ("events", "repeats", "pieces")
