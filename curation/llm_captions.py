"""Cases -> a server, several at a time: each is asked, perhaps asked again, and handed on as soon as it is closed."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from curation.llm import Llm, NoAnswerError, NotTakenError, for_each
from curation.questions import Case, form_about_many, messages_about_many, take_many

_log = logging.getLogger(__name__)


class LlmCaptioner:
    """Asks one server about soundscapes.

    Args:
        llm: the server.
        per_request: soundscapes in one question, where the style asks for a caption.
    """

    def __init__(self, llm: Llm, *, per_request: int = 1) -> None:
        self.llm, self.per_request = llm, per_request
        self.asked_again: Counter[str] = Counter()  # by reason

    async def ask_all(self, cases: Iterable[Case], done: Callable[[Case], None]) -> None:
        """Hand each case to `done` as it is closed; raises FlamError, or BudgetSpentError, if going on is of no use."""

        async def work(group: Sequence[Case]) -> None:
            if len(group) > 1:
                await self._ask_many(group)
            for case in group:
                await self._ask(case)
                done(case)

        # twice as many as may call at a time: while some judge what they were told, the others call
        await for_each(_groups(cases, self.per_request), work, at_a_time=2 * self.llm.server.concurrency)

    async def _ask(self, case: Case) -> None:
        while case.is_open:
            self.asked_again.update(case.reasons[:1])
            try:
                case.take(await self.llm.ask(case.messages(), case.form))
            except NoAnswerError as error:
                _log.debug("%s: %s", case.soundscape.soundscape_id, error)
                case.give_up(str(error), for_good=isinstance(error, NotTakenError))

    async def _ask_many(self, cases: Sequence[Case]) -> None:
        """Whoever is not answered is asked about alone."""
        try:
            answer = await self.llm.ask(messages_about_many(cases), form_about_many(cases))
        except NoAnswerError as error:
            self.asked_again[str(error)] += len(cases)
        else:
            self.asked_again.update(take_many(cases, answer))


def _groups(cases: Iterable[Case], size: int) -> Iterator[list[Case]]:
    """Runs of up to `size` cases that one question can be about."""
    group: list[Case] = []
    for case in cases:
        joins = case.is_open and case.prompt.asks == "caption"
        if group and not (joins and group[0].is_open and group[0].prompt is case.prompt and len(group) < size):
            yield group
            group = []
        group.append(case)
        if not joins:
            yield group
            group = []
    if group:
        yield group
