import asyncio
import email.utils
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from llm_servers import GOOD, DripServer, Mock, OddServer, completion, llmock

from curation.answers import caption_in
from curation.llm import Answer, Llm, NoAnswerError, NotTakenError, Server, retry_after
from curation.questions import CAPTION as FORM
from manifests.errors import FlamError

KEY = "sk-very-secret-0123456789"
QUESTION = [{"role": "user", "content": "What is heard?"}]
CAPTION = json.loads(GOOD)["caption"]


@pytest.fixture(scope="module")
def mock() -> Iterator[Mock]:
    with llmock() as running:
        yield running


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def ask(base_url: str, *, timeout: float = 5.0, max_retries: int = 2, times: int = 1) -> Answer:
    async def run() -> Answer:
        llm = Llm(Server(model="m", base_url=base_url, timeout=timeout, max_retries=max_retries))
        try:
            return [await llm.ask(QUESTION, FORM) for _ in range(times)][-1]
        finally:
            await llm.close()

    return asyncio.run(run())


def test_a_good_answer_comes_with_its_usage(mock: Mock) -> None:
    mock.script()
    answer = ask(mock.base_url)
    assert (caption_in(answer.raw), answer.finish_reason) == (CAPTION, "stop")
    assert answer.prompt_tokens > 0
    assert answer.completion_tokens > 0
    (request,) = mock.requests()
    assert request["body"]["response_format"]["json_schema"]["schema"]["required"] == ["caption"]


def test_the_client_waits_as_it_is_told_and_comes_back(mock: Mock) -> None:
    mock.script(
        {"type": "fail", "status": 429, "retry_after": 1, "times": 1},
        {"type": "fail", "status": 503},
    )
    started = time.monotonic()
    assert ask(mock.base_url).raw == GOOD
    assert time.monotonic() - started >= 1.0
    assert [request["status"] for request in mock.requests()] == [429, 503, 200]
    assert mock.faults_of_client() == []


def test_a_server_that_stays_down_is_no_answer_after_bounded_retries(mock: Mock) -> None:
    mock.script({"type": "fail", "status": 500, "times": None})
    with pytest.raises(NoAnswerError, match="HTTP 500"):
        ask(mock.base_url, max_retries=1)
    assert len(mock.requests()) == 2


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_no_retry_can_mend_is_one_line_and_one_request(mock: Mock, status: int) -> None:
    mock.script({"type": "fail", "status": status, "times": None, "message": f"bad key {KEY}"})
    with pytest.raises(FlamError, match=f"'m' at {mock.root} answered HTTP {status}") as error:
        ask(mock.base_url)
    assert KEY not in str(error.value)
    assert "\n" not in str(error.value)
    assert len(mock.requests()) == 1
    assert mock.faults_of_client() == []


def test_a_server_without_structured_output_is_asked_without() -> None:
    def answer(body: dict[str, Any]) -> tuple[int, bytes]:
        return (400, b'{"error": {}}') if "response_format" in body else (200, completion(GOOD))

    with OddServer(answer) as server:
        assert ask(server.base_url, times=3).raw == GOOD
        assert ["response_format" in body for body in server.bodies] == [True, False, False, False]


def test_a_request_that_is_refused_both_ways_is_an_error() -> None:
    with OddServer(lambda _: (400, b'{"error": {"message": "no"}}')) as server:
        with pytest.raises(FlamError, match="HTTP 400"):
            ask(server.base_url)
        assert len(server.bodies) == 4  # with and without a schema, the length by its new name and by its old one


def test_a_server_that_only_knows_the_old_name_of_the_length_is_asked_by_that() -> None:
    def answer(body: dict[str, Any]) -> tuple[int, bytes]:
        return (422, b"{}") if "max_completion_tokens" in body else (200, completion(GOOD))

    with OddServer(answer) as server:
        assert ask(server.base_url, times=2).raw == GOOD
        assert ["response_format" in body for body in server.bodies] == [True, False, True, True]
        assert all(body["max_tokens"] == FORM.most_tokens for body in server.bodies[2:])


def test_one_question_that_is_refused_is_none_of_the_server_s_faults_once_it_has_answered_others() -> None:
    answers = iter([(200, completion(GOOD)), *[(422, b"{}")] * 4, (200, completion(GOOD))])

    async def run() -> list[str]:
        llm = Llm(Server(model="m", base_url=server.base_url))
        try:
            first = await llm.ask(QUESTION, FORM)
            with pytest.raises(NotTakenError, match="refused by the server"):
                await llm.ask(QUESTION, FORM)
            return [first.raw, (await llm.ask(QUESTION, FORM)).raw]
        finally:
            await llm.close()

    with OddServer(lambda _: next(answers)) as server:
        assert asyncio.run(run()) == [GOOD, GOOD]


@pytest.mark.parametrize(("raw", "finish_reason"), [(GOOD, "stop"), (GOOD[:-4], ""), ("A dog barks.", "")])
def test_an_answer_is_whole_without_a_finish_reason_if_it_can_be_parsed(raw: str, finish_reason: str) -> None:
    with OddServer(lambda _: (200, completion(raw, finish_reason=None))) as server:
        assert ask(server.base_url).finish_reason == finish_reason


def test_an_account_without_credit_stops_at_once() -> None:
    body = json.dumps({"error": {"code": "insufficient_quota", "message": f"key {KEY}"}}).encode()
    with OddServer(lambda _: (429, body)) as server:
        with pytest.raises(FlamError, match="no credit left") as error:
            ask(server.base_url)
        assert len(server.bodies) == 1
    assert KEY not in str(error.value)


def test_a_server_that_drips_is_left_in_time() -> None:
    with DripServer() as server, pytest.raises(NoAnswerError, match="timeout"):
        ask(server.base_url, timeout=0.4, max_retries=0)


def test_a_connection_that_breaks_in_the_body_is_no_answer() -> None:
    with DripServer(resets_after=20) as server, pytest.raises(NoAnswerError, match="connection lost"):
        ask(server.base_url, max_retries=0)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("3", 3.0), ("0.5", 0.5), ("-1", 0.0), ("", None), ("soon", None), ("inf", None), ("nan", None)],
)
def test_seconds_in_retry_after_are_read(value: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": value}) == seconds


def test_dates_in_retry_after_are_read() -> None:
    later = email.utils.formatdate(time.time() + 100, usegmt=True)
    assert 98 <= (retry_after({"retry-after": later}) or 0) <= 100
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b'{"choices": [',
        b"[]",
        b"null",
        b'{"choices": []}',
        b'{"choices": [{"index": 0}]}',
        b"\xff\xfe",
    ],
)
def test_a_malformed_body_is_no_answer(body: bytes) -> None:
    with (
        OddServer(lambda _: (200, body)) as server,
        pytest.raises(NoAnswerError, match="malformed"),
    ):
        ask(server.base_url)


def test_missing_content_and_usage_are_no_crash() -> None:
    with OddServer(lambda _: (200, completion(None, usage=None))) as server:
        answer = ask(server.base_url)
    assert (caption_in(answer.raw), answer.prompt_tokens, answer.completion_tokens) == ("", 0, 0)


def test_a_server_that_hangs_is_left_in_time() -> None:
    def answer(_: dict[str, Any]) -> tuple[int, bytes]:
        time.sleep(1.0)
        return 200, completion(GOOD)

    with OddServer(answer) as server, pytest.raises(NoAnswerError, match="timeout"):
        ask(server.base_url, timeout=0.2, max_retries=0)


def test_a_server_that_is_not_there_is_no_answer() -> None:
    with OddServer(lambda _: (200, b"")) as server:
        gone = server.base_url
    with pytest.raises(NoAnswerError, match="refused"):
        ask(gone, max_retries=0)


def test_a_date_in_retry_after_is_waited_for() -> None:
    later = {"Retry-After": email.utils.formatdate(time.time() + 2, usegmt=True)}
    answers = iter([(429, b"{}", later), (200, completion(GOOD))])
    started = time.monotonic()
    with OddServer(lambda _: next(answers)) as server:
        assert ask(server.base_url).raw == GOOD
    assert time.monotonic() - started > 0.9


def test_a_wait_of_no_length_is_still_a_wait() -> None:
    arrived: list[float] = []

    def answer(_: dict[str, Any]) -> tuple[Any, ...]:
        arrived.append(time.monotonic())
        return (429, b"{}", {"Retry-After": "0"}) if len(arrived) == 1 else (200, completion(GOOD))

    with OddServer(answer) as server:
        assert ask(server.base_url).raw == GOOD
    assert arrived[1] - arrived[0] > 0.35


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_wants_to_be_asked_tomorrow_is_not_waited_for(status: int) -> None:
    with OddServer(lambda _: (status, b"{}", {"Retry-After": "86400"})) as server:
        with pytest.raises(FlamError, match=r"come back in 86400 s.*run the same command again then"):
            ask(server.base_url)
        assert len(server.bodies) == 1


def test_no_key_is_needed_where_a_base_url_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with OddServer(lambda _: (200, completion(GOOD))) as server:
        assert ask(server.base_url).raw == GOOD
        assert KEY not in str(server.headers)
    with pytest.raises(FlamError, match="OPENAI_API_KEY"):
        Llm(Server(model="m"))


@pytest.mark.parametrize(
    ("base_url", "shown"),
    [
        ("http://me:secret@Host:8000/v1/secret?api-version=secret", "http://Host:8000"),
        ("https://[::1]:1/v1", "https://[::1]:1"),
        (" http://my_host ", "http://my_host"),
        ("http://例.jp/v1", "http://例.jp"),
    ],
)
def test_only_host_and_port_of_a_url_are_shown(base_url: str, shown: str) -> None:
    assert Server(model="m", base_url=base_url).name == f"model 'm' at {shown}"


@pytest.mark.parametrize(
    "base_url",
    [
        "http://secret:abc/v1",
        "http://[::1secret",
        "http://日本..secret/v1",
        "http://secret mple/v1",
        "http://secret\tx/v1",
        "http://secret:99999/v1",
        "http://secret:0/v1",
        "http://sec<ret/v1",
        "http://secret/v1#part",
        "ttp//u:secret@h/v1",
        "https//sk-secret@h",
        "ttp://u:secret@h/v1",
        "http://",
        "localhost",
        "http://☃secret.net",
    ],
)
def test_a_url_that_no_call_could_reach_is_refused_in_one_line_that_does_not_repeat_it(base_url: str) -> None:
    with pytest.raises(FlamError, match="base URL") as error:
        Llm(Server(model="m", base_url=base_url))
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("OPENAI_API_KEY", "sk-secret\nb", "OPENAI_API_KEY"),
        ("OPENAI_API_KEY", "schlüsselsecret", "OPENAI_API_KEY"),
        ("OPENAI_ORG_ID", "örgsecret", "OPENAI_ORG_ID"),
        ("OPENAI_ORG_ID", "secret ", "OPENAI_ORG_ID"),
        ("OPENAI_PROJECT_ID", "secret\n", "OPENAI_PROJECT_ID"),
        ("OPENAI_CUSTOM_HEADERS", "X: 1\nY: sécret", "OPENAI_CUSTOM_HEADERS"),
        ("OPENAI_CUSTOM_HEADERS", "X secret: 1", "OPENAI_CUSTOM_HEADERS"),
        ("OPENAI_BASE_URL", "https//secret", "OPENAI_BASE_URL"),
        ("HTTPS_PROXY", "foo://secret", "HTTPS_PROXY"),
        ("ALL_PROXY", "http://u:secret@h:abc", "ALL_PROXY"),
        ("SSL_CERT_FILE", "/nonexistent/secret", "SSL_CERT_FILE"),
        ("SSL_CERT_FILE", "/etc/passwd", "SSL_CERT_FILE"),
    ],
)
def test_a_setting_of_the_environment_that_cannot_work_is_named_and_not_quoted(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(FlamError, match=said) as error:
        Llm(Server(model="m", base_url=None if name == "OPENAI_BASE_URL" else "https://h/v1"))
    assert "secret" not in str(error.value)


def test_settings_of_the_environment_that_can_work_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org one")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Of-Mine: a b: c\n\nno header")
    with OddServer(lambda _: (200, completion(GOOD))) as server:
        ask(server.base_url)
    assert {"X-Of-Mine": "a b: c", "openai-organization": "org one"}.items() <= {
        name if name.startswith("openai") else name.title(): value for name, value in server.headers[0].items()
    }.items()


def test_a_query_of_the_base_url_goes_with_every_call() -> None:
    with OddServer(lambda _: (200, completion(GOOD))) as server:
        ask(f"{server.base_url}?api-version=2024-10-21&x=")
    assert server.paths == ["/v1/chat/completions?api-version=2024-10-21&x="]
