"""PSDS against the reference vectors, a case worked by hand, and the traps of the scorer."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests.errors import FlamError
from training.psds import psds, score_files, score_table, truth_events

VECTORS = Path(__file__).parents[2] / "shared/reference/metrics"
needs_vectors = pytest.mark.skipif(not VECTORS.is_dir(), reason=f"no reference vectors at {VECTORS}")


def vector_cases():
    edge = VECTORS / "D_edge"
    if not edge.is_dir():
        return []
    cases = {name.split("(")[0]: values for name, values in json.loads((edge / "expected.json").read_text()).items()}
    return [pytest.param(edge / name, values, id=name) for name, values in cases.items()]


def check_vector(folder, expected):
    values, refused = score_files(folder / "scores", folder / "ground_truth.tsv", folder / "durations.tsv")
    names = {"collar_f1@0.5": "collar_f1", "segment_f1_1s@0.5": "segment_f1"}
    for key, wanted in expected.items():
        name = names.get(key, key)
        if name in ("PSDS1", "PSDS2", "PSDS1A"):
            wanted = {name: wanted} if not isinstance(wanted, str) else wanted
        elif name in names.values() and not isinstance(wanted, str):
            wanted = {f"{name}_{kind}": wanted[f"{kind}_average"] for kind in ("macro", "micro")}
        else:
            if name not in names.values():
                continue
        if isinstance(wanted, str):
            assert "refuses" in refused[name]
        else:
            assert {part: values[part] for part in wanted} == pytest.approx(wanted, abs=1e-6)


@needs_vectors
@pytest.mark.parametrize(("folder", "expected"), vector_cases())
def test_edge_cases_equal_the_reference_or_are_refused_as_it_refuses(folder, expected):
    check_vector(folder, expected)


@needs_vectors
def test_real_clips_equal_the_reference():
    expected = json.loads((VECTORS / "A2_desed_small/expected.json").read_text())["sed_scores_eval"]
    check_vector(VECTORS / "A2_desed_small", expected)


@needs_vectors
def test_psds_of_tables_in_memory_equals_the_reference_on_real_clips(monkeypatch):
    monkeypatch.setattr("training.psds._LABELS_AT_ONCE", 3)
    folder = VECTORS / "A2_desed_small"
    expected = json.loads((folder / "expected.json").read_text())["sed_scores_eval"]
    tables = {path.stem: pd.read_csv(path, sep="\t") for path in (folder / "scores").glob("*.tsv")}
    truth = {clip: [] for clip in tables}
    for name, onset, offset, label in pd.read_csv(folder / "ground_truth.tsv", sep="\t").itertuples(index=False):
        if label == label:  # clips without events have a row without a label
            truth[Path(name).stem].append((float(onset), float(offset), label))
    lengths = pd.read_csv(folder / "durations.tsv", sep="\t").itertuples(index=False)
    durations = {Path(name).stem: float(duration) for name, duration in lengths}
    found = psds(tables, truth, durations)
    assert found.psds1 == pytest.approx(expected["PSDS1"], abs=1e-6)
    assert found.psds1_a == pytest.approx(expected["PSDS1A"], abs=1e-6)
    assert found.per_label == pytest.approx(expected["PSDS1_single_class"], abs=1e-6)


def one_hour(scores, spans, *, label="dog", hop=1.0):
    """PSDS of one clip of an hour: false alarms per hour are false alarms."""
    table = score_table(np.asarray(scores, np.float32)[:, None], labels=[label], hop=hop, duration=3600.0)
    return psds({"clip": table}, {"clip": truth_events({label: spans}, duration=3600.0)}, {"clip": 3600.0})


def test_psds_worked_by_hand():
    scores = np.zeros(3600)
    scores[100:110] = 0.9  # found first
    for start in range(1000, 1050, 2):
        scores[start] = 0.5  # 25 false alarms
    scores[200:210] = 0.3  # the other event, found after them
    # half of the events up to 25 false alarms an hour, all of them from there to 100: (25 * .5 + 75) / 100
    assert one_hour(scores, [(100.0, 110.0), (200.0, 210.0)]).psds1_a == pytest.approx(0.875)


def test_psds1_a_is_the_mean_of_labels_and_psds1_takes_their_spread_off():
    scores = np.zeros((3600, 2), np.float32)
    scores[100:110, 0] = 1
    table = score_table(scores, labels=["a", "b"], hop=1.0, duration=3600.0)
    truth = truth_events({"a": [(100.0, 110.0)], "b": [(300.0, 310.0)]}, duration=3600.0)
    result = psds({"x": table}, {"x": truth}, {"x": 3600.0})
    assert result.per_label == {"a": 1.0, "b": 0.0}
    assert result.psds1_a == pytest.approx(0.5)
    assert result.psds1 == pytest.approx(0.5 - 0.5)


@given(st.integers(1, 20), st.integers(0, 200), st.sampled_from([0.04, 0.01, 0.02, 0.1]))
@settings(max_examples=30, deadline=None)
def test_seven_tenths_are_a_hit_wherever_they_lie_on_the_grid(tens, start, hop):
    """The detection is 10 * tens frames and the event its first seven tenths, as rounded as times come."""
    scores = np.zeros(600, np.float32)
    scores[start : start + 10 * tens] = 1
    table = score_table(scores[:, None], labels=["x"], hop=hop, duration=600 * hop)
    truth = truth_events({"x": [(start * hop, (start + 7 * tens) * hop)]}, duration=600 * hop)
    assert psds({"c": table}, {"c": truth}, {"c": 600 * hop}).psds1_a == pytest.approx(1.0)


def test_clips_without_events_count():
    event, noise = np.zeros((10, 1), np.float32), np.zeros((10, 1), np.float32)
    event[2:4], noise[5] = 0.5, 0.9
    tables = {
        name: score_table(scores, labels=["x"], hop=1.0, duration=10.0) for name, scores in (("a", event), ("b", noise))
    }
    truth = {"a": truth_events({"x": [(2.0, 4.0)]}, duration=10.0), "b": []}
    result = psds(tables, truth, {"a": 10.0, "b": 10.0})
    assert result.psds1_a == 0.0  # one false alarm in 20 s is 180 an hour, beyond the 100 that count


def test_labels_without_ground_truth_are_left_out_and_odd_names_are_only_names():
    table = score_table(np.eye(3, dtype=np.float32), labels=["onset", "b", "NA"], hop=1.0, duration=3.0)
    result = psds({"x": table}, {"x": [(0.0, 1.0, "onset"), (2.0, 3.0, "NA")]}, {"x": 3.0})
    assert result.per_label == {"onset": 1.0, "NA": 1.0}


def test_truth_is_cut_to_the_clip_and_what_touches_is_one_event():
    spans = {"a": [(-1.0, 2.0), (2.0, 3.0), (2.5, 4.0), (9.0, 12.0)], "b": [(10.0, 11.0), (3.0, 3.0)]}
    assert truth_events(spans, duration=10.0) == [(0.0, 4.0, "a"), (9.0, 10.0, "a")]
    assert truth_events({"a": [(0.0, 1.0), (1.0 + 1e-8, 2.0)]}, duration=3.0) == [(0.0, 2.0, "a")]


def test_frames_past_the_end_of_the_clip_are_cut():
    table = score_table(np.ones((4, 1), np.float32), labels=["x"], hop=0.4, duration=1.0)
    assert table["offset"].tolist() == pytest.approx([0.4, 0.8, 1.0])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_no_numbers_are_refused(bad):
    with pytest.raises(FlamError, match="scores of clip hold NaN"):
        one_hour(np.r_[bad, np.zeros(3599)], [(100.0, 110.0)])


def test_no_event_at_all_and_an_empty_folder_are_refused_in_one_line(tmp_path):
    with pytest.raises(FlamError, match="at least one event"):
        one_hour(np.zeros(3600), [])
    with pytest.raises(FlamError, match=r"holds no \.tsv"):
        score_files(tmp_path, tmp_path, tmp_path)
