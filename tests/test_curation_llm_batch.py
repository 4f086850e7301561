import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batch_server import BatchServer
from llm_servers import Mock, OddServer, completion, llmock, timelines, true_caption, truthful
from soundscape_rows import barking, dataset, event, numbered, soundscape

from curation import llm_batch
from curation.caption import Spending, caption
from curation.caption_run import CaptionReport
from manifests.errors import FlamError
from manifests.schema import Caption
from manifests.store import DatasetFolder

RUN = """
import sys
from pathlib import Path
from curation import llm_batch
from curation.caption import caption
llm_batch.POLL_SECONDS = (0.05, 0.1)
caption(Path(sys.argv[1]), via="openai", name="set", model="m", base_url=sys.argv[2], batch=True)
"""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llm_batch, "POLL_SECONDS", (0.01, 0.05))


@pytest.fixture(scope="module")
def mock() -> Iterator[Mock]:
    with llmock() as running:
        yield running


def ask(data: Path, base_url: str, **more: Any) -> CaptionReport:
    return caption(data, via="openai", batch=True, **{"name": "set", "model": "m", "base_url": base_url, **more})


def rows_of(data: Path) -> list[Caption]:
    return list(DatasetFolder(data).captions("set"))


def test_a_batch_is_written_sent_awaited_and_stored(tmp_path: Path) -> None:
    data = dataset(tmp_path, numbered(5), [*numbered(3, first=5), soundscape("silent", [])])
    with BatchServer(truthful) as server:
        report = ask(data, server.base_url)
        assert (len(server.batches), len(server.asked)) == (1, 8)
        assert ask(data, server.base_url).num_reused == 9
        assert len(server.batches) == 1
    assert (report.num_done, report.fallbacks.total(), report.prompt_tokens) == (9, 0, 800)
    assert [row.soundscape_id for row in rows_of(data)] == [*(f"{i:08d}" for i in range(8)), "silent"]
    assert all(f"n{index}x" in row.text for index, row in enumerate(rows_of(data)[:8]))
    assert not (data / "captions" / "set" / ".batch").exists()


def test_bad_answers_and_lost_ones_are_asked_again_in_the_next_round_and_only_they(tmp_path: Path) -> None:
    data = dataset(tmp_path, numbered(6))

    def answer(body: dict[str, Any]) -> tuple[int, bytes] | None:
        again = len(body["messages"]) > 2
        if "n1x" in str(body) and not again:
            return 200, completion('{"caption": "A cat meows and thunder rolls."}')
        if "n2x" in str(body):
            return (500, b'{"error": {}}') if not lost.setdefault("n2x", False) else truthful(body)
        if "n3x" in str(body):
            return None
        return truthful(body)

    lost: dict[str, bool] = {}
    with BatchServer(answer) as server:
        report = ask(data, server.base_url)
        counts = [sum(f"n{index}x" in str(body["messages"]) for body in server.asked) for index in range(6)]
    assert counts == [1, 2, 3, 3, 1, 1]
    assert report.fallbacks == {"no answer in the batch": 2}
    assert [row.fallback for row in rows_of(data)] == [False, False, True, True, False, False]
    with BatchServer(truthful) as server:
        assert ask(data, server.base_url).num_done == 2
        assert len(server.asked) == 2
    assert not any(row.fallback for row in rows_of(data))


def test_a_killed_run_finds_its_batch_again_and_sends_nothing_twice(tmp_path: Path) -> None:
    data = dataset(tmp_path, numbered(20))
    with BatchServer(truthful, looks=10**6) as server:
        process = subprocess.Popen([sys.executable, "-c", RUN, str(data), server.base_url])
        for _ in range(2000):
            if server.batches:
                break
            time.sleep(0.005)
        process.kill()  # perhaps before it could note the batch
        process.communicate()
        state = data / "captions" / "set" / ".batch" / "00-000.json"
        content = json.loads(state.read_text())
        state.write_text(json.dumps({"key": content["key"]}))
        server.batches["batch-0"]["looks"] = 2
        with pytest.raises(FlamError, match=r"batches are under way in .*give --batch to go on"):
            caption(data, via="openai", name="set", model="m", base_url=server.base_url)
        report = ask(data, server.base_url)
        assert (len(server.batches), len(server.asked)) == (1, 20)
    assert (report.num_done, report.fallbacks.total()) == (20, 0)


def test_a_large_round_goes_out_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llm_batch, "MOST_REQUESTS", 4)
    data = dataset(tmp_path, numbered(10))
    with BatchServer(truthful, looks=3) as server:
        assert ask(data, server.base_url).num_done == 10
        assert server.most_open == 3  # all were sent before the first was waited for
        assert sorted(content.count(b"\n") for name, content in server.files.items() if b'"method"' in content) == [
            2,
            4,
            4,
        ]


def test_a_batch_that_is_refused_is_said_by_its_code_and_can_be_sent_anew(tmp_path: Path) -> None:
    data = dataset(tmp_path, numbered(2))
    with BatchServer(truthful, status="failed") as server, pytest.raises(FlamError, match="invalid_model") as error:
        ask(data, server.base_url)
    assert "secret" not in str(error.value)
    with BatchServer(truthful) as server:
        assert ask(data, server.base_url).num_done == 2


@pytest.mark.parametrize("status", [404, 405, 501])
@pytest.mark.parametrize("missing", ["GET", "/files", "/batches"])
def test_a_server_without_a_batch_api_is_said_and_leaves_nothing_in_the_way(
    tmp_path: Path, status: int, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = dataset(tmp_path, numbered(2))
    with BatchServer(truthful) as server:
        monkeypatch.setattr(
            server, "status_of", lambda method, path: status if missing in (method, path.removeprefix("/v1")) else 200
        )
        with pytest.raises(FlamError, match=f"has no Batch API .HTTP {status}.; leave out --batch"):
            ask(data, server.base_url, max_retries=0)
        assert not server.batches
    assert not (data / "captions" / "set" / ".batch").exists()
    with OddServer(truthful) as plain:
        report = caption(data, via="openai", name="set", model="m", base_url=plain.base_url)
    assert (report.num_done, report.fallbacks.total()) == (2, 0)


def test_what_another_server_had_under_way_stays_where_this_one_has_no_batch_api(tmp_path: Path) -> None:
    data = dataset(tmp_path, numbered(1))
    folder = data / "captions" / "set" / ".batch"
    with BatchServer(truthful, status="expired") as server:
        server.answer = lambda _: None
        for name in ("00-000", "00-001"):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{name}.json").write_text(
                json.dumps({"key": name, **({"batch": "b"} if name[-1] == "0" else {})})
            )
            (folder / f"{name}.jsonl").write_text("")
        server.status_of = lambda method, path: 404
        with pytest.raises(FlamError, match="has no Batch API"):
            ask(data, server.base_url)
    assert sorted(path.name for path in folder.glob("*.json")) == ["00-000.json", "00-001.json"]


def test_a_budget_keeps_a_round_small_and_the_next_goes_on_with_what_is_left(tmp_path: Path) -> None:
    data = dataset(tmp_path, numbered(30))

    def answer(body: dict[str, Any]) -> tuple[int, bytes]:
        usage = {"prompt_tokens": 500, "completion_tokens": 30, "total_tokens": 530}
        return 200, completion(json.dumps({"caption": true_caption(timelines(body)[0])}), usage=usage)

    with BatchServer(answer) as server:
        with pytest.raises(FlamError, match="limit on spending"):
            ask(data, server.base_url, spending=Spending(most_tokens=8000))
        assert len(server.batches) > 1
        assert 530 * len(server.asked) <= 8000
        assert sum(row.prompt_tokens + row.completion_tokens for row in rows_of(data)) == 530 * len(server.asked)
        ask(data, server.base_url)
        assert len(server.asked) == 30


def test_answers_under_way_are_not_taken_for_another_model_s(tmp_path: Path) -> None:
    data = dataset(tmp_path, numbered(3))
    with BatchServer(truthful, status="in_progress") as server:
        process = subprocess.Popen([sys.executable, "-c", RUN, str(data), server.base_url])
        while not server.batches:
            time.sleep(0.005)
        process.kill()
        process.communicate()
        with pytest.raises(FlamError, match="another --name"):
            ask(data, server.base_url, model="another")


def test_a_run_of_fewer_captions_keeps_the_answers_for_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = dataset(tmp_path, numbered(4), numbered(4, first=4))
    with BatchServer(truthful) as server:
        with monkeypatch.context() as patch:
            patch.setattr(llm_batch.Batches, "_load", _interrupted)
            with pytest.raises(KeyboardInterrupt):
                ask(data, server.base_url, styles=["sentence", "terse"])
        assert ask(data, server.base_url, limit=3).num_done == 3
        assert ask(data, server.base_url).num_done == 5
        assert (data / "captions" / "set" / ".batch").exists()  # the other style's answers
        assert ask(data, server.base_url, styles=["terse"]).num_done == 8
        assert (len(server.batches), len(server.asked)) == (1, 16)
    assert not (data / "captions" / "set" / ".batch").exists()


def _interrupted(*_: Any) -> None:
    raise KeyboardInterrupt


def test_a_batch_and_several_to_a_request_do_not_go_together(tmp_path: Path) -> None:
    data = dataset(tmp_path, numbered(2))
    with pytest.raises(FlamError, match="--per-request"):
        ask(data, "http://127.0.0.1:1", per_request=2)


def test_the_round_trip_through_another_server_s_batch_api_works(tmp_path: Path, mock: Mock) -> None:
    """llmock's batches answer with a text of its own, which is no caption: two rounds, then a template."""
    mock.script()
    data = dataset(tmp_path, barking(3))
    report = ask(data, mock.base_url)
    assert report.num_done == 3
    assert [row.fallback for row in rows_of(data)] == [True] * 3
    assert all(row.prompt_tokens > 0 for row in rows_of(data))
    assert mock.faults_of_client() == []


def test_event_phrases_come_in_batches_too(tmp_path: Path) -> None:
    data = dataset(tmp_path, [soundscape("a", [event("dog bark", (1, 2)), event("siren", (3, 5))])])
    with BatchServer(truthful) as server:
        ask(data, server.base_url, styles=("event",))
    assert [(row.cluster, row.text) for row in rows_of(data)] == [("dog bark", "a dog bark"), ("siren", "a siren")]
