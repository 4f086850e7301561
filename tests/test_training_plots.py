"""Pictures are made for whatever phrases and recordings there are, and hold what they should."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.image import imread

from evaluation.detection_plot import plot_detections
from evaluation.post_processing import PostProcessing
from manifests.errors import FlamError
from training.plots import plot_training

RATE = 16_000


def draw(path, phrases, *, seconds=2.0, rate=RATE, **options):
    rng = np.random.default_rng(0)
    samples = rng.standard_normal(round(seconds * rate)).astype(np.float32)
    activations = rng.random((max(1, round(seconds / 0.04)), len(phrases))).astype(np.float32)
    given = {"samples": samples, "sample_rate": rate, "activations": activations, "phrases": phrases, "hop": 0.04}
    given |= {"post": PostProcessing()}
    plot_detections(path, **{**given, "threshold": 0.5, **options})
    return imread(path)


def share_of(image, rgb):
    """Share of pixels of about a colour."""
    return float((np.abs(image[..., :3] - np.array(rgb) / 255).max(axis=-1) < 0.02).mean())


def test_a_picture_grows_with_the_number_of_phrases(tmp_path):
    heights = [draw(tmp_path / "x.png", [f"sound {i}" for i in range(num)]).shape[0] for num in (1, 2, 12)]
    assert heights[1] - heights[0] == pytest.approx((heights[2] - heights[0]) / 11, abs=2)
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]


ODD = ["狗在叫", "كلب ينبح", "emoji 🐶", "$\\frac{$", "100 % of $5", "a_b^{c", "x" * 300, "words " * 60, " ", "a\nb\tc"]


@pytest.mark.parametrize("phrase", ODD)
def test_any_text_is_drawn(tmp_path, phrase):
    assert draw(tmp_path / "x.png", [phrase], truth={phrase: [(0.1, 0.5)]}).size


def test_detections_and_truth_are_drawn_where_they_are(tmp_path):
    activations = np.zeros((50, 1), np.float32)
    nothing = draw(tmp_path / "a.png", ["x"], activations=activations)
    truth = draw(tmp_path / "b.png", ["x"], activations=activations, truth={"x": [(0.5, 1.0)]})
    activations[:25] = 0.5  # not above the threshold
    at_threshold = draw(tmp_path / "c.png", ["x"], activations=activations)
    activations[:25] = 0.9
    detected = draw(tmp_path / "d.png", ["x"], activations=activations)
    orange, blue = (213, 94, 0), (187, 225, 246)
    assert share_of(nothing, orange) < 0.001 < share_of(truth, orange)
    assert share_of(at_threshold, blue) == pytest.approx(share_of(nothing, blue), abs=0.002)
    assert share_of(detected, blue) > share_of(nothing, blue) + 0.02


@pytest.mark.parametrize(("seconds", "rate"), [(0.001, RATE), (0.0, RATE), (1.0, 1000), (0.1, 192_000), (120.0, 1000)])
def test_recordings_of_any_length_and_rate_are_drawn(tmp_path, seconds, rate):
    assert draw(tmp_path / "x.png", ["a dog barks"], seconds=seconds, rate=rate).size


def test_silence_is_drawn(tmp_path):
    assert draw(tmp_path / "x.png", ["a"], samples=np.zeros(RATE, np.float32)).size


def test_the_same_input_gives_the_same_bytes(tmp_path):
    for name in ("a.png", "b.png"):
        draw(tmp_path / name, ["a dog barks"])
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_training_curves_are_drawn_from_rows_with_gaps(tmp_path):
    rows = [{"step": 10 * i, "loss": 1 / (1 + i), **({"valid_auroc_all": 0.5} if i % 3 == 0 else {})} for i in range(9)]
    for name, given in (("some.png", rows), ("none.png", []), ("nulls.png", [{"step": 0, "loss": None}])):
        plot_training(tmp_path / name, given)
        assert imread(tmp_path / name).size


def test_no_pyplot_and_no_window_system_is_needed():
    code = "import sys, training.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FlamError, match="cannot write"):
        draw(tmp_path / "file" / "x.png", ["a"])
