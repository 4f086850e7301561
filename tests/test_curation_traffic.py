import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import pytest

from curation import traffic
from curation.traffic import Traffic, backoff
from manifests.errors import FlamError


def test_no_more_calls_than_allowed_leave_at_a_time() -> None:
    async def run() -> int:
        lane, now, most = Traffic("it", concurrency=3), 0, 0

        async def call() -> None:
            nonlocal now, most
            async with lane.leave():
                now += 1
                most = max(most, now)
                await asyncio.sleep(0.001)
                now -= 1
                lane.answered()

        await asyncio.gather(*(call() for _ in range(20)))
        return most

    assert asyncio.run(run()) == 3


def test_a_refusal_holds_everybody_back_and_halves_the_limit_once_a_burst() -> None:
    async def run() -> tuple[float, float]:
        lane = Traffic("it", concurrency=8)
        async with lane.leave(), lane.leave():
            lane.held_back(0.2)
            lane.held_back(0.1)
        limit, started = lane.limit, time.monotonic()
        async with lane.leave():
            lane.answered()
        assert lane.limit > limit
        return limit, time.monotonic() - started

    limit, waited = asyncio.run(run())
    assert limit == 4
    assert waited > 0.15


def test_nobody_whose_turn_comes_leaves_after_the_end() -> None:
    async def run() -> None:
        lane = Traffic("it", concurrency=1)
        left = []

        async def call(number: int) -> None:
            async with lane.leave():
                left.append(number)
                await asyncio.sleep(0.01)
            lane.end(FlamError("no such key"))

        found = await asyncio.gather(*(call(number) for number in range(3)), return_exceptions=True)
        assert left == [0]
        assert [str(error) for error in found[1:]] == ["no such key"] * 2

    asyncio.run(run())


async def _fail(lane: Traffic, times: int) -> None:
    for _ in range(times):
        async with lane.leave() as is_probe:
            lane.unanswered("HTTP 500", is_probe=is_probe)


def _broken(then: Callable[[Traffic], Awaitable[None]]) -> None:
    async def run() -> None:
        lane = Traffic("it", concurrency=4)
        await _fail(lane, 10)
        await then(lane)

    asyncio.run(run())


def test_after_ten_failures_in_a_row_one_call_at_a_time_finds_out_whether_the_server_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(traffic, "PAUSES", (0.1, 0.1))

    async def then(lane: Traffic) -> None:
        started = time.monotonic()
        probes: list[float] = []

        async def call() -> None:
            async with lane.leave():
                probes.append(time.monotonic() - started)
                await asyncio.sleep(0.05)
                lane.answered()

        await asyncio.gather(*(call() for _ in range(4)))
        assert probes[0] > 0.08
        assert probes[1] > probes[0] + 0.04

    _broken(then)


def test_a_server_that_stays_away_ends_it_after_the_last_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "PAUSES", (0.01, 0.01))

    async def then(lane: Traffic) -> None:
        await _fail(lane, 1)
        with pytest.raises(FlamError, match=r"it left 12 calls in a row unanswered \(the last: HTTP 500\)"):
            await _fail(lane, 1)

    _broken(then)


def test_calls_that_left_before_a_pause_say_nothing_new_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "PAUSES", (0.01, 0.01))

    async def run() -> None:
        lane = Traffic("it", concurrency=20)
        async with contextlib.AsyncExitStack() as slow:
            for _ in range(5):
                await slow.enter_async_context(lane.leave())
            await _fail(lane, 10)
            await asyncio.sleep(0.02)
            for _ in range(5):  # more than there are pauses
                lane.unanswered("timeout", is_probe=False)
        async with lane.leave() as is_probe:
            assert is_probe
            lane.answered()

    asyncio.run(run())


def test_an_answer_between_failures_keeps_it_going() -> None:
    async def run() -> None:
        lane = Traffic("it", concurrency=1)
        for _ in range(5):
            await _fail(lane, 9)
            async with lane.leave():
                lane.answered()

    asyncio.run(run())


def test_waits_grow_to_a_limit_and_differ() -> None:
    assert len({backoff(0) for _ in range(5)}) > 1
    assert all(0.4 <= backoff(0) <= 0.6 and 24 <= backoff(100) <= 36 for _ in range(100))
    assert backoff(3) > backoff(0)


def test_a_server_that_refuses_every_call_after_each_wait_is_given_up() -> None:
    async def refuse(lane: Traffic, times: int) -> None:
        for _ in range(times):
            async with lane.leave():
                lane.held_back(0.002)
                lane.held_back(0.001)  # the rest of a burst says nothing new

    async def run() -> None:
        lane = Traffic("it", concurrency=4)
        await refuse(lane, 19)
        async with lane.leave():
            lane.answered()
        await refuse(lane, 19)
        with pytest.raises(FlamError, match=r"it refused 20 calls in a row \(HTTP 429\).*see to your quota"):
            await refuse(lane, 1)

    asyncio.run(run())
