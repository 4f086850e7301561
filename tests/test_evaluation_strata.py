"""Strata against a loop over windows, and a model that hears loud sounds only."""

import dataclasses
import json

import pytest
from soundscape_rows import event, soundscape
from test_evaluation_evaluate import Oracle, small_dataset

from evaluation.evaluate import evaluate
from evaluation.scored import split_soundscapes


def test_a_model_that_hears_loud_sounds_only_is_at_chance_with_soft_ones(tmp_path):
    class Hard(Oracle):
        """Deaf below 10 dB."""

        def answer(self, row, phrase, num_frames):
            loud = dataclasses.replace(row, events=[found for found in row.events if found.snr_db >= 10])
            return super().answer(loud, phrase, num_frames)

    def sound(label, span, snr):
        return dataclasses.replace(event(label, span), snr_db=snr)

    rows = [
        soundscape("a", [sound("dog", (1.0, 2.0), 12.0), sound("cat", (1.0, 4.0), 3.0)]),
        soundscape("b", [sound("dog", (5.0, 5.4), 4.9), sound("cat", (6.0, 9.0), 30.0)]),
    ]
    data = small_dataset(tmp_path, rows)
    found = evaluate(Hard(data), data, num_replicates=0).strata
    assert {part.name: part.auroc for part in found["snr_db"]} == {
        "< 0": None, "0 to 5": 0.5, "5 to 10": None, "10 to 15": 1.0, "15 to 20": None, "≥ 20": 1.0,
    }  # fmt: skip
    assert [part.num_labels for part in found["snr_db"]] == [0, 2, 0, 1, 0, 1]
    assert {part.name: part.auroc for part in found["seconds"]}["0 to 0.5"] == 0.5
    # alone: cat in "a" from 2 to 4 s (deaf), dog and cat in "b" (one heard); together: dog (heard), cat (deaf)
    alone, beside = found["others"][:2]
    assert (beside.name, beside.auroc) == ("1", pytest.approx((1.0 + 0.5) / 2))
    assert alone.num_windows == 50 + 10 + 75


def test_strata_of_all_windows_together_are_the_positives_of_the_metric(toy_dataset):
    result = evaluate(Oracle(toy_dataset), toy_dataset, num_replicates=0)
    rows = split_soundscapes(toy_dataset, "test")
    scored = result.scored
    num_active = sum(scored.truth.active(label, scored.scores).sum() for label in range(4))
    for parts in result.strata.values():
        assert sum(part.num_windows for part in parts) == num_active
        assert all(part.auroc in (None, 1.0) for part in parts)
    assert len(rows) == 8
    json.dumps(result.to_dict(), allow_nan=False)


def test_events_of_which_nothing_is_known_are_in_no_stratum(tmp_path):
    rows = [soundscape("a", [dataclasses.replace(event("dog", (1.0, 2.0)), snr_db=None)])]
    data = small_dataset(tmp_path, rows)
    found = evaluate(Oracle(data), data, num_replicates=0).strata
    assert all(part.auroc is None for part in found["snr_db"])
    assert sum(part.num_windows for part in found["seconds"]) == 25
