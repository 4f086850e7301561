"""Captions from a server in several styles, several to a request, and within a budget."""

import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from llm_servers import OddServer, completion, timelines, true_caption, truthful
from soundscape_rows import dataset, event, numbered, soundscape

from curation import traffic
from curation.budget import Prices
from curation.caption import Spending, caption, estimate
from curation.caption_run import CaptionReport
from curation.checks import Checker
from curation.llm import Answer
from curation.prompt import BUILT_IN_STYLES, load_prompt, prompt_path
from curation.questions import Case, Writer
from manifests.errors import FlamError
from manifests.schema import Caption, Soundscape
from manifests.store import DatasetFolder

KEY = "sk-very-secret-0123456789"
USAGE = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "PAUSES", ())


def ask(data: Path, base_url: str, **more: Any) -> CaptionReport:
    return caption(data, via="openai", **{"name": "set", "model": "m", "base_url": base_url, **more})


def rows_of(data: Path) -> list[Caption]:
    return list(DatasetFolder(data).captions("set"))


def two_sounds(count: int) -> list[Soundscape]:
    events = [event("dog bark", (1.0, 2.0)), event("church bell", (4.0, 6.0))]
    return [soundscape(f"{index:08d}", events, "rain") for index in range(count)]


def test_each_style_is_asked_by_its_own_prompt_and_a_style_can_be_added(tmp_path: Path) -> None:
    data = dataset(tmp_path, numbered(3), numbered(2, first=3))
    with OddServer(truthful) as server:
        ask(data, server.base_url, styles=("sentence", "counts"))
        assert len(server.bodies) == 10
        report = ask(data, server.base_url, styles=("sentence", "terse"))
        assert (report.num_done, report.num_reused, len(server.bodies)) == (5, 5, 15)
        systems = {body["messages"][0]["content"] for body in server.bodies}
    assert systems == {load_prompt(style).system for style in ("sentence", "counts", "terse")}
    rows = rows_of(data)
    assert [row.soundscape_id for row in rows] == sorted(f"{i:08d}" for i in range(5) for _ in range(3))
    assert Counter((row.style, row.prompt_hash) for row in rows) == {
        (style, load_prompt(style).hash): 5 for style in ("sentence", "counts", "terse")
    }


def test_event_phrases_are_one_row_a_sound_and_one_bad_one_is_replaced_alone(tmp_path: Path) -> None:
    silent = soundscape("silent", [], "rain")
    data = dataset(tmp_path, [*two_sounds(2), silent])

    def answer(_: dict[str, Any]) -> tuple[int, bytes]:
        phrases = [{"id": 2, "phrase": "a tolling church bell"}, {"id": 1, "phrase": "a cat meowing"}]
        return 200, completion(json.dumps({"phrases": phrases}), usage=USAGE)

    with OddServer(answer) as server:
        report = ask(data, server.base_url, styles=("event",))
        assert len(server.bodies) == 4
        assert "dog bark: it does not mention" in server.bodies[-1]["messages"][-1]["content"]
    assert report.fallbacks == {"complete": 2}
    rows = [row for row in rows_of(data) if row.soundscape_id == "00000000"]
    assert [(row.cluster, row.fallback) for row in rows] == [("dog bark", True), ("church bell", False)]
    assert rows[1].text == "a tolling church bell"
    assert sum(row.prompt_tokens for row in rows) == 200


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("A church bell rings in the rain.", "complete"),
        ("A dog barks, then a church bell rings and thunder rolls.", "nothing_invented"),
        ("A church bell rings, then a dog barks.", "order"),
        ("A dog barks and a church bell rings three times in a row.", "counts"),
        ("A cat meows while a car passes by.", "complete"),
        ("Ein Hund bellt, dann l\u00e4utet eine Kirchenglocke.", "english"),
    ],
)
def test_a_caption_that_contradicts_what_is_heard_is_no_caption(tmp_path: Path, text: str, reason: str) -> None:
    data = dataset(tmp_path, two_sounds(1))
    with OddServer(lambda _: (200, completion(json.dumps({"caption": text})))) as server:
        report = ask(data, server.base_url)
        assert len(server.bodies) == 2
    assert reason in [check.name for check in rows_of(data)[0].checks if not check.passed]
    assert report.fallbacks.total() == 1
    assert rows_of(data)[0].text != text


def test_several_soundscapes_to_a_request_are_told_apart_by_id(tmp_path: Path) -> None:
    data = dataset(tmp_path, numbered(10))

    def answer(body: dict[str, Any]) -> tuple[int, bytes]:
        captions = [{"id": one["id"], "caption": true_caption(one)} for one in reversed(timelines(body))]
        return 200, completion(json.dumps({"captions": captions}), usage=USAGE)

    with OddServer(answer) as server:
        report = ask(data, server.base_url, per_request=5, concurrency=1)
        assert len(server.bodies) == 2
    assert (report.num_done, report.fallbacks.total()) == (10, 0)
    assert all(f"n{index}x" in row.text for index, row in enumerate(rows_of(data)))
    assert sum(row.prompt_tokens for row in rows_of(data)) == 200


def test_what_is_missing_doubled_or_another_ones_is_asked_for_again_alone(tmp_path: Path) -> None:
    labels = ["dog bark", "church bell", "siren", "thunder", "cat meow"]
    data = dataset(tmp_path, [soundscape(str(at), [event(label, (1, 2))]) for at, label in enumerate(labels)])

    def answer(body: dict[str, Any]) -> tuple[int, bytes]:
        asked = timelines(body)
        if len(asked) == 1:
            return truthful(body)
        texts = {one["id"]: true_caption(one) for one in asked}
        wrong = [(1, texts[1]), (2, texts[3]), (3, texts[3]), (4, texts[4]), (4, texts[4]), (9, texts[5])]
        return 200, completion(json.dumps({"captions": [{"id": at, "caption": text} for at, text in wrong]}))

    with OddServer(answer) as server:
        report = ask(data, server.base_url, per_request=5, concurrency=1)
        asked = [timelines(body)[0]["sounds"][0]["label"] for body in server.bodies[1:]]
        assert asked == ["church bell", "thunder", "cat meow"]
    assert report.fallbacks.total() == 0
    assert report.asked_again == {"complete": 1, "id came twice": 1, "id is missing": 1}
    assert all(label in row.text for label, row in zip(labels, rows_of(data), strict=True))


def test_a_request_about_many_that_nobody_answers_is_asked_one_by_one(tmp_path: Path) -> None:
    data = dataset(tmp_path, numbered(3))
    with OddServer(lambda body: (500, b"{}") if len(timelines(body)) > 1 else truthful(body)) as server:
        report = ask(data, server.base_url, per_request=3, max_retries=0)
    assert (report.fallbacks.total(), report.asked_again) == (0, {"HTTP 500": 3})


def test_a_user_s_own_prompt_is_a_style_and_another_text_is_another_set(tmp_path: Path) -> None:
    data = dataset(tmp_path / "data", numbered(2))
    prompt = tmp_path / "haiku.toml"
    prompt.write_text(prompt_path("terse").read_text("utf-8").replace("very short captions", "short poems"), "utf-8")
    with OddServer(truthful) as server:
        ask(data, server.base_url, styles=(str(prompt),))
        assert "short poems" in server.bodies[0]["messages"][0]["content"]
        assert {(row.style, row.prompt_hash) for row in rows_of(data)} == {("haiku", load_prompt(str(prompt)).hash)}
        prompt.write_text(prompt.read_text("utf-8").replace("poems", "songs"), "utf-8")
        with pytest.raises(FlamError, match="style haiku was made with another prompt; give the captions another"):
            ask(data, server.base_url, styles=(str(prompt),))


@pytest.mark.parametrize("where", ["user", "again", "many"])
def test_no_words_of_the_question_come_back_as_a_caption_but_labels_may(tmp_path: Path, where: str) -> None:
    asked = "somewhere between here and there comes a noise of cats"
    label = "the cat that sat on the mat of the neighbour and purred"
    style = tmp_path / "own.toml"
    style.write_text(
        f"""system = "Say it."\nuser = "{asked if where == "user" else ""} {{timeline}}"\n"""
        f"""again = "{asked if where == "again" else ""} {{problems}}"\n""",
        "utf-8",
    )
    of = soundscape("a", [event(label, (1, 2))])
    case = Case(of, load_prompt(str(style)), Writer(model="m", checker=Checker(), seed=0))
    echo = "write one caption for each of them by the rules above" if where == "many" else asked
    for text, wrong in ((f"{echo}, {label}", True), (f"Softly purrs {label}", False)):
        case.take(Answer(raw=json.dumps({"caption": text}), finish_reason="stop", prompt_tokens=0, completion_tokens=0))
        assert ("no_echo" in case.reasons) == wrong, text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("x = ", "cannot be read as TOML"),
        ('system = "s"', "user: Field required"),
        ('system = ""\nuser = "{timeline}"\nagain = "{problems}"', "system: String should have at least 1"),
        ('system = "s"\nuser = ""\nagain = "{problems}"', "user does not hold {timeline}"),
        ('system = "s"\nuser = "{timeline}"\nagain = "{problems}"\nwords = 3', "words: Extra inputs"),
        ('system = "s"\nuser = "{timeline}"\nagain = "{problems}"\nmost_words = 2', "most_words is less"),
    ],
)
def test_a_prompt_that_cannot_work_is_said_in_a_line(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "own.toml").write_text(content)
    with pytest.raises(FlamError, match=f"own.toml.*{said}"):
        load_prompt(str(tmp_path / "own.toml"))


def test_every_built_in_prompt_loads_and_is_another() -> None:
    assert len({load_prompt(style).hash for style in BUILT_IN_STYLES}) == len(BUILT_IN_STYLES)
    with pytest.raises(FlamError, match="no style 'poem': neither one of sentence"):
        load_prompt("poem")


def test_a_limit_on_tokens_is_kept_and_a_higher_one_goes_on(tmp_path: Path) -> None:
    data = dataset(tmp_path, numbered(30), numbered(10, first=30))

    def answer(body: dict[str, Any]) -> tuple[int, bytes]:
        usage = {"prompt_tokens": 500, "completion_tokens": 30, "total_tokens": 530}
        return 200, completion(json.dumps({"caption": true_caption(timelines(body)[0])}), usage=usage)

    with OddServer(answer) as server:
        with pytest.raises(FlamError, match=r"limit on spending is reached: .* tokens spent, .* left; \d+ texts made"):
            ask(data, server.base_url, spending=Spending(most_tokens=8000))
        made = len(rows_of(data))
        assert made == len(server.bodies)
        assert 530 * made <= 8000 < 530 * made + 530 + 1000 + 600  # one more might have had the longest answer
        with pytest.raises(FlamError, match="limit on spending"):
            ask(data, server.base_url, spending=Spending(most_tokens=8000))
        assert len(server.bodies) == made
        ask(data, server.base_url, spending=Spending(most_tokens=1_000_000))
        assert len(server.bodies) == len(rows_of(data)) == 40


def test_a_limit_on_money_counts_what_a_silent_server_may_have_used(tmp_path: Path) -> None:
    data = dataset(tmp_path, numbered(20))
    prices = Prices(prompt=1.0, completion=1.0)
    with OddServer(lambda body: (200, completion(json.dumps({"caption": true_caption(timelines(body)[0])})))) as server:
        with pytest.raises(FlamError, match=r"\$0\.0[01]\d+ spent, \$0\.00\d+ left"):
            ask(data, server.base_url, spending=Spending(most_cost=0.01, prices=prices))
        assert 2 <= len(server.bodies) <= 6


def test_a_dry_run_counts_and_asks_nobody(tmp_path: Path) -> None:
    data = dataset(tmp_path, numbered(10))
    with OddServer(truthful) as server:
        ask(data, server.base_url, limit=4)
    found = estimate(data, name="set", model="m", styles=("sentence", "event"), prices=Prices(prompt=1, completion=2))
    assert (found.num_texts, found.num_reused) == (16, 4)
    assert 16 * 200 < found.prompt_tokens < 16 * 1000
    assert found.cost == pytest.approx((found.prompt_tokens + 2 * found.completion_tokens) / 1e6)
    assert len(rows_of(data)) == 4
    estimate(data, name="other", model="m")
    assert not (data / "captions" / "other").exists()


def test_no_key_prompt_or_answer_is_logged_or_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    caplog.set_level(logging.INFO)
    data = dataset(tmp_path, numbered(3))
    with OddServer(lambda body: (500, KEY.encode()) if "n1x" in str(body) else truthful(body)) as server:
        ask(data, server.base_url, max_retries=0)
    said = caplog.text + "".join(capfd.readouterr())
    assert not any(secret in said for secret in (KEY, "sound number", "One can hear", "You write"))
    stored = b"".join(path.read_bytes() for path in data.rglob("*") if path.is_file())
    assert KEY.encode() not in stored
