import asyncio
import email.utils
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from llm_servers import GOOD, Mock, OddServer, completion, llmock

from curation.checks import check_caption, failed, tidy
from curation.llm import Answer, Llm, NoAnswerError, Server, caption_in
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
            return [await llm.ask(QUESTION) for _ in range(times)][-1]
        finally:
            await llm.close()

    return asyncio.run(run())


def test_a_good_answer_comes_with_its_usage(mock: Mock) -> None:
    mock.script()
    answer = ask(mock.base_url)
    assert (answer.text, answer.finish_reason) == (CAPTION, "stop")
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
    assert ask(mock.base_url).text == CAPTION
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
    with pytest.raises(FlamError, match=f"'m' at {mock.base_url} answered HTTP {status}") as error:
        ask(mock.base_url)
    assert KEY not in str(error.value)
    assert "\n" not in str(error.value)
    assert len(mock.requests()) == 1
    assert mock.faults_of_client() == []


def test_a_server_without_structured_output_is_asked_without() -> None:
    def answer(body: dict[str, Any]) -> tuple[int, bytes]:
        return (400, b'{"error": {}}') if "response_format" in body else (200, completion(CAPTION))

    with OddServer(answer) as server:
        assert ask(server.base_url, times=3).text == CAPTION
        assert ["response_format" in body for body in server.bodies] == [True, False, False, False]


def test_a_request_that_is_refused_both_ways_is_an_error() -> None:
    with OddServer(lambda _: (400, b'{"error": {"message": "no"}}')) as server:
        with pytest.raises(FlamError, match="HTTP 400"):
            ask(server.base_url)
        assert len(server.bodies) == 2


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
    assert (answer.text, answer.prompt_tokens, answer.completion_tokens) == ("", 0, 0)


def test_a_server_that_hangs_is_left_in_time() -> None:
    def answer(_: dict[str, Any]) -> tuple[int, bytes]:
        time.sleep(1.0)
        return 200, completion(CAPTION)

    with OddServer(answer) as server, pytest.raises(NoAnswerError, match="timeout"):
        ask(server.base_url, timeout=0.2, max_retries=0)


def test_a_server_that_is_not_there_is_no_answer() -> None:
    with OddServer(lambda _: (200, b"")) as server:
        gone = server.base_url
    with pytest.raises(NoAnswerError, match="refused"):
        ask(gone, max_retries=0)


def test_a_date_in_retry_after_is_waited_for() -> None:
    later = {"Retry-After": email.utils.formatdate(time.time() + 2, usegmt=True)}
    answers = iter([(429, b"{}", later), (200, completion(CAPTION))])
    started = time.monotonic()
    with OddServer(lambda _: next(answers)) as server:
        assert ask(server.base_url).text == CAPTION
    assert time.monotonic() - started > 0.9


def test_no_key_is_needed_where_a_base_url_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with OddServer(lambda _: (200, completion(CAPTION))) as server:
        assert ask(server.base_url).text == CAPTION
        assert KEY not in str(server.headers)
    with pytest.raises(FlamError, match="OPENAI_API_KEY"):
        Llm(Server(model="m"))


@pytest.mark.parametrize(("key", "base_url"), [("sk-a\nb", "http://x"), ("schlüssel", "http://x"), (KEY, "localhost")])
def test_a_key_or_url_that_cannot_work_is_refused_before_any_call(
    monkeypatch: pytest.MonkeyPatch, key: str, base_url: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(FlamError) as error:
        Llm(Server(model="m", base_url=base_url))
    assert key not in str(error.value)


def test_a_password_in_the_url_is_not_shown() -> None:
    assert Server(model="m", base_url="http://me:secret@host:8000/v1").name == "model 'm' at http://host:8000/v1"


@pytest.mark.parametrize(
    "raw",
    [
        GOOD,
        f"```json\n{GOOD}\n```",
        f"Here you are: {GOOD} Enjoy!",
        f"<think>I {{must}} be brief.</think>\n{GOOD}",
        CAPTION,
        f'"{CAPTION}"',
        f"```\n{CAPTION}\n```",
        f"{{'caption': '{CAPTION}'}}",
        f"{{'caption': \"{CAPTION}\"}}",
        f'{{"caption": "{CAPTION}",}}',
        f'{{"caption": "{CAPTION}"',
        f'```json\n{{"caption": "{CAPTION}"\n```',
        f'Sure: {{"caption": "{CAPTION}", "confidence": high}}',
    ],
)
def test_a_caption_is_found_in_what_models_write(raw: str) -> None:
    assert caption_in(raw) == CAPTION


def test_escapes_in_almost_json_are_read() -> None:
    assert caption_in('{"caption": "A \\"dog\\" barks in a caf\\u00e9.",}') == 'A "dog" barks in a caf\u00e9.'
    assert caption_in("{'caption': 'A dog\\'s bark.'}") == "A dog's bark."


@pytest.mark.parametrize(
    "raw",
    [
        "",
        '{"caption": "A dog ba',
        "{'caption': 'A dog ba",
        "{'caption': 'A dog's bark'}",
        '{"text": "A dog"}',
        '{"caption": 3}',
        '{"caption": 3,}',
        "{}" * 3,
        'Like {"caption": "An example."}: {"caption": "A dog barks."}',
        '{"caption": "A dog barks." "and more"}',
        "{'caption': '\\xZZ'}",
        "{" * 100_000,
        '{"caption": "' + "\\" * 100_001,
    ],
)
def test_a_broken_answer_holds_no_caption(raw: str) -> None:
    assert caption_in(raw) == ""


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not_empty"),
        ("Dog.", "length"),
        ("dog " * 61, "length"),
        ("x" * 1_000_000, "length"),
        ("A dog barks.\nRain falls here.", "one_line"),
        ("A dog \ud800 barks loudly.", "one_line"),
        ("A **dog** barks loudly.", "plain"),
        ("A dog_bark is heard.", "plain"),
        ("A dog barks. Then rain falls.", "one_sentence"),
        ("I'm sorry, but I cannot do that.", "no_chatter"),
        ("As an AI, I hear a dog.", "no_chatter"),
        ("Here is a caption of a dog barking.", "no_chatter"),
        ("Sure, a dog barks loudly.", "no_chatter"),
        ("A dog barks at 3.5 seconds.", "no_times"),
        ("A dog barks for 2s and stops.", "no_times"),
        ("Say how the sounds follow one another in this one", "no_echo"),
        (
            "\u4e00 \u4e8c \u4e09 dogs \u56db\u4e94\u516d\u4e03",
            "english",
        ),
    ],
)
def test_a_bad_caption_fails_its_check(text: str, problem: str) -> None:
    prompt = "Say how the sounds follow one another in this one, please."
    assert problem in failed(check_caption(text, finish_reason="stop", prompt=prompt, labels=[]))


def test_an_answer_that_was_cut_fails_though_it_reads_well() -> None:
    for reason in ("length", "content_filter", ""):
        assert failed(check_caption(CAPTION, finish_reason=reason, prompt="", labels=[])) == ["finished"]


def test_a_good_caption_passes_and_is_made_tidy() -> None:
    for text in (
        CAPTION,
        "a 鳥 sings while rain falls",
        "A T-shirt rustles, then someone says hello!",
    ):
        assert failed(check_caption(text, finish_reason="stop", prompt="Write one.", labels=["鳥"])) == []
    assert tidy("  a dog  barks!") == "A dog barks."
