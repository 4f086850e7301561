"""How a quantity of a recipe is drawn. Typed and strict: a misspelt key is an error."""

import math
from typing import Annotated, Generic, Literal, TypeVar

import numpy as np
import scipy.special
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_serializer, model_validator

Number = TypeVar("Number", int, float)


class StrictModel(BaseModel):
    """A misspelt key is an error, and nothing changes after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Constant(StrictModel, Generic[Number]):
    distribution: Literal["constant"] = "constant"
    value: Number

    def sample(self, rng: np.random.Generator) -> Number:  # noqa: ARG002 (as its siblings)
        """The value."""
        return self.value

    def edges(self) -> dict[str, Number]:
        """The smallest and the largest that can be drawn, by the keys that say so."""
        return {"value": self.value}

    @model_serializer
    def _short(self) -> Number:
        return self.value


class Constant(_Constant[float]):
    """Always the same value."""


class IntegerConstant(_Constant[int]):
    """Always the same whole number."""


class _Bounded(StrictModel, Generic[Number]):
    low: Number
    high: Number

    @model_validator(mode="after")
    def _ordered(self) -> "_Bounded[Number]":
        if self.low > self.high:
            raise ValueError(f"low = {self.low} is above high = {self.high}")
        return self

    def edges(self) -> dict[str, Number]:
        """The smallest and the largest that can be drawn, by the keys that say so."""
        return {"low": self.low, "high": self.high}


class Uniform(_Bounded[float]):
    """Any value between two bounds, all equally likely."""

    distribution: Literal["uniform"] = "uniform"

    def sample(self, rng: np.random.Generator) -> float:
        """One draw."""
        return float(rng.uniform(self.low, self.high))


class IntegerUniform(_Bounded[int]):
    """Any whole number between two bounds, which are included."""

    distribution: Literal["integer_uniform"] = "integer_uniform"
    low: int = Field(le=1_000_000)
    high: int = Field(le=1_000_000)

    def sample(self, rng: np.random.Generator) -> int:
        """One draw."""
        return int(rng.integers(self.low, self.high, endpoint=True))


class LogUniform(_Bounded[float]):
    """Any value between two bounds above 0, every ratio equally likely: as often in 1 to 2 as in 2 to 4."""

    distribution: Literal["log_uniform"] = "log_uniform"
    low: float = Field(gt=0)

    def sample(self, rng: np.random.Generator) -> float:
        """One draw."""
        drawn = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        return min(max(drawn, self.low), self.high)


class TruncatedNormal(_Bounded[float]):
    """The part of a normal distribution between two bounds."""

    distribution: Literal["truncated_normal"] = "truncated_normal"
    mean: float
    std: float = Field(gt=0)

    @model_validator(mode="after")
    def _not_empty(self) -> "TruncatedNormal":
        nearest = min(max(self.mean, self.low), self.high)
        if abs(nearest - self.mean) > 6 * self.std:
            raise ValueError(f"low = {self.low} to high = {self.high} is over 6 std from mean = {self.mean}")
        return self

    def sample(self, rng: np.random.Generator) -> float:
        """One draw: the normal distribution's quantile of a uniform one."""
        first, last = (scipy.special.ndtr((edge - self.mean) / self.std) for edge in (self.low, self.high))
        drawn = self.mean + self.std * float(scipy.special.ndtri(rng.uniform(first, last)))
        return min(max(drawn, self.low), self.high)


class _Choice(StrictModel, Generic[Number]):
    distribution: Literal["choice"] = "choice"
    values: tuple[Number, ...] = Field(min_length=1)
    weights: tuple[Annotated[float, Field(ge=0)], ...] = ()  # all equal if left out

    @model_validator(mode="after")
    def _matching(self) -> "_Choice[Number]":
        if self.weights and (len(self.weights) != len(self.values) or not sum(self.weights)):
            given = f"{len(self.weights)} weights for {len(self.values)} values"
            raise ValueError(f"{given}; give one each, not all of them 0")
        return self

    def sample(self, rng: np.random.Generator) -> Number:
        """One draw."""
        if not self.weights:
            return self.values[int(rng.integers(len(self.values)))]
        sums = np.cumsum(self.weights)
        place = int(np.searchsorted(sums, rng.uniform(0, sums[-1]), side="right"))
        return self.values[min(place, len(self.values) - 1)]

    def edges(self) -> dict[str, Number]:
        """The smallest and the largest that can be drawn, by the keys that say so."""
        return {f"values[{place}]": value for place, value in enumerate(self.values)}


class Choice(_Choice[float]):
    """One of some values."""


class IntegerChoice(_Choice[int]):
    """One of some whole numbers."""


AnyQuantity = Constant | Uniform | LogUniform | TruncatedNormal | Choice
AnyCount = IntegerConstant | IntegerUniform | IntegerChoice


def _spelt_out(value: object) -> object:
    """A bare number in a recipe is a constant."""
    if isinstance(value, dict | StrictModel):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError('give a number or a distribution, such as { distribution = "uniform", low = 1.0, high = 2.0 }')
    return {"distribution": "constant", "value": value}


Quantity = Annotated[AnyQuantity, Field(discriminator="distribution"), BeforeValidator(_spelt_out)]
Count = Annotated[AnyCount, Field(discriminator="distribution"), BeforeValidator(_spelt_out)]

QUANTITIES: tuple[type[AnyQuantity], ...] = (Constant, Uniform, LogUniform, TruncatedNormal, Choice)
COUNTS: tuple[type[AnyCount], ...] = (IntegerConstant, IntegerUniform, IntegerChoice)

_Drawn = TypeVar("_Drawn", AnyQuantity, AnyCount)


def within(low: float, high: float) -> AfterValidator:
    """A check that nothing below `low` or above `high` can be drawn."""

    def check(drawn: _Drawn) -> _Drawn:
        for key, value in drawn.edges().items():
            if not low <= value <= high:
                raise ValueError(f"{key} = {value:g} is not between {low:g} and {high:g}")
        return drawn

    return AfterValidator(check)
