import asyncio
from pathlib import Path

import pytest

from curation.budget import Budget, BudgetSpentError, Ledger, Prices
from manifests.errors import FlamError


def test_a_call_that_might_go_over_the_limit_is_not_made() -> None:
    async def run() -> None:
        budget = Budget(most_tokens=250)
        call = await budget.reserve(100, 100)  # 50 tokens for the question at worst, and 100
        budget.settle(call, 40, 20)
        call = await budget.reserve(100, 100)
        budget.settle(call, 40, 100)
        assert budget.prompt_tokens + budget.completion_tokens == 200
        with pytest.raises(BudgetSpentError):
            await budget.reserve(100, 100)

    asyncio.run(run())


def test_a_call_waits_for_those_in_flight_before_it_is_refused() -> None:
    async def run() -> None:
        budget = Budget(most_tokens=250)
        first = await budget.reserve(100, 100)
        waiting = asyncio.create_task(budget.reserve(100, 100))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        budget.settle(first, 10, 10)
        budget.release(await waiting)
        assert budget.prompt_tokens == 10

    asyncio.run(run())


def test_what_was_lost_or_not_counted_is_taken_at_its_worst_and_what_was_refused_at_nothing() -> None:
    async def run() -> None:
        budget = Budget()
        budget.lose(await budget.reserve(100, 10))
        assert (budget.prompt_tokens, budget.completion_tokens) == (50, 10)
        budget.settle(await budget.reserve(100, 10), 0, 0)
        assert (budget.prompt_tokens, budget.completion_tokens) == (100, 20)
        budget.release(await budget.reserve(100, 10))
        assert (budget.prompt_tokens, budget.completion_tokens) == (100, 20)

    asyncio.run(run())


def test_the_estimate_follows_the_server_and_stays_on_the_safe_side() -> None:
    async def run() -> None:
        budget = Budget()
        budget.settle(await budget.reserve(1000, 10), 250, 5)
        assert budget.estimate(1000) == pytest.approx(262.5)
        budget.settle(await budget.reserve(1000, 10), 200, 5)
        assert budget.estimate(1000) == pytest.approx(262.5)

    asyncio.run(run())


def test_money_is_counted_at_the_prices_given_and_needs_them() -> None:
    async def run() -> None:
        budget = Budget(most_cost=1.0, prices=Prices(prompt=1000.0, completion=2000.0))
        budget.count(300, 200)
        assert budget.cost == pytest.approx(0.7)
        budget.release(await budget.reserve(200, 100))
        with pytest.raises(BudgetSpentError):
            await budget.reserve(202, 100)
        assert str(budget) == "500 tokens spent, $0.7000 spent, $0.3000 left"

    asyncio.run(run())
    with pytest.raises(FlamError, match="--price"):
        Budget(most_cost=1.0)
    for price in (-1.0, float("nan"), float("inf")):
        with pytest.raises(FlamError, match="must be numbers of dollars"):
            Prices(prompt=price, completion=1.0)


def test_what_every_run_spent_is_written_down_call_by_call(tmp_path: Path) -> None:
    path = tmp_path / ".spent"
    first = Budget()
    killed = Ledger(path)
    first.go_on(killed, (0.0, 0.0))
    first.count(300, 20)
    first.count(100, 30)
    killed.close()
    path.write_bytes(path.read_bytes() + b"99")  # in the middle of a line
    second, ledger = Budget(most_tokens=1000), Ledger(path)
    second.go_on(ledger, (0.0, 0.0))
    assert str(second) == "450 tokens spent, 550 left"
    second.count(50, 1)
    ledger.close()
    assert Ledger(path).total() == (450, 51)
    assert path.read_bytes().count(b"\n") == 2  # one line of all that was before


def test_captions_that_are_there_have_cost_something_though_the_ledger_is_lost(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / ".spent")
    ledger.add(10, 500)
    budget = Budget()
    budget.go_on(ledger, (400.0, 200.0))
    assert (budget.prompt_tokens, budget.completion_tokens) == (400, 500)
    assert ledger.total() == (400, 500)
    ledger.close()
