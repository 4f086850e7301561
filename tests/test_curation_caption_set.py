"""Which set captions go to, and what keeps two models, prompts or datasets apart."""

import json
from pathlib import Path
from typing import Any

import pytest
from llm_servers import OddServer, truthful
from soundscape_rows import barking, dataset, numbered

from curation import traffic
from curation.caption import caption, estimate
from manifests.errors import FlamError


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "PAUSES", ())


def ask(data: Path, base_url: str, **more: Any) -> Any:
    return caption(data, via="openai", **{"name": "set", "model": "m", "base_url": base_url, **more})


@pytest.mark.parametrize("options", [{"name": "template", "model": "m"}, {"model": "template"}])
def test_the_templates_own_name_is_not_for_a_model(tmp_path: Path, options: dict[str, str]) -> None:
    data = dataset(tmp_path, barking(1))
    for call in (lambda: caption(data, via="openai", **options), lambda: estimate(data, **options)):  # type: ignore[arg-type]
        with pytest.raises(FlamError, match=r"'template' is the templates' own; give .* another --name"):
            call()
    assert not (data / "captions").exists()


def test_without_its_file_a_set_is_known_by_its_captions(tmp_path: Path) -> None:
    data, mine = dataset(tmp_path / "data", numbered(3)), tmp_path / "sentence.toml"
    path = data / "captions" / "set" / "captions.json"
    mine.write_text('system = "S"\nuser = "{timeline}"\nagain = "{problems}"\n')
    with OddServer(truthful) as server:
        ask(data, server.base_url, styles=("sentence", "terse"))
        said = json.loads(path.read_text())
        path.unlink()
        with pytest.raises(FlamError, match=r"of model 'm', not of model 'other'; give .* another --name"):
            ask(data, server.base_url, model="other")
        with pytest.raises(FlamError, match="style sentence was made with another prompt"):
            ask(data, server.base_url, styles=(str(mine),))
        with pytest.raises(FlamError, match="holds captions of model 'm', not of templates"):
            caption(data, name="set")
        assert not path.exists()
        assert ask(data, server.base_url).num_reused == 3
    assert json.loads(path.read_text()) == said


def test_without_its_file_a_set_is_known_by_its_journal(tmp_path: Path) -> None:
    data = dataset(tmp_path, numbered(4))

    def answer(body: dict[str, Any]) -> tuple[int, bytes]:
        return (401, b"{}") if "number n3x" in str(body) else truthful(body)

    with OddServer(answer) as server, pytest.raises(FlamError, match="401"):
        ask(data, server.base_url, concurrency=1)
    (journal,) = (data / "captions" / "set").glob(".0*.jsonl")
    journal.write_bytes(b"damaged\n[3]\n" + journal.read_bytes() + b"[{")
    (data / "captions" / "set" / "captions.json").unlink()
    with OddServer(truthful) as server:
        with pytest.raises(FlamError, match="holds captions of model 'm', not of model 'other'"):
            ask(data, server.base_url, model="other")
        assert ask(data, server.base_url).num_reused >= 2  # the third may not have been handed on


@pytest.mark.parametrize("content", [{"prompts": 3}, {"prompts": ["sentence"]}, 3, [], {"prompts": {"sentence": 3}}])
def test_a_damaged_file_of_a_set_is_one_line(tmp_path: Path, content: Any) -> None:
    data = dataset(tmp_path, barking(2))
    with OddServer(truthful) as server:
        ask(data, server.base_url)
        path = data / "captions" / "set" / "captions.json"
        path.write_text(json.dumps(content))
        with pytest.raises(FlamError, match=r"captions.*set"):
            ask(data, server.base_url)
        path.unlink()
        assert ask(data, server.base_url).num_reused == 2


def test_an_answer_may_be_as_long_as_is_said(tmp_path: Path) -> None:
    data = dataset(tmp_path, numbered(3))
    asked: list[tuple[str, int]] = []

    def answer(body: dict[str, Any]) -> tuple[int, bytes]:
        asked.append((body["response_format"]["json_schema"]["name"], body["max_completion_tokens"]))
        return truthful(body)

    with OddServer(answer) as server:
        ask(data, server.base_url, max_answer_tokens=5000)
        ask(data, server.base_url, max_answer_tokens=5000, styles=("event",))
        ask(data, server.base_url, max_answer_tokens=5000, styles=("terse",), per_request=3)
        ask(data, server.base_url, name="other")
    assert asked == [*[("caption", 5000)] * 3, *[("phrases", 5000)] * 3, ("captions", 5600), *[("caption", 1000)] * 3]
