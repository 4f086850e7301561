"""When calls to a server may leave: not more than it takes, not before it says, not while it answers nobody."""

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import AsyncIterator

from manifests.errors import FlamError

PAUSES = (5.0, 10.0, 20.0, 40.0, 60.0)  # seconds; after each one call finds out whether the server is back
_TRIPS_AFTER = 10  # calls in a row without an answer
_REFUSALS_IN_A_ROW = 20  # each after the wait that the one before asked for, and no answer between: it takes no calls


class Traffic:
    """A limit on calls at a time that follows the server's refusals, and a circuit breaker.

    Args:
        server: its name in messages.
        concurrency: calls at a time, at most. Each refusal for too many calls halves the limit, each answer raises it
            by one over itself (additive increase, multiplicative decrease).
    """

    def __init__(self, server: str, *, concurrency: int) -> None:
        self.server, self.most = server, concurrency
        self.limit = float(concurrency)
        self._in_flight = 0
        self._until = 0.0  # nobody calls before, by the monotonic clock
        self._unanswered = 0  # in a row
        self._pauses = 0
        self._refusals = 0  # in a row
        self._probing = False
        self._end: FlamError | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()

    @contextlib.asynccontextmanager
    async def leave(self) -> AsyncIterator[bool]:
        """Wait until a call may be made. Inside, one of the methods below is told what came of it.

        Yields whether the call is to find out if a server that was away is back. Raises what ended it all.
        """
        while not self._is_free():
            await self._turn()
        if self._end is not None:
            raise self._end
        is_probe = self._is_open()
        self._in_flight += 1
        self._probing |= is_probe
        try:
            yield is_probe
        finally:
            self._in_flight -= 1
            if is_probe:
                self._probing = False
            self._wake()

    async def _turn(self) -> None:
        """Wait until something has changed, first come first served."""
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        self._waiting.append(waiter)
        held = self._until - time.monotonic()
        timer = loop.call_later(held, self._wake) if held > 0 else None
        try:
            await waiter
        finally:
            if timer is not None:
                timer.cancel()
            if not waiter.done() or waiter.cancelled():
                with contextlib.suppress(ValueError):
                    self._waiting.remove(waiter)

    def _wake(self) -> None:
        """Let as many look again as there may be room for."""
        for _ in range(max(1, int(self.limit) - self._in_flight)):
            if not self._waiting:
                return
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)

    def answered(self) -> None:
        """The server answered, well or badly."""
        self._unanswered = self._pauses = self._refusals = 0
        self.limit = min(self.most, self.limit + 1 / self.limit)

    def held_back(self, seconds: float) -> None:
        """The server wants nobody to call for so long, and fewer at a time after that.

        Raises FlamError if it has wanted nothing else for too long.
        """
        self._unanswered = 0  # it is alive
        now = time.monotonic()
        if self._until <= now:  # one refusal of a burst speaks for all
            self.limit = max(1.0, self.limit / 2)
            self._refusals += 1
            if self._refusals == _REFUSALS_IN_A_ROW:
                raise FlamError(
                    f"{self.server} refused {self._refusals} calls in a row (HTTP 429), each after the wait it asked "
                    "for; what was answered is kept: see to your quota there and run the same command again"
                )
        self._until = max(self._until, now + seconds)

    def unanswered(self, reason: str, *, is_probe: bool) -> None:
        """Nothing came, or a failure of the server; raises FlamError if it has been so for too long."""
        self._unanswered += 1
        if not is_probe and self._unanswered != _TRIPS_AFTER:
            return  # calls that left before a pause say nothing new after it
        if self._pauses == len(PAUSES):
            raise FlamError(
                f"{self.server} left {self._unanswered} calls in a row unanswered (the last: {reason}); "
                "what was answered is kept: see to the server and run the same command again"
            )
        self._until = time.monotonic() + PAUSES[self._pauses]
        self._pauses += 1

    def end(self, reason: FlamError) -> None:
        """No call leaves any more, not even one whose turn comes before it hears of this."""
        self._end = reason
        while self._waiting:
            self._wake()

    def _is_open(self) -> bool:
        return self._unanswered >= _TRIPS_AFTER

    def _is_free(self) -> bool:
        if self._end is not None:
            return True
        if time.monotonic() < self._until or self._in_flight >= max(1, int(self.limit)):
            return False
        return not (self._is_open() and self._probing)


def backoff(attempt: int) -> float:
    """Seconds to wait after failed attempt 0, 1, ...: half a second, doubled each time, up to 30, give or take."""
    return min(30.0, 0.5 * 2.0**attempt) * random.uniform(0.8, 1.2)
