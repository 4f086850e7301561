"""A model that was saved once is read by every later version, and answers the same."""

import json
from pathlib import Path

import numpy as np
import soundfile

from evaluation.post_processing import PostProcessing
from training.detect import Detector

GOLDEN = Path(__file__).parent / "golden"  # written by the version of 2026-11-29; never written again


def test_a_model_of_format_1_answers_as_on_the_day_it_was_saved(tmp_path: Path) -> None:
    seconds = np.arange(16_000) / 16_000
    swell = (1 + np.sin(2 * np.pi * 3 * seconds)) / 2
    samples = 0.3 * np.sin(2 * np.pi * (200 + 1500 * seconds) * seconds) * swell
    soundfile.write(tmp_path / "a.wav", samples.astype(np.float32), 16_000, subtype="FLOAT")
    detector = Detector.load(GOLDEN / "run")
    found, embedding = detector.hear(tmp_path / "a.wav", ["a dog barks", "rain"])
    answers = json.loads((GOLDEN / "answers.json").read_text("utf-8"))
    np.testing.assert_allclose(found, answers["activations"], atol=2e-4)
    np.testing.assert_allclose(embedding, answers["embedding"], atol=2e-4)
    assert found.std() > 0.05
    assert detector.card.trained_phrases == ("a dog",)
    assert detector.card.post_processing == PostProcessing(median=3, max_gap=0.2, min_duration=0.1)
