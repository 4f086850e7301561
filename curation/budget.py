"""What may still be spent on a language model, counting what is in flight at its worst."""

import asyncio
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from manifests.errors import FlamError
from manifests.store import replacing

_FIRST_RATIO = 0.5  # tokens a byte of question before any was counted: English JSON has about 0.3
_PER_MILLION = 1e-6
_CALL = re.compile(rb"\d+ \d+")


class BudgetSpentError(Exception):
    """The next call might cost more than is left."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prices:
    """Dollars for a million tokens."""

    prompt: float
    completion: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(price) and price >= 0 for price in (self.prompt, self.completion)):
            raise FlamError(f"prices ({self.prompt}, {self.completion}) must be numbers of dollars, 0 or more")

    def cost(self, prompt_tokens: float, completion_tokens: float) -> float:
        """Dollars."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) * _PER_MILLION


@dataclass(frozen=True, slots=True)
class Reservation:
    """What one call may cost at most."""

    question_bytes: int
    prompt_tokens: float
    completion_tokens: float


def question_bytes(messages: Iterable[Mapping[str, str]]) -> int:
    """How long a question is."""
    return sum(len(message["content"].encode("utf-8", "replace")) for message in messages)


class Ledger:
    """Tokens of every call that was made for a caption set, whatever became of its answer.

    A line a call: what a killed run spent counts in the next. Made into one line when it is opened.

    Args:
        path: a file, there or not.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] | None = None

    def total(self) -> tuple[float, float]:
        """Tokens of questions, and of answers; a line that was cut by a kill is left out."""
        lines = self.path.read_bytes().splitlines() if self.path.exists() else []
        calls = [line.split() for line in lines if _CALL.fullmatch(line)]
        return sum(float(call[0]) for call in calls), sum(float(call[1]) for call in calls)

    def add(self, prompt_tokens: float, completion_tokens: float) -> None:
        """One call more."""
        try:
            if self._file is None:
                total = self.total()
                with replacing(self.path) as temporary:
                    temporary.write_bytes(_line(*total))
                self._file = self.path.open("ab", buffering=0)
            self._file.write(_line(prompt_tokens, completion_tokens))
        except OSError as error:
            raise FlamError(f"cannot write {self.path}: {error.strerror}; what was answered before is kept") from None

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _line(prompt_tokens: float, completion_tokens: float) -> bytes:
    return f"{prompt_tokens:.0f} {completion_tokens:.0f}\n".encode()


class Budget:
    """Tokens and money, spent and in flight.

    Args:
        most_tokens: of questions and answers together; None: any number.
        most_cost: dollars; None: any. Needs prices.
        prices: of the model, if known.
    """

    def __init__(
        self,
        *,
        most_tokens: int | None = None,
        most_cost: float | None = None,
        prices: Prices | None = None,
    ) -> None:
        self._ledger: Ledger | None = None
        if most_cost is not None and prices is None:
            raise FlamError("--max-cost needs --price: dollars for a million tokens of questions, and of answers")
        self.most_tokens, self.most_cost, self.prices = most_tokens, most_cost, prices
        self.prompt_tokens = self.completion_tokens = 0.0
        self._open: dict[int, Reservation] = {}
        self._reserved_prompt = self._reserved_completion = 0.0
        self._ratio: float | None = None  # tokens a byte of question, the most that was counted and a little more
        self._changed = asyncio.Event()

    @property
    def cost(self) -> float:
        """Dollars spent; 0 where no price is known."""
        return self.prices.cost(self.prompt_tokens, self.completion_tokens) if self.prices else 0.0

    def go_on(self, ledger: Ledger, at_least: tuple[float, float]) -> None:
        """Count what earlier runs spent, and write down there what is spent from now on.

        Args:
            ledger: of the caption set.
            at_least: tokens of questions and answers of the captions that are there; a ledger may have been lost.
        """
        written = ledger.total()
        self.prompt_tokens, self.completion_tokens = max(written[0], at_least[0]), max(written[1], at_least[1])
        if (self.prompt_tokens, self.completion_tokens) != written:
            ledger.add(self.prompt_tokens - written[0], self.completion_tokens - written[1])
        self._ledger = ledger

    def count(self, prompt_tokens: float, completion_tokens: float) -> None:
        """Add what was spent."""
        self.prompt_tokens += prompt_tokens
        self.completion_tokens += completion_tokens
        if self._ledger is not None and (prompt_tokens or completion_tokens):
            self._ledger.add(prompt_tokens, completion_tokens)

    def estimate(self, question_bytes: int) -> float:
        """Tokens of a question, rather too many."""
        return question_bytes * (_FIRST_RATIO if self._ratio is None else self._ratio)

    async def reserve(self, question_bytes: int, completion_tokens: int) -> Reservation:
        """Wait until a call fits beside those in flight; raises BudgetSpentError if it doesn't even alone."""
        while (reservation := self.try_reserve(question_bytes, completion_tokens)) is None:
            if not self._open:
                raise BudgetSpentError
            self._changed.clear()
            await self._changed.wait()
        return reservation

    def try_reserve(self, question_bytes: int, completion_tokens: int) -> Reservation | None:
        """The same without waiting; None if it does not fit."""
        wanted = Reservation(question_bytes, self.estimate(question_bytes), completion_tokens)
        if not self._fits(wanted):
            return None
        self._open[id(wanted)] = wanted
        self._reserved_prompt += wanted.prompt_tokens
        self._reserved_completion += wanted.completion_tokens
        return wanted

    def settle(self, reservation: Reservation, prompt_tokens: int, completion_tokens: int) -> None:
        """A call was answered. A server that counts nothing is taken to have used what was reserved."""
        if prompt_tokens:
            self._ratio = max(self._ratio or 0.0, 1.05 * prompt_tokens / max(1, reservation.question_bytes))
        self._spend(
            reservation,
            prompt_tokens or reservation.prompt_tokens,
            completion_tokens if prompt_tokens or completion_tokens else reservation.completion_tokens,
        )

    def lose(self, reservation: Reservation) -> None:
        """A call left and no answer came: it may have been paid for."""
        self._spend(reservation, reservation.prompt_tokens, reservation.completion_tokens)

    def release(self, reservation: Reservation) -> None:
        """A call was refused, or never left: nobody asks money for that."""
        self._spend(reservation, 0, 0)

    def _spend(self, reservation: Reservation, prompt_tokens: float, completion_tokens: float) -> None:
        self._open.pop(id(reservation))
        self._reserved_prompt -= reservation.prompt_tokens
        self._reserved_completion -= reservation.completion_tokens
        self.count(prompt_tokens, completion_tokens)
        self._changed.set()

    def _fits(self, wanted: Reservation) -> bool:
        prompt = self.prompt_tokens + self._reserved_prompt + wanted.prompt_tokens
        completion = self.completion_tokens + self._reserved_completion + wanted.completion_tokens
        if self.most_tokens is not None and prompt + completion > self.most_tokens:
            return False
        return self.most_cost is None or self.prices is None or self.prices.cost(prompt, completion) <= self.most_cost

    def __str__(self) -> str:
        """What was spent and what is left."""
        parts = [f"{self.prompt_tokens + self.completion_tokens:,.0f} tokens spent"]
        if self.most_tokens is not None:
            parts.append(f"{max(0.0, self.most_tokens - self.prompt_tokens - self.completion_tokens):,.0f} left")
        if self.prices is not None:
            parts.append(f"${self.cost:,.4f} spent")
        if self.most_cost is not None:
            parts.append(f"${max(0.0, self.most_cost - self.cost):,.4f} left")
        return ", ".join(parts)
