import json

import pytest
from llm_servers import GOOD

from curation.answers import caption_in, items_in, json_in

CAPTION = json.loads(GOOD)["caption"]


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
        "{'" * 50_000,
        "<think>" * 100_000 + "{",
        '{"caption": "' + "\\" * 100_001,
    ],
)
def test_a_broken_answer_holds_no_caption(raw: str) -> None:
    assert caption_in(raw) == ""


def test_an_object_is_found_whatever_stands_around_it() -> None:
    for raw in ('{"a": [1]}', '```json\n{"a": [1],}\n```', "Sure: {'a': [1]}", '<think>{"b"}</think> {"a": [1]}'):
        assert json_in(raw) == {"a": [1]}
    for raw in ("", "[1]", '{"a": [1', "{" * 100_000):
        assert json_in(raw) is None


def test_items_are_found_by_id_and_those_that_came_twice_are_none() -> None:
    raw = (
        '{"captions": [{"id": 2, "caption": "b"}, {"id": "1", "caption": "a"}, {"id": 2, "caption": "c"}, {"id": 3, "ca'
    )
    assert items_in(raw, "caption") == ({"1": "a"}, {"2"})
    assert items_in("[{'id': 1, 'caption': 'It\\'s', }]", "caption") == ({"1": "It's"}, set())
    assert items_in('[{"id": 1, "caption": 3}, {"caption": "a"}, {"id": 1}]', "caption") == ({}, set())
