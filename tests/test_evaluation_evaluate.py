"""Evaluation of stand-in detectors whose metrics are known."""

import dataclasses
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import TOY_SOUNDS
from rich.console import Console
from soundscape_rows import event, soundscape

from evaluation.evaluate import evaluate
from evaluation.queries import Trained, label_words, split_queries
from evaluation.results import TITLES, evaluation_table
from evaluation.scored import Detector, collect_scores, split_soundscapes
from evaluation.segments import best_threshold
from manifests import audio
from manifests.errors import FlamError
from manifests.frames import frame_labels
from manifests.schema import Caption, Phrase, Soundscape, Stretch
from manifests.store import DatasetFolder, write_rows

WORDS = [label_words(label) for label in TOY_SOUNDS]


class Oracle:
    """Knows the dataset and answers from it: 0.9 where a label sounds, 0.1 elsewhere."""

    hop = 0.04

    def __init__(self, folder: DatasetFolder, *, extra_frames: int = 0) -> None:
        self.rows = {row.audio_path: row for row in folder.soundscapes()}
        self.root, self.extra_frames, self.asked = folder.root, extra_frames, set()

    @property
    def identity(self):
        return type(self).__name__

    def hear(self, path, phrases):
        row = self.rows[path.relative_to(self.root).as_posix()]
        self.asked.update(phrases)
        num_frames = round(row.duration / self.hop) + self.extra_frames
        words = self.embed([label_words(found.label) for found in row.events])
        return np.stack([self.answer(row, phrase, num_frames) for phrase in phrases], axis=1), words

    def answer(self, row, phrase, num_frames):
        result = np.full(num_frames, 0.1, np.float32)
        for found in row.events:
            if label_words(found.label) == phrase:
                result[frame_labels(found.activity, num_frames=num_frames, hop=self.hop)] = 0.9
        return result

    def caption_embeddings(self, captions):
        return np.stack([self.embed(re.split(" then ", text.rstrip(".").lower())) for text in captions])

    def embed(self, words):
        vector = np.full(8, 0.01)
        for position, word in enumerate(words):
            vector[WORDS.index(word) if word in WORDS else 7] += 1 / (1 + position)
        return vector / np.linalg.norm(vector)


class AnythingDetector(Oracle):
    """Hears that something sounds, and not what."""

    def answer(self, row, phrase, num_frames):
        heard = [super(AnythingDetector, self).answer(row, label_words(e.label), num_frames) for e in row.events]
        return np.max(heard, axis=0)


def small_dataset(root: Path, rows: list[Soundscape], phrases: list[Phrase] | None = None) -> DatasetFolder:
    folder = DatasetFolder(root)
    rows = [dataclasses.replace(row, split="test") for row in rows]
    write_rows(folder.soundscape_shard(0), rows, Soundscape)
    for row in rows:
        (root / row.audio_path).parent.mkdir(exist_ok=True)
        audio.write(root / row.audio_path, np.ones(1600, np.int16), 16_000)
    if phrases is not None:
        write_rows(folder.phrases_path, phrases, Phrase)
    return folder


def test_an_oracle_gets_everything_right(toy_dataset):
    assert isinstance(Oracle(toy_dataset), Detector)
    result = evaluate(Oracle(toy_dataset), toy_dataset, trained=Trained(threshold=0.3), caption_set="template")
    found = result.to_dict()
    assert (found["num_soundscapes"], found["num_labels"]) == (8, 4)
    assert found["threshold"] == 0.3
    wrong = {"ece": 0.1, "brier": 0.01, "brier_of_prior": pytest.approx(0.15, abs=0.1), "false_alarms_per_hour": 0.0}
    wrong["grounding_th_auc"] = pytest.approx(40 / 49)  # its scores are 0.1 and 0.9: right from .11 to .89
    for name in [name for name in TITLES if name in found]:
        assert found[name] == pytest.approx(wrong.get(name, 1.0)), name
        if name != "brier_of_prior":
            assert found["intervals"][name] == pytest.approx([found[name]] * 2), name
    assert len(found["intervals"]) == 35


def test_hearing_that_something_sounds_is_chance_over_active_frames(toy_dataset):
    result = evaluate(AnythingDetector(toy_dataset), toy_dataset)
    assert result.value("auroc_all") > 0.65
    assert result.value("auroc_active") == pytest.approx(0.5)
    assert result.value("segment_f1_macro") is None
    assert result.value("text_to_audio_recall_at_1") is None


def test_metrics_are_json_and_a_table(toy_dataset):
    result = evaluate(
        Oracle(toy_dataset),
        toy_dataset,
        caption_set="template",
        trained=Trained(clusters=["low_tone", "high_tone", "warble"]),
    )
    found = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert {row["label"]: row["held_out"] for row in found["labels"]}["hiss"] is True
    assert [found[f"auroc_{of}_{group}"] for of in ("all", "active") for group in ("known", "held_out")] == [1.0] * 4
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(evaluation_table(result))
    text = console.export_text()
    for word in ("PSDS1_A", "frames with sound", "held-out labels", "recall at 10", "1-s F1 at 0.5"):
        assert word in text


def test_each_cluster_is_asked_by_its_first_phrase_of_origin_label(tmp_path):
    rows = [soundscape("a", [event("Dog_bark", (1.0, 2.0), cluster="dog"), event("Car__horn", (3.0, 4.0))])]
    phrases = [
        Phrase(phrase=text, label="Dog_bark", cluster="dog", origin=origin, ancestors=[], near_misses=[])
        for text, origin in [("woof", "model"), ("dog barking", "label"), ("dog bark", "label")]
    ]
    queries = split_queries(rows, phrases)
    assert [(query.cluster, query.phrase) for query in queries] == [("Car__horn", "car horn"), ("dog", "dog barking")]


def test_labels_are_asked_by_unseen_wordings_and_near_misses_too(tmp_path):
    """A detector that knows every wording of "dog" but one, and takes a wolf for it."""

    class Deaf(Oracle):
        def answer(self, row, phrase, num_frames):
            sounding = super().answer(row, "dog", num_frames)
            return {"Woof.": np.full_like(sounding, 0.1), "cat": super().answer(row, "cat", num_frames)}.get(
                phrase, sounding
            )

    rows = [soundscape("a", [event("dog", (1.0, 2.0))]), soundscape("b", [event("cat", (1.0, 2.0))])]
    texts = {"label": ["dog"], "template": ["a dog barks"], "model": ["Woof.", "barking", "yelping"]}
    dogs = [
        Phrase(phrase=text, label="dog", cluster="dog", origin=origin, ancestors=[], near_misses=["wolf", "fox"])
        for origin, found in texts.items()
        for text in found
    ]
    folder = small_dataset(tmp_path, rows, dogs)
    trained = Trained(clusters=["dog"], phrases=["dog", "a  Dog barks", "yelping"])
    queries = split_queries(rows, dogs, trained)
    assert [(query.kind, query.phrase) for query in queries] == [
        ("label", "cat"), ("label", "dog"), ("wording", "Woof."), ("wording", "barking"), ("near miss", "wolf"),
        ("near miss", "fox"),
    ]  # fmt: skip
    assert len({query.name for query in queries}) == 6
    found = evaluate(Deaf(folder), folder, trained=trained)
    assert found.value("auroc_active") == 1.0
    assert found.value("auroc_active_unseen_wordings") == pytest.approx((0.5 + 1.0) / 2)
    # a soundscape of 10 s with a dog, each near miss once: 360 an hour; without a dog none is counted
    assert found.value("false_alarms_per_hour_near_misses") == pytest.approx(360.0)
    assert found.value("false_alarms_per_hour") == 0.0


def scored(folder):
    rows = split_soundscapes(folder, "test")
    return collect_scores(Oracle(folder), folder, rows)


def test_what_the_background_or_an_events_recording_holds_is_unknown(tmp_path):
    holds = dataclasses.replace(event("dog", (1.0, 2.0)), contains=["cat"])
    rows = [
        soundscape("a", [holds], background="rain"),
        soundscape("b", [event("cat", (1.0, 2.0)), event("rain", (4.0, 5.0))]),
        dataclasses.replace(soundscape("c", [event("dog", (1.0, 2.0))]), annotation="open"),
    ]
    result = scored(small_dataset(tmp_path, rows))
    assert [query.cluster for query in result.queries] == ["cat", "dog", "rain"]
    np.testing.assert_array_equal(result.truth.known, [[False, True, False], [True, True, True], [False, False, False]])


def test_what_is_more_general_or_more_special_than_a_sound_that_is_there_is_unknown(tmp_path):
    rows = [soundscape("a", [event("dog", (1.0, 2.0))]), soundscape("b", [event("animal", (1.0, 2.0))])]
    rows.append(soundscape("c", [event("car", (1.0, 2.0))]))
    phrases = [Phrase(phrase="dog", label="dog", cluster="dog", origin="label", ancestors=["animal"], near_misses=[])]
    result = scored(small_dataset(tmp_path, rows, phrases))
    assert [query.cluster for query in result.queries] == ["animal", "car", "dog"]
    np.testing.assert_array_equal(result.truth.known, [[False, True, True], [True, True, False], [True, True, True]])


def test_unknown_labels_are_no_false_alarms_in_psds(tmp_path):
    class Alarm(Oracle):
        def answer(self, row, phrase, num_frames):
            sounding = super().answer(row, phrase, num_frames)
            return np.maximum(sounding, 0.95) if row.soundscape_id == "a" and phrase == "dog" else sounding

    rows = [soundscape("a", [event("cat", (1.0, 2.0))], background="dog"), soundscape("b", [event("dog", (1.0, 2.0))])]
    folder = small_dataset(tmp_path, rows)
    assert evaluate(Alarm(folder), folder).value("psds1_a") == 1.0
    masked = evaluate(Alarm(folder), folder).value("auroc_all")
    silent = [dataclasses.replace(row, background=None, split="test") for row in rows]
    write_rows(folder.soundscape_shard(0), silent, Soundscape)
    assert masked == 1.0 > evaluate(Alarm(folder), folder).value("auroc_all")


def test_truth_is_the_union_of_the_activity_of_a_clusters_events(tmp_path):
    active = [Stretch(onset=1.0, offset=2.0), Stretch(onset=4.0, offset=5.0)]
    quiet = dataclasses.replace(event("dog", (1.0, 5.0)), activity=active)
    rows = [soundscape("a", [quiet, event("Dog", (1.5, 3.0), cluster="dog")])]
    result = scored(small_dataset(tmp_path, rows))
    assert result.truth.by_clip == [{0: [(1.0, 3.0), (4.0, 5.0)]}]
    assert result.truth.active(0, result.scores).sum() == 75


def test_the_threshold_search_works_on_a_scored_split(toy_dataset):
    rows = split_soundscapes(toy_dataset, "valid")
    result = collect_scores(Oracle(toy_dataset), toy_dataset, rows)
    assert 0.1 < best_threshold(result.scores, result.truth) < 0.9


def test_activations_may_miss_the_end_by_two_frames_and_no_more(toy_dataset):
    for extra in (-2, 1, 30):
        assert evaluate(Oracle(toy_dataset, extra_frames=extra), toy_dataset).value("auroc_all") > 0.95
    with pytest.raises(FlamError, match=r"lasts 4 s, its audio only 3.2 s; run `flam-cli validate"):
        evaluate(Oracle(toy_dataset, extra_frames=-20), toy_dataset)


def test_nan_from_the_model_is_refused(toy_dataset):
    class Broken(Oracle):
        def answer(self, row, phrase, num_frames):
            return np.full(num_frames, np.nan, np.float32)

    with pytest.raises(FlamError, match=r"scores of 0000.* hold NaN"):
        evaluate(Broken(toy_dataset), toy_dataset)


def test_a_split_or_captions_that_are_not_there_are_refused_with_those_that_are(toy_dataset, tmp_path):
    with pytest.raises(FlamError, match="no soundscape in split 'dev'; it has test, train, valid"):
        evaluate(Oracle(toy_dataset), toy_dataset, split="dev")
    with pytest.raises(FlamError, match=r"no captions 'short' \(there: template\)"):
        evaluate(Oracle(toy_dataset), toy_dataset, caption_set="short")
    empty = small_dataset(tmp_path, [soundscape("a", [])])
    with pytest.raises(FlamError, match="hold no event to look for"):
        evaluate(Oracle(empty), empty)
    other = [Caption(soundscape_id="z", style="s", cluster="",
                     text="x", via="template", model="", prompt_hash="", checks=[],
                     prompt_tokens=0, completion_tokens=0, fallback=False)]  # fmt: skip
    write_rows(tmp_path / "captions/short/00000.parquet", other, Caption)
    with pytest.raises(FlamError, match="hold none for this split"):
        evaluate(Oracle(empty), empty, caption_set="short")


def test_only_the_first_soundscapes_if_asked(toy_dataset):
    assert evaluate(Oracle(toy_dataset), toy_dataset, limit=3).num_soundscapes == 3


def test_nothing_annotated_gives_none_and_not_nan(tmp_path):
    rows = [dataclasses.replace(soundscape("a", [event("dog", (1.0, 2.0))]), annotation="open")]
    folder = small_dataset(tmp_path, rows)
    found = evaluate(Oracle(folder), folder).to_dict()
    assert [found[name] for name in ("auroc_all", "auroc_active", "psds1", "psds1_a")] == [None] * 4
    json.dumps(found, allow_nan=False)
