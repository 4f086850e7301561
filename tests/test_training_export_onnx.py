"""A model as ONNX files answers as it did."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import soundfile
import torch
from typer.testing import CliRunner

import cli
from training.checkpoint import ModelCard, save_model
from training.config import ModelConfig
from training.detect import Detector
from training.export_onnx import DftLogMel
from training.mel import LogMel
from training.model import FlamModel

TINY = ModelConfig(channels=(16, 8, 8, 8), width=16, num_layers=1, num_heads=2, text="hash")
PHRASES = ["a dog barks", "rain"]


SETTINGS: dict[str, dict[str, Any]] = {
    "the default's": {},
    "FLAM's": {"frame_scale": "text"},
    "one head": {"heads": "unified"},
    "160 ms": {"frame_mels": 16},
    "word vectors": {"text": ModelConfig().text},
}


@pytest.fixture(scope="module", params=SETTINGS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Detector, Path]:
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("onnx")
    config = TINY.model_copy(update=SETTINGS[request.param])
    model = FlamModel(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    card = ModelCard(
        model=config, trained_clusters=("dog",), threshold=0.3, calibration_scale=1.5, calibration_bias=-0.5,
        calibration_prior=tuple(np.random.default_rng(0).normal(size=256).tolist()),
        trained_phrases=("a dog", "rain falls"), word_trust=2.0,
    )  # fmt: skip
    save_model(root / "run", model, card)
    command = ["export-model", str(root / "run"), "--out", str(root / "out")]
    done = CliRunner().invoke(cli.app, [*command, *(part for phrase in PHRASES for part in ("--phrase", phrase))])
    assert done.exit_code == 0, done.output
    assert [Path(line).name for line in done.stdout.splitlines()] == ["audio.onnx", "text.onnx", "phrases.json"]
    return Detector.load(root / "run"), root / "out"


@pytest.mark.parametrize("frames", [2, 25, 250, 311])
def test_probabilities_and_clip_vectors_are_the_detectors(exported, frames: int, tmp_path: Path) -> None:
    detector, out = exported
    size = detector.model.config.frame_samples
    samples = (0.1 * np.random.default_rng(frames).standard_normal(size * frames)).astype(np.float32)
    kept = json.loads((out / "phrases.json").read_text())
    assert kept["sample_rate"] == 16_000
    assert kept["frame_samples"] == size
    texts = np.array([kept["phrases"][phrase] for phrase in PHRASES], np.float32)
    session = onnxruntime.InferenceSession(out / "audio.onnx")
    probabilities, clip = session.run(None, {"waveform": samples[None], "texts": texts})
    assert probabilities.std() > 5e-4  # fifty times what is let pass
    with torch.inference_mode():
        _, clips = detector.model.embed_audio(torch.from_numpy(samples)[None])
    np.testing.assert_allclose(clip, clips[0].numpy(), atol=1e-5)
    if len(samples) <= 160_000:  # longer ones a detector hears in parts
        soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype="FLOAT")
        expected = detector.activations(tmp_path / "a.wav", PHRASES)
        np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    assert probabilities.shape == (frames, 2)


@pytest.mark.parametrize("texts", [["rain"], ["a dog barks then a car horn", "x"], ["a crow"] * 7])
def test_text_vectors_are_the_models(exported, texts: list[str]) -> None:
    detector, out = exported
    tokens, present = detector.model.text.words.prepare(texts)
    kinds = detector.model.text.kinds_of(texts)
    session = onnxruntime.InferenceSession(out / "text.onnx")
    found, captions = session.run(
        None, {"tokens": tokens.numpy(), "present": present.numpy(), "kinds": kinds.detach().numpy()}
    )
    np.testing.assert_allclose(found, torch.stack(detector.embed_phrases(texts)).numpy(), atol=1e-5)
    np.testing.assert_allclose(captions, detector.caption_embeddings(texts), atol=1e-5)
    if "a dog barks then a car horn" in texts:  # some words of which were never trained
        assert np.abs(captions - found).max() > 1e-2


@pytest.mark.parametrize("level", [0.0, 1e-6, 1e-4])
def test_silence_and_next_to_silence_are_heard_alike(exported, level: float, tmp_path: Path) -> None:
    detector, out = exported
    samples = (level * np.random.default_rng(0).standard_normal(detector.model.config.frame_samples * 25)).astype(
        np.float32
    )
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype="FLOAT")
    texts = np.array([json.loads((out / "phrases.json").read_text())["phrases"]["rain"]], np.float32)
    session = onnxruntime.InferenceSession(out / "audio.onnx")
    probabilities, _ = session.run(None, {"waveform": samples[None], "texts": texts})
    np.testing.assert_allclose(probabilities, detector.activations(tmp_path / "a.wav", ["rain"]), atol=1e-4)


def test_the_spectrogram_without_complex_numbers_is_the_same() -> None:
    mel = LogMel(sample_rate=16_000, num_mels=64, fft_samples=512, hop_samples=160)
    waveforms = 0.1 * torch.randn(2, 16_000, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(DftLogMel(mel)(waveforms), mel(waveforms), atol=1e-3)
