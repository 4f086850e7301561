"""A model that was saved once is read by every later version, and answers the same."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from evaluation.post_processing import PostProcessing
from training.detect import Detector

GOLDEN = Path(__file__).parent / "golden"  # each written once, by the version of its day; never written again


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    seconds = np.arange(16_000) / 16_000
    swell = (1 + np.sin(2 * np.pi * 3 * seconds)) / 2
    samples = 0.3 * np.sin(2 * np.pi * (200 + 1500 * seconds) * seconds) * swell
    soundfile.write(tmp_path / "a.wav", samples.astype(np.float32), 16_000, subtype="FLOAT")
    return tmp_path / "a.wav"


@pytest.mark.parametrize(
    ("name", "phrases"),
    [
        ("run", ["a dog barks", "rain"]),  # FLAM's scales, two heads, 40 ms; 2026-11-29
        ("unified", ["a dog barks", "an engine idling"]),  # one head, 160 ms, word vectors; 2026-11-29
    ],
)
def test_a_model_of_format_1_answers_as_on_the_day_it_was_saved(name: str, phrases: list[str], recording: Path) -> None:
    found, embedding = Detector.load(GOLDEN / name).hear(recording, phrases)
    answers = json.loads((GOLDEN / name / "answers.json").read_text("utf-8"))
    np.testing.assert_allclose(found, answers["activations"], atol=2e-4)
    np.testing.assert_allclose(embedding, answers["embedding"], atol=2e-4)
    assert found.std(axis=0).min() > 0.05


def test_a_card_of_format_1_says_what_it_said() -> None:
    card = Detector.load(GOLDEN / "run").card
    assert card.trained_phrases == ("a dog",)
    assert card.post_processing == PostProcessing(median=3, max_gap=0.2, min_duration=0.1)
