import logging
from pathlib import Path

import pytest
from soundscape_rows import dataset, event, soundscape

from curation.phrases import phrases_by_cluster, phrases_of, write_phrases
from manifests.store import DatasetFolder


def test_a_dataset_gets_phrases_for_its_events_and_backgrounds(tmp_path: Path) -> None:
    first = [soundscape("a", [event("dog_bark", (1, 2), cluster="dog")], "rain")]
    data = dataset(tmp_path, first, [soundscape("b", [event("Car_horn", (1, 2))]), soundscape("c", [], "unlabelled")])
    phrases = write_phrases(data)
    assert DatasetFolder(data).phrases() == phrases
    by_cluster = phrases_by_cluster(phrases)
    assert list(by_cluster) == ["Car_horn", "dog", "rain"]
    assert by_cluster["dog"][0] == "dog bark"
    assert {"a dog barking", "a dog barks", "a dog is barking", "the sound of a dog bark"} <= set(by_cluster["dog"])
    assert {phrase.origin for phrase in phrases if phrase.phrase == "dog bark"} == {"label"}
    assert all(4 <= len(texts) <= 10 for texts in by_cluster.values())


def test_no_phrase_is_right_for_two_clusters() -> None:
    phrases = phrases_of(
        [
            ("dog", "dog"),
            ("dog_bark", "bark"),
            ("Subway_and_metro_and_tube", "subway"),
            ("metro", "m"),
        ]
    )
    clusters: dict[str, set[str]] = {}
    for phrase in phrases:
        clusters.setdefault(phrase.phrase.casefold(), set()).add(phrase.cluster)
    assert all(len(found) == 1 for found in clusters.values())
    assert "a dog barks" not in clusters
    assert clusters["metro"] == {"m"}


def test_synonyms_in_one_cluster_may_share_a_phrase() -> None:
    phrases = phrases_of([("dog", "dog"), ("dog_bark", "dog")])
    assert [phrase.label for phrase in phrases if phrase.phrase == "a dog barks"] == [
        "dog",
        "dog_bark",
    ]
    assert phrases_by_cluster(phrases)["dog"].count("a dog barks") == 1


def test_a_label_without_a_phrase_of_its_own_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        phrases = write_phrases(
            dataset(tmp_path, [soundscape("a", [event("Dog", cluster="A"), event("dog", cluster="B")])])
        )
    assert {phrase.cluster for phrase in phrases} == {"A"}
    assert "'dog' of cluster 'B'" in caplog.text


def test_the_order_of_labels_does_not_matter() -> None:
    labels = [
        ("dog", "dog"),
        ("rain", "rain"),
        ("鳥", "鳥"),
        ("007", "007"),
        ("_", "_"),
        ("nan", "nan"),
    ]
    assert phrases_of(labels) == phrases_of(reversed(labels))
    assert set(phrases_by_cluster(phrases_of(labels))) == {label for label, _ in labels}
