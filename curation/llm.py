"""One call to an OpenAI-compatible server: a structured answer, its usage, errors by what to do.

The key is read from OPENAI_API_KEY when the client is made and is never part of a message: ours
don't name it, and the server's, which may, are never quoted.
"""

import asyncio
import email.utils
import math
import os
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from curation.answers import json_in
from curation.budget import Budget, question_bytes
from curation.llm_address import Address, address_of
from curation.traffic import Traffic, backoff
from manifests.errors import FlamError

if TYPE_CHECKING:
    from openai import AsyncOpenAI

Item = TypeVar("Item")
_OPENAI = "https://api.openai.com/v1"
_PLACEHOLDER_KEY = "none"  # many local servers want no key, but the client insists on one
_LONGEST_WAIT = 600.0  # seconds; a server that says to come back later than that is not waited for
_LATER = {408, 409}  # with 5xx: the server may answer later
_HEADER = re.compile(r"([!-~]([ -~]*[!-~])?)?")  # what HTTP takes for the value of one
_HEADER_LINE = re.compile(r"[\w-]+\s*:[\t -~]*", re.ASCII)
_MOST_NOT_TAKEN = 5  # questions that a server may refuse before it answers one; more is no matter of the questions
_MOST_REFUSALS = 8  # of one call, for too many calls: those are no failures, but there must be an end


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """Where answers come from."""

    model: str
    base_url: str | None = None  # None: OPENAI_BASE_URL, else OpenAI; a query in it goes with every call
    timeout: float = 60.0  # seconds for one attempt, from the first byte sent to the last received
    max_retries: int = 4  # after 5xx, timeouts and lost connections
    concurrency: int = 8  # calls at a time
    max_answer_tokens: int = 1000  # of an answer with one text, thoughts included

    @property
    def address(self) -> Address:
        """Where it is; raises FlamError if that is no address."""
        return address_of(self.base_url or os.environ.get("OPENAI_BASE_URL") or _OPENAI)

    @property
    def name(self) -> str:
        """The model and where it runs, as a user may see it."""
        return f"model {self.model!r} at {self.address.shown}"


@dataclass(frozen=True, slots=True)
class Form:
    """What an answer must look like, as a JSON schema, and how many tokens it may have."""

    name: str
    schema: Mapping[str, Any]
    most_tokens: int = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What the model said."""

    raw: str
    finish_reason: str
    prompt_tokens: int  # 0 where the server does not count
    completion_tokens: int


class NoAnswerError(Exception):
    """One call came to nothing, though the next may not. Its text is the reason in a few words."""


class NotTakenError(NoAnswerError):
    """The server refused this question, and has answered others: it will not take it later either."""


class NoneTakenError(FlamError):
    """The server refused a question before it answered any: it may be the settings, or this question."""


class MalformedError(Exception):
    """A response that is no chat completion."""


class Llm:
    """A client for one server. Use it inside one event loop."""

    def __init__(self, server: Server, budget: Budget | None = None) -> None:
        self.server, self.budget = server, budget or Budget()
        self.client = make_client(server)
        # whole: the client would join its parts at each call, for a twentieth of what a call takes
        self._url = f"{self.client.base_url}chat/completions"
        self._traffic = Traffic(server.name, concurrency=server.concurrency)
        self._dialect = 0  # the first of _DIALECTS that the server understands
        self._has_answered = False

    async def ask(self, messages: Sequence[Mapping[str, str]], form: Form) -> Answer:
        """One answer; raises NoAnswerError if there is none, FlamError if no other will come.

        Raises BudgetSpentError where the budget may not last for it.
        """
        size = question_bytes(messages)
        failures = refusals = 0
        while True:
            reservation = await self.budget.reserve(size, form.most_tokens)
            settled = False
            try:
                async with self._traffic.leave() as is_probe:
                    try:
                        answer = await self._complete(messages, form)
                    except _RefusedError as refusal:
                        self._traffic.held_back(refusal.wait or backoff(refusals))
                        refusals += 1
                        if refusals > _MOST_REFUSALS:
                            raise NoAnswerError("HTTP 429") from None
                        continue
                    except _FailedError as failure:
                        if failure.may_cost:
                            self.budget.lose(reservation)
                            settled = True
                        self._traffic.unanswered(str(failure), is_probe=is_probe)
                        failures += 1
                        if failures > self.server.max_retries:
                            raise NoAnswerError(str(failure)) from None
                        wait = failure.wait or backoff(failures - 1)
                    else:
                        self._traffic.answered()
                        self.budget.settle(reservation, answer.prompt_tokens, answer.completion_tokens)
                        settled = True
                        return answer
                await asyncio.sleep(wait)
            except NoneTakenError:
                raise
            except FlamError as error:
                self._traffic.end(error)
                raise
            finally:
                if not settled:
                    self.budget.release(reservation)

    async def close(self) -> None:
        """Give the connections back."""
        await self.client.close()

    async def _complete(self, messages: Sequence[Mapping[str, str]], form: Form) -> Answer:
        """One attempt."""
        import openai

        for dialect in range(self._dialect, len(_DIALECTS)):
            try:
                async with asyncio.timeout(self.server.timeout):  # of the whole call, whatever drips
                    body = await self.client.post(
                        self._url,
                        cast_to=object,
                        body=request(self.server.model, messages, form, dialect),
                        options={"timeout": None},  # none beside it: what aiohttp calls one may be a lost connection
                    )
            except TimeoutError:
                raise _FailedError("timeout", may_cost=True) from None
            except openai.APIConnectionError:
                raise _FailedError("connection lost or refused", may_cost=True) from None
            except openai.APIStatusError as error:
                if error.status_code not in (400, 422):
                    raise _status_error(self.server, error) from None
                if dialect + 1 == len(_DIALECTS):
                    self._traffic.answered()
                    raise self._not_taken(error.status_code) from None
                continue
            except (openai.APIError, ValueError):  # ValueError: a body that is no JSON reaches us as JSONDecodeError
                raise _FailedError("malformed response", may_cost=True) from None
            self._dialect = max(self._dialect, dialect)  # the request was good, so it was the words it did not know
            try:
                answer = answer_in(body)
            except MalformedError:
                raise _FailedError("malformed response", may_cost=True) from None
            self._has_answered = True
            return answer
        raise AssertionError

    def _not_taken(self, status: int) -> Exception:
        if self._has_answered:
            return NotTakenError("refused by the server")
        return NoneTakenError(str(refusal(self.server, status)))


async def for_each(items: Iterable[Item], work: Callable[[Item], Awaitable[None]], *, at_a_time: int) -> None:
    """Work on items side by side, taking each when there is room; the first error ends it.

    Items that the server refused before it answered any come again at the end: by then it has shown if it takes others.
    """
    waiting = iter(items)
    later: list[Item] = []

    async def take() -> None:
        for item in waiting:
            try:
                await work(item)
            except NoneTakenError:
                later.append(item)
                if len(later) == _MOST_NOT_TAKEN:
                    raise

    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(at_a_time):
                tasks.create_task(take())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None  # the others only say the same
    for item in later:
        await work(item)


class _FailedError(Exception):
    """The server failed; it may do better."""

    def __init__(self, reason: str, *, may_cost: bool, wait: float | None = None) -> None:
        super().__init__(reason)
        self.may_cost, self.wait = may_cost, wait


class _RefusedError(Exception):
    """Too many calls for the server."""

    def __init__(self, wait: float | None) -> None:
        super().__init__()
        self.wait = wait


# Servers know different words of the protocol, and refuse or ignore the others: how the form is told, and the length
_DIALECTS = (
    (True, "max_completion_tokens"),
    (False, "max_completion_tokens"),
    (True, "max_tokens"),
    (False, "max_tokens"),
)


def request(model: str, messages: Sequence[Mapping[str, str]], form: Form, dialect: int = 0) -> dict[str, Any]:
    """The body of a chat completion request."""
    structured, length = _DIALECTS[dialect]
    body: dict[str, Any] = {"model": model, "messages": list(messages), length: form.most_tokens}
    if structured:
        schema = {"name": form.name, "strict": True, "schema": form.schema}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def make_client(server: Server) -> "AsyncOpenAI":
    """OpenAI's client; it retries nothing by itself, for only we know what is in flight.

    Raises FlamError for settings, the environment's too, with which no call could leave: the client would fail at each
    call as if the server had, or in many lines. None of them is quoted, for they may hold keys and passwords.
    """
    from openai import AsyncOpenAI, DefaultAioHttpClient

    key = os.environ.get("OPENAI_API_KEY", "").strip()
    if not (key or server.base_url or os.environ.get("OPENAI_BASE_URL")):
        raise FlamError("no API key: set OPENAI_API_KEY, or give --base-url for a server that needs none")
    organisation, project = (os.environ.get(name, "") for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID"))
    for name, value in (("API_KEY", key), ("ORG_ID", organisation), ("PROJECT_ID", project)):
        if not _HEADER.fullmatch(value):
            raise FlamError(f"OPENAI_{name} holds characters that it cannot have; set it again")
    headers = os.environ.get("OPENAI_CUSTOM_HEADERS", "").splitlines()
    if not all(_HEADER_LINE.fullmatch(line.strip()) for line in headers if ":" in line):
        raise FlamError("OPENAI_CUSTOM_HEADERS holds what is no HTTP header; give lines of NAME: VALUE, or unset it")
    address = server.address
    try:
        return AsyncOpenAI(
            api_key=key or _PLACEHOLDER_KEY,
            base_url=address.url,
            default_query=address.query,
            timeout=server.timeout,
            max_retries=0,
            http_client=DefaultAioHttpClient(),  # a call takes less CPU than over the default one
        )
    except OSError:
        raise FlamError(
            "cannot read certificates to connect with: check the files that SSL_CERT_FILE and SSLKEYLOGFILE name"
        ) from None
    except Exception:  # noqa: BLE001 - what is wrong with a URL has no class in common with other errors
        raise FlamError(
            "cannot connect by these addresses: check HTTP_PROXY, HTTPS_PROXY and ALL_PROXY, and the base URL"
        ) from None


def _status_error(server: Server, error: Any) -> Exception:
    status = int(error.status_code)
    if status == 429 and getattr(error, "code", None) == "insufficient_quota":
        return FlamError(f"{server.name} answered HTTP 429: the account behind OPENAI_API_KEY has no credit left")
    wait = retry_after(error.response.headers)
    if wait is not None and wait > _LONGEST_WAIT:
        return FlamError(
            f"{server.name} answered HTTP {status} and asks to come back in {wait:.0f} s; what was answered is kept: "
            "run the same command again then"
        )
    if status == 429:
        return _RefusedError(wait)
    if status in _LATER or status >= 500:
        return _FailedError(f"HTTP {status}", may_cost=False, wait=wait)
    return refusal(server, status)


def refusal(server: Server, status: int) -> FlamError:
    """An answer that no other attempt will change."""
    advice = {
        400: "it refused the request; check --model and --base-url",
        401: "check OPENAI_API_KEY",
        403: "the key in OPENAI_API_KEY may not use it",
        404: "it is not there; check --model and --base-url",
    }
    return FlamError(f"{server.name} answered HTTP {status}: " + advice.get(status, "check --model and --base-url"))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from a header in seconds or with a date; None where it says nothing of use."""
    value = headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def answer_in(body: Any) -> Answer:
    """Read a completion; servers leave fields out. Raises MalformedError where there is no message."""
    choices = body.get("choices") if isinstance(body, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    if not isinstance(first, dict) or not isinstance(message, dict):
        raise MalformedError
    content, finish_reason = message.get("content"), first.get("finish_reason")
    raw = content if isinstance(content, str) else ""
    if not finish_reason:  # some servers never say; what can be parsed was not cut
        finish_reason = "stop" if json_in(raw) is not None else ""
    usage = body.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return Answer(
        raw=raw,
        finish_reason=str(finish_reason),
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
    )


def _count(value: Any) -> int:
    return value if isinstance(value, int) and 0 <= value < 2**62 else 0
