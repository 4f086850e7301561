"""Which clips a soundscape may have, and how often each is drawn."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from small_bank import Sound, noise, tone, write_bank

from curation.bank import Bank
from curation.catalogue import Catalogue
from curation.config import Recipe, Together
from manifests.errors import FlamError

NUM = 4000


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    """Labels a, b and c with 6, 3 and 1 sources."""
    sounds = [Sound(samples=noise(3, 1), role="background", label="wind")]
    for label, count in (("a", 6), ("b", 3), ("c", 1)):
        sounds += [Sound(samples=tone(0.1, 300 + 7 * k), label=label) for k in range(count)]
    return write_bank(tmp_path_factory.mktemp("catalogue") / "bank", sounds)


def drawn(bank: Bank, count: int, **settings: object) -> list[list[str]]:
    recipe = Recipe(name="test", **settings)
    pool = Catalogue(bank.clips, sample_rate=bank.sample_rate, recipe=recipe).pool("train")
    rng = np.random.default_rng(0)
    found = [pool.draw_foregrounds(rng, background=0, count=count) for _ in range(NUM)]
    assert all(len(set(clips)) == len(clips) for clips in found)
    return [[bank.clips[clip].label for clip in clips] for clips in found]


def shares(labels: list[list[str]]) -> dict[str, float]:
    counts = Counter(label for some in labels for label in some)
    return {label: counts[label] / counts.total() for label in "abc"}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (0.6, 0.3, 0.1)),
        ({"balance": "labels"}, (1 / 3, 1 / 3, 1 / 3)),
        ({"balance": "frequency", "frequency": {"a": 0.0, "b": 3.0}}, (0.0, 0.75, 0.25)),
    ],
)
def test_one_source_is_drawn_by_the_balance(bank: Bank, settings: dict, expected: tuple[float, ...]) -> None:
    found = shares(drawn(bank, 1, **settings))
    assert list(found.values()) == pytest.approx(expected, abs=4 * (0.25 / NUM) ** 0.5)


def test_no_source_is_drawn_twice_and_all_are_there_if_so_many_are_asked_for(bank: Bank) -> None:
    assert Counter(drawn(bank, 50)[0]) == {"a": 6, "b": 3, "c": 1}
    assert len(drawn(bank, 50, balance="frequency", frequency={"a": 0.0})[0]) == 4


def test_labels_that_go_together_are_drawn_together_as_often_as_said(bank: Bank) -> None:
    """Of two labels, by hand: with weight w, b comes after a with probability w * b / (a + w * b + c)."""
    alone = drawn(bank, 2, balance="labels")
    pair = drawn(bank, 2, balance="labels", together=[Together(labels=("a", "b"), weight=8.0)])

    def after_a(found: list[list[str]]) -> float:
        second = [labels[1] for labels in found if labels[0] == "a"]
        return second.count("b") / len(second)

    assert after_a(alone) == pytest.approx(1 / 3, abs=0.05)
    assert after_a(pair) == pytest.approx(0.8, abs=0.05)


def test_labels_that_must_not_meet_never_do(bank: Bank) -> None:
    never = [Together(labels=("a", "b"), weight=0.0), Together(labels=("b", "b"), weight=0.0)]
    for labels in drawn(bank, 5, balance="labels", together=never):
        assert not {"a", "b"} <= set(labels)
        assert labels.count("b") <= 1


@pytest.mark.parametrize(
    "settings",
    [
        {"balance": "frequency", "frequency": {"aa": 1.0}},
        {"together": [Together(labels=("a", "aa"), weight=1.0)]},
    ],
)
def test_a_label_that_the_bank_does_not_have_is_named_with_the_nearest(bank: Bank, settings: dict) -> None:
    with pytest.raises(FlamError, match="names 'aa', which is no label of the bank; the nearest is 'a'"):
        Catalogue(bank.clips, sample_rate=bank.sample_rate, recipe=Recipe(name="test", **settings))


def test_what_can_be_heard_in_the_background_is_never_drawn(tmp_path: Path) -> None:
    sounds = [Sound(samples=noise(3, 1), role="background", label="wind", contains=["b"])]
    sounds += [Sound(samples=tone(0.1, 300 + 7 * k), label=label) for k, label in enumerate("aabbbb")]
    sounds.append(Sound(samples=tone(0.1, 400), label="d", contains=["wind"]))
    bank = write_bank(tmp_path / "bank", sounds)
    assert {label for labels in drawn(bank, 3) for label in labels} == {"a"}


def test_rooms_that_the_bank_does_not_have_are_asked_for(bank: Bank) -> None:
    catalogue = Catalogue(bank.clips, sample_rate=bank.sample_rate, recipe=Recipe(name="test"))
    with pytest.raises(
        FlamError, match=r"takes rooms from the bank, which has none for train: .*impulse_response/ROOM/"
    ):
        catalogue.rooms("train")
