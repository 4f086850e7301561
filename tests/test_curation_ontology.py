import json
from pathlib import Path
from typing import Any

import pytest

from curation.ontology import Node, Ontology, load_ontology
from manifests.errors import FlamError

SMALL = Path(__file__).with_name("small_ontology.json")


@pytest.fixture(scope="module")
def ontology() -> Ontology:
    return load_ontology(SMALL)


@pytest.mark.parametrize(
    ("label", "node"),
    [
        ("dog", "/m/0bt9lr"),
        ("/m/0bt9lr", "/m/0bt9lr"),
        ("Child speech, kid speaking", "/t/kid"),
        ("Child_speech_and_kid_speaking", "/t/kid"),  # as FSD50K writes it
        ("kid_speaking", "/t/kid"),
        ("Bow-wow", "/t/bark"),
        ("inside", None),  # a part of two names
        ("fire truck (siren)", "/t/engine"),
        ("/m/0", None),
        ("", None),
        ("etc", None),
    ],
)
def test_a_label_is_a_sound_by_its_id_its_name_or_one_of_its_names(
    ontology: Ontology, label: str, node: str | None
) -> None:
    assert ontology.match(label) == node


def test_a_name_that_two_sounds_have_matches_neither() -> None:
    twice = Ontology([Node(id=i, name="Buzz", child_ids=()) for i in ("a", "b")])
    assert twice.match("buzz") is None
    whole_first = Ontology([Node(id="a", name="Buzz", child_ids=()), Node(id="b", name="Bee, buzz", child_ids=())])
    assert whole_first.match("buzz") == "a"


def test_names_are_alternatives_and_never_what_several_sounds_share(ontology: Ontology) -> None:
    assert ontology.names("/t/bark") == ["bark", "bow wow"]
    assert ontology.names("/t/hall") == ["large room or hall"]
    assert ontology.names("/t/engine") == ["fire engine", "fire truck siren"]


def test_a_sound_may_have_several_parents(ontology: Ontology) -> None:
    assert ontology.above("/t/howl") == {"/m/0bt9lr", "/t/pet", "/t/animal", "/t/wolf", "/t/wild"}
    assert ontology.below("/m/0bt9lr") == {"/t/bark", "/t/howl"}
    assert "pets" in ontology.all_names(ontology.above("/t/howl"))


def test_circles_and_children_that_are_not_there_are_told_and_hang_nothing() -> None:
    nodes = [("top", "ab"), ("a", "b"), ("b", "c"), ("c", "ax"), ("x", ()), ("self", ["self"]), ("y", ["gone"])]
    ontology = Ontology([Node(id=name, name=name, child_ids=tuple(children)) for name, children in nodes])
    assert ontology.circles() == ["a", "b", "c", "self"]
    assert ontology.dangling == ["gone"]
    assert ontology.above("a") == {"top", "b", "c"}
    assert load_ontology(SMALL).circles() == []


def test_a_chain_of_many_sounds_is_no_deep_recursion() -> None:
    chain = [Node(id=str(i), name=f"s{i}", child_ids=(str(i + 1),)) for i in range(5000)]
    ontology = Ontology(chain)
    assert len(ontology.below("0")) == 4999
    assert ontology.circles() == []


def test_what_is_kept_of_an_ontology_is_an_ontology(ontology: Ontology, tmp_path: Path) -> None:
    (tmp_path / "o.json").write_text(json.dumps(ontology.to_json()))
    assert load_ontology(tmp_path / "o.json").nodes == ontology.nodes


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[", "is no JSON"),
        (b"\xff\xfe[", "is no JSON"),
        pytest.param("[" * 100_000, "is no JSON", id="deep"),
        ({"id": "a"}, "not a list"),
        ([], "not a list"),
        (["a"], "sound 1 of 1: is no JSON object"),
        ([{"id": "a", "name": "b"}, {"name": "b"}], "sound 2 of 2: id is missing"),
        ([{"id": "a", "name": 7}], "name is missing or no text"),
        ([{"id": "a", "name": " "}], "name is missing or no text"),
        ([{"id": "a", "name": "\ud800"}], "name is missing or no text"),
        ([{"id": "a", "name": "b", "child_ids": "c"}], "child_ids is no list"),
        ([{"id": "a", "name": "b", "child_ids": [1]}], "child_ids is no list"),
        ([{"id": "a", "name": "b"}] * 2, "id 'a' occurs twice"),
    ],
)
def test_a_malformed_ontology_is_one_line_with_its_file(content: Any, said: str, tmp_path: Path) -> None:
    path = tmp_path / "o.json"
    path.write_bytes(
        content
        if isinstance(content, bytes)
        else (content if isinstance(content, str) else json.dumps(content)).encode()
    )
    with pytest.raises(FlamError, match=said) as error:
        load_ontology(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_an_ontology_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(FlamError, match="No such file"):
        load_ontology(tmp_path / "none.json")
