"""From simulate to a trained model: where the audio lies makes no difference."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from small_bank import write_bank

from curation.caption import caption
from curation.config import Recipe, Shares
from curation.render import Renderer
from curation.simulate import simulate
from evaluation.evaluate import evaluate
from manifests.audio import read
from manifests.store import DatasetFolder, Render
from training.checkpoint import load_tensors
from training.config import ModelConfig, TrainConfig
from training.detect import Detector
from training.loop import train
from training.sources import Data

RECIPE = Recipe(name="test", duration=2.0, split=Shares(train=0.5, valid=0.3, test=0.2), tilt_db=1.0)
TINY = ModelConfig(channels=(16, 8, 8, 8), width=16, num_layers=1, num_heads=2, text="hash")
SHORT = TrainConfig(model=TINY, steps=4, batch_size=4, clip_duration=2.0, warmup_steps=2, evaluate_every=2)
FORMATS = ("wav", "flac", "shards", "none")


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[DatasetFolder, Render | None]]:
    root = tmp_path_factory.mktemp("formats")
    bank = write_bank(root / "bank", rate=22050)  # not the model's rate: resampled when it is read
    made = {}
    for name in FORMATS:
        simulate(bank.root, root / name, recipe=RECIPE, num=24, audio_format=name, workers=1)
        caption(root / name)
        render = Renderer.open(root / name) if name == "none" else None
        made[name] = DatasetFolder.open(root / name, render=render), render
    return made


def test_the_same_samples_are_read(datasets: dict[str, tuple[DatasetFolder, Render | None]]) -> None:
    rows = {name: list(folder.soundscapes()) for name, (folder, _) in datasets.items()}
    for index in range(24):
        sounds = [read(datasets[name][0].audio(rows[name][index]), 16_000) for name in FORMATS]
        assert sounds[0].any()
        for other in sounds[1:]:
            np.testing.assert_array_equal(sounds[0], other)


def test_the_rows_differ_in_where_the_audio_is_only(datasets: dict[str, tuple[DatasetFolder, Render | None]]) -> None:
    rows = [
        [dataclasses.replace(row, audio_path="") for row in folder.soundscapes()] for folder, _ in datasets.values()
    ]
    assert all(others == rows[0] for others in rows[1:])


def test_the_same_model_is_trained_and_measured(
    datasets: dict[str, tuple[DatasetFolder, Render | None]], tmp_path: Path
) -> None:
    weights, results = [], []
    for name, (folder, render) in datasets.items():
        train([Data(root=folder.root, render=render)], tmp_path / name, SHORT)
        weights.append(load_tensors(tmp_path / name / "checkpoints" / "step-000000004.safetensors")[0])
        detector = Detector.load(tmp_path / name)
        found = evaluate(detector, folder, split="test", caption_set="template")
        results.append(found.to_dict())
    for other, result in zip(weights[1:], results[1:], strict=True):
        assert all((other[name] == tensor).all() for name, tensor in weights[0].items())
        assert result == results[0]
