"""The table of sound words: what it says of words it has, and of words it has not."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from training import sound_kinds
from training.sound_kinds import SoundKinds, load_kinds

SMALL = SoundKinds({
    "animal": frozenset({"animal", "mouse", "dog"}),
    "click": frozenset({"click", "mouse click", "camera shutter"}),
    "sudden": frozenset({"sudden", "mouse click", "bark"}),
})  # fmt: skip


def shares(text: str, kinds: SoundKinds = SMALL) -> dict[str, float]:
    return {name: float(share) for name, share in zip(kinds.names, kinds.shares(text), strict=True) if share}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a dog", {"animal": 1.0}),
        ("Dogs!", {"animal": 1.0}),
        ("the dog barks", {"animal": 0.5, "sudden": 0.5}),
        ("barking", {"sudden": 1.0}),
        ("a mouse", {"animal": 1.0}),
        ("a mouse clicks", {"click": 0.5, "sudden": 0.5}),  # no animal
        ("mouse clicking beside a dog", {"click": 0.25, "sudden": 0.25, "animal": 0.5}),
        ("camera", {}),
        ("shutter of a camera", {}),
        ("underdog", {}),
        ("", {}),
        ("\u9ce5 007", {}),
    ],
)
def test_a_text_names_the_kinds_of_its_longest_known_words(text: str, expected: dict[str, float]) -> None:
    assert shares(text) == pytest.approx(expected)


def test_the_shares_of_any_text_are_one_or_none() -> None:
    kinds = load_kinds("1")
    for text in ("a dog barks while rain falls on a tin roof", "someone types", "brushing teeth", "qwertz"):
        row = kinds.shares(text)
        assert row.sum() == pytest.approx(1.0) or not row.any()
        assert (row >= 0).all()
    np.testing.assert_array_equal(kinds.shares("qwertz"), np.zeros(len(kinds.names)))


def test_a_kind_brings_its_members_along() -> None:
    crow = shares("a crow", load_kinds("1"))
    assert {"animal", "bird", "squawking"} <= crow.keys()  # animal by way of bird
    assert "clicking" not in crow
    assert shares("bird", load_kinds("1")).keys() == {"animal", "bird"}


def test_the_table_that_saved_models_name_never_changes() -> None:
    table = Path(sound_kinds.__file__).parent / "kinds" / "1.toml"
    digest = "2ec2d377a9994576bf187d41cde444d0d31f382c37de8fa747ba274f51a2d6b5"
    assert hashlib.sha256(table.read_bytes()).hexdigest() == digest  # models know it: put changes into 2.toml
