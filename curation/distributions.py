"""How a quantity of a recipe is drawn. Typed and strict: a misspelt key is an error."""

import math
from typing import Annotated, Literal, TypeVar

import numpy as np
import scipy.special
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


class StrictModel(BaseModel):
    """A misspelt key is an error, and nothing changes after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Constant(StrictModel):
    """Always the same value."""

    distribution: Literal["constant"] = "constant"
    value: float

    def sample(self, rng: np.random.Generator) -> float:  # noqa: ARG002 (as its siblings)
        """The value."""
        return self.value

    def edges(self) -> dict[str, float]:
        """The smallest and the largest that can be drawn, by the keys that say so."""
        return {"value": self.value}


class _Bounded(StrictModel):
    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> "_Bounded":
        if self.low > self.high:
            raise ValueError(f"low = {self.low} is above high = {self.high}")
        return self

    def edges(self) -> dict[str, float]:
        """The smallest and the largest that can be drawn, by the keys that say so."""
        return {"low": self.low, "high": self.high}


class Uniform(_Bounded):
    """Any value between two bounds, all equally likely."""

    distribution: Literal["uniform"] = "uniform"

    def sample(self, rng: np.random.Generator) -> float:
        """One draw."""
        return float(rng.uniform(self.low, self.high))


class LogUniform(_Bounded):
    """Any value between two bounds above 0, every ratio equally likely: as often in 1 to 2 as in 2 to 4."""

    distribution: Literal["log_uniform"] = "log_uniform"
    low: float = Field(gt=0)

    def sample(self, rng: np.random.Generator) -> float:
        """One draw."""
        drawn = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        return min(max(drawn, self.low), self.high)


class TruncatedNormal(_Bounded):
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


class IntegerUniform(StrictModel):
    """Any whole number between two bounds, which are included."""

    distribution: Literal["integer_uniform"] = "integer_uniform"
    low: int = Field(le=1_000_000)
    high: int = Field(le=1_000_000)

    @model_validator(mode="after")
    def _ordered(self) -> "IntegerUniform":
        if self.low > self.high:
            raise ValueError(f"low = {self.low} is above high = {self.high}")
        return self

    def sample(self, rng: np.random.Generator) -> int:
        """One draw."""
        return int(rng.integers(self.low, self.high, endpoint=True))

    def edges(self) -> dict[str, float]:
        """The smallest and the largest that can be drawn, by the keys that say so."""
        return {"low": self.low, "high": self.high}


class _Weighted(StrictModel):
    weights: tuple[Annotated[float, Field(ge=0)], ...] = ()  # all equal if left out

    def _place(self, rng: np.random.Generator, count: int) -> int:
        if not self.weights:
            return int(rng.integers(count))
        sums = np.cumsum(self.weights)
        return min(int(np.searchsorted(sums, rng.uniform(0, sums[-1]), side="right")), count - 1)

    def _check_weights(self, count: int) -> None:
        if self.weights and (len(self.weights) != count or not sum(self.weights)):
            raise ValueError(f"{len(self.weights)} weights for {count} values; give one each, not all of them 0")


class Choice(_Weighted):
    """One of some values."""

    distribution: Literal["choice"] = "choice"
    values: tuple[float, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _matching(self) -> "Choice":
        self._check_weights(len(self.values))
        return self

    def sample(self, rng: np.random.Generator) -> float:
        """One draw."""
        return self.values[self._place(rng, len(self.values))]

    def edges(self) -> dict[str, float]:
        """The smallest and the largest that can be drawn, by the keys that say so."""
        return {f"values[{place}]": value for place, value in enumerate(self.values)}


class IntegerChoice(_Weighted):
    """One of some whole numbers."""

    distribution: Literal["choice"] = "choice"
    values: tuple[Annotated[int, Field(le=1_000_000)], ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _matching(self) -> "IntegerChoice":
        self._check_weights(len(self.values))
        return self

    def sample(self, rng: np.random.Generator) -> int:
        """One draw."""
        return self.values[self._place(rng, len(self.values))]

    def edges(self) -> dict[str, float]:
        """The smallest and the largest that can be drawn, by the keys that say so."""
        return {f"values[{place}]": value for place, value in enumerate(self.values)}


class IntegerConstant(StrictModel):
    """Always the same whole number."""

    distribution: Literal["constant"] = "constant"
    value: int = Field(le=1_000_000)

    def sample(self, rng: np.random.Generator) -> int:  # noqa: ARG002 (as its siblings)
        """The value."""
        return self.value

    def edges(self) -> dict[str, float]:
        """The smallest and the largest that can be drawn, by the keys that say so."""
        return {"value": self.value}


AnyQuantity = Constant | Uniform | LogUniform | TruncatedNormal | Choice
AnyCount = IntegerConstant | IntegerUniform | IntegerChoice
Quantity = Annotated[AnyQuantity, Field(discriminator="distribution")]
Count = Annotated[AnyCount, Field(discriminator="distribution")]

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
