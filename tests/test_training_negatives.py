from collections.abc import Sequence

import numpy as np
import pytest
from test_training_data import KINDS

from manifests.schema import Phrase
from training.negatives import Column, Negatives, asked, phrase_weights
from training.phrase_book import PhraseBook
from training.sound_kinds import SoundKinds


def phrase(text: str, cluster: str, *ancestors: str) -> Phrase:
    return Phrase(
        phrase=text, label=cluster, cluster=cluster, origin="label", ancestors=list(ancestors), near_misses=[]
    )


TABLE = [phrase(f"{name} {number}", name) for name in "abcdefgh" for number in range(3)]
BOOK = PhraseBook([TABLE], set("abcdefgh"), KINDS)


def columns(*kinds: str) -> list[Column]:
    return [Column(phrase=str(place), cluster=str(place), kind=kind) for place, kind in enumerate(kinds)]


def test_all_other_phrases_weigh_together_as_much_as_finelaps_drawn_ones() -> None:
    """In expectation: N - P others are drawn for each clip, each with the same chance."""
    sounds = np.zeros((2, 12), bool)
    sounds[0, [1, 4]] = sounds[1, 7] = True
    found = phrase_weights(
        sounds, ~sounds, columns(*["sounds"] * 12), Negatives(shares={"cluster": 1.0}, per_clip=5, num_phrases=12)
    )
    rng = np.random.default_rng(0)
    counts = np.zeros((2, 12))
    for _ in range(4000):
        for clip, sounding in enumerate([[1, 4], [7]]):
            others = [place for place in range(12) if place not in sounding]
            counts[clip, rng.permutation(others)[: 5 - len(sounding)]] += 1 / 4000
            counts[clip, sounding] += 1 / 4000
    np.testing.assert_allclose(found, counts, atol=0.03)
    np.testing.assert_allclose(found.sum(1), 5.0, rtol=1e-6)


def test_what_is_unknown_leaves_its_weight_to_others() -> None:
    sounds = np.array([[True, False, False, False]])
    absent = np.array([[False, True, True, False]])
    found = phrase_weights(
        sounds, absent, columns(*["sounds"] * 4), Negatives(shares={"cluster": 1.0}, per_clip=2, num_phrases=4)
    )
    np.testing.assert_allclose(found, [[1.0, 0.5, 0.5, 0.0]])


def test_no_negative_weighs_more_than_a_positive() -> None:
    sounds = np.array([[True, False, False]])
    found = phrase_weights(
        sounds,
        ~sounds,
        columns(*["sounds"] * 3),
        Negatives(shares={"cluster": 1.0}, per_clip=20, num_phrases=3),
    )
    np.testing.assert_allclose(found, [[1.0, 1.0, 1.0]])


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ({"cluster": 1.0}, [1.0, 1.0, 1.0, 1.0, 0.0]),
        ({"in-batch": 1.0}, [1.0, 1.0, 1.0, 0.0, 0.0]),
        ({"random": 1.0}, [1.0, 0.0, 0.0, 0.0, 1.0]),
        ({"in-batch": 3.0, "random": 1.0}, [1.0, 0.75, 0.75, 0.0, 0.25]),
    ],
)
def test_each_kind_of_negatives_counts_by_its_share(shares, expected) -> None:
    sounds = np.array([[True, False, False, False, False]])
    kinds = columns("sounds", "sounds", "sounds", "drawn", "random")
    found = phrase_weights(sounds, ~sounds, kinds, Negatives(shares=shares, per_clip=None, num_phrases=5))
    np.testing.assert_allclose(found, [expected])


def test_what_is_asked_follows_the_kinds_and_names_no_text_twice() -> None:
    rng = np.random.default_rng(0)
    found = asked(["a", "b"], BOOK, Negatives(shares={"cluster": 1.0, "random": 1.0}, per_clip=20, num_phrases=8), rng)
    assert [column.kind for column in found] == ["sounds"] * 2 + ["drawn"] * 3 + ["random"] * 3
    assert [column.cluster for column in found[:2]] == ["a", "b"]
    assert len({column.phrase for column in found}) == 8
    assert not {column.cluster for column in found[2:5]} & {"a", "b"}
    in_batch = asked(["a", "b"], BOOK, Negatives(shares={"in-batch": 1.0}, per_clip=None, num_phrases=8), rng)
    assert [column.cluster for column in in_batch] == ["a", "b"]
    everything = asked(["a"], BOOK, Negatives(shares={"cluster": 1.0}, per_clip=20, num_phrases=100), rng)
    assert {column.cluster for column in everything} == set("abcdefgh")


@pytest.mark.parametrize(("asked", "unasked"), [(("a",), ("x", "a")), (("a", "x"), ("x",))])
def test_a_relation_of_a_sound_that_is_never_asked_counts_too(asked: Sequence[str], unasked: Sequence[str]) -> None:
    """Ancestor or descendant: of a background `water`, which is no event, a stream tells as little as the reverse."""
    book = PhraseBook([[phrase("x", *unasked), phrase("a", *asked), phrase("b", "b")]], {"a", "b"}, KINDS)
    assert book.related({"x"}).tolist() == [True, False]
    assert book.related({"a", "b"}).tolist() == [False, False]


def test_a_dataset_tells_that_a_kind_is_absent_if_it_has_labels_for_all_that_is_asked_of_it() -> None:
    kinds = SoundKinds({"bell": frozenset({"chime", "gong"}), "pet": frozenset({"dog"}), "never": frozenset({"zap"})})
    wide = [phrase(name, name) for name in ("chime", "gong", "dog")]
    book = PhraseBook([wide, wide[1:]], {"chime", "gong", "dog"}, kinds)
    assert kinds.names == ["bell", "never", "pet"]
    assert book.annotated_kinds.tolist() == [[True, False, True], [False, False, True]]


def test_a_sound_tells_nothing_of_the_kinds_of_its_ancestors_and_descendants() -> None:
    kinds = SoundKinds({"animal": frozenset({"beast"}), "pet": frozenset({"dog"}), "rattle": frozenset({"keys"})})
    book = PhraseBook([[phrase("dog", "dog", "beast"), phrase("beast", "beast")]], {"dog"}, kinds)
    assert kinds.names == ["animal", "pet", "rattle"]
    assert book.kinds_near("dog").tolist() == book.kinds_near("beast").tolist() == [True, True, False]
    assert book.kinds_of("dog").tolist() == [False, True, False]
