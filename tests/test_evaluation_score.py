"""An outside model's score tables: what is read, and how each bad one is refused."""

from pathlib import Path

import pytest

from evaluation.score import score_files
from manifests.errors import FlamError

SCORES = "onset\toffset\tdog\tNA\n0.0\t1.0\t0.9\t0.1\n1.0\t2.0\t0.2\t0.8\n"
TRUTH = "filename\tonset\toffset\tevent_label\nx.y.wav\t0.0\t1.0\tdog\nx.y.wav\t1.0\t2.0\tNA\nquiet.wav\t\t\t\n"
DURATIONS = "filename\tduration\nx.y.wav\t2.0\nquiet.wav\t1.0\n"
QUIET = "onset\toffset\tdog\tNA\n0.0\t1.0\t0.0\t0.1\n"


@pytest.fixture
def tables(tmp_path: Path) -> tuple[Path, Path, Path]:
    scores = tmp_path / "scores"
    scores.mkdir()
    (scores / "x.y.tsv").write_text(SCORES)
    (scores / "quiet.tsv").write_text(QUIET)
    (tmp_path / "truth.tsv").write_text(TRUTH)
    (tmp_path / "durations.tsv").write_text(DURATIONS)
    return scores, tmp_path / "truth.tsv", tmp_path / "durations.tsv"


def test_a_perfect_model_has_ones_whatever_its_labels_are_called(tables):
    values, refused = score_files(*tables)
    assert set(values.values()) == {1.0}
    assert len(values) == 10
    assert not refused


def test_auroc_and_f1_of_tables_worked_by_hand(tables):
    (tables[0] / "quiet.tsv").write_text("onset\toffset\tdog\tNA\n0.0\t1.0\t0.9\t0.1\n")
    values, _ = score_files(*tables)
    # dog: its one window is level with one of two others and above the other, .75; NA: 1. Together: 2 positives, .9 and
    # .8, 4 others, .9 .2 .1 .1: 3.5 + 3 of 8
    assert values["AUROC"] == pytest.approx((0.75 + 1) / 2)
    assert values["AUROC_pooled"] == pytest.approx(6.5 / 8)
    assert values["segment_f1_macro"] == pytest.approx((2 / 3 + 1) / 2)
    assert values["collar_f1_micro"] == pytest.approx(4 / 5)
    assert score_files(*tables, threshold=0.9)[0]["segment_f1_macro"] == 0.0  # above it, not equal


@pytest.mark.parametrize(
    ("which", "text", "message"),
    [
        ("scores", "onset\toffset\tdog\tNA\n0.0\t1.0\t0.9\t0.1\n1.5\t2.0\t0.2\t0.8\n", "must begin where the"),
        ("scores", "onset\toffset\tdog\tNA\n0.0\t1.0\tnan\t0.1\n1.0\t2.0\t0.2\t0.8\n", "hold NaN or infinity"),
        ("scores", "onset\toffset\tdog\tNA\n0.0\t1.0\tloud\t0.1\n1.0\t2.0\t0.2\t0.8\n", "scores are numbers"),
        ("scores", "onset\toffset\tdog\n0.0\t2.0\t0.1\n", "has other labels than the first table"),
        ("scores", "time\tdog\n0.0\t1.0\n", "is no score table"),
        ("scores", "onset\toffset\tdog\tNA\n", "is no score table"),
        ("scores", "", "cannot read .*x.y.tsv"),
        ("truth", TRUTH.replace("0.0\t1.0\tdog", "1.0\t0.5\tdog"), "ends at 0.5 s, before its onset 1 s"),
        ("truth", TRUTH.replace("0.0\t1.0\tdog", "zero\t1.0\tdog"), r"truth.tsv:2: onset is 'zero', no number"),
        ("truth", TRUTH + "x.y.wav\t1.0\t1.5\tdog\n", "events of 'dog' in x.y overlap or touch"),
        ("truth", TRUTH + "z.wav\t1.0\t1.5\tdog\n", "names z, for which there are no scores"),
        ("truth", TRUTH + "x.y.wav\t1.0\t1.5\tcat\n", "names the label 'cat', for which there are no scores"),
        ("truth", TRUTH.replace("x.y.wav\t1.0\t2.0\tNA\n", ""), "has no event of NA"),
        ("truth", "file\tonset\toffset\n", "has no column filename, event_label"),
        ("durations", DURATIONS.replace("quiet.wav\t1.0\n", ""), "no duration for quiet.tsv"),
        ("durations", DURATIONS + "more.wav\t3.0\n", "no scores for more"),
        ("durations", DURATIONS + "x.y.wav\t3.0\n", "names a file twice"),
        ("durations", DURATIONS.replace("\t1.0", "\t0"), "seconds above 0"),
    ],
)  # fmt: skip
def test_each_bad_table_is_refused_in_a_line_that_says_which(tables, which, text, message):
    scores, truth, durations = tables
    {"scores": scores / "x.y.tsv", "truth": truth, "durations": durations}[which].write_text(text)
    with pytest.raises(FlamError, match=message) as refusal:
        score_files(scores, truth, durations)
    assert "\n" not in str(refusal.value)


def test_a_folder_without_tables_is_refused(tables, tmp_path):
    with pytest.raises(FlamError, match=r"holds no \.tsv file"):
        score_files(tmp_path / "nothing", *tables[1:])
