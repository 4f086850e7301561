import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_toy_dataset

from evaluation.evaluate import evaluate
from manifests.errors import FlamError
from manifests.store import DatasetFolder
from training.checkpoint import load_tensors
from training.config import ModelConfig, TrainConfig
from training.detect import Detector
from training.loop import train

TINY = ModelConfig(channels=(16, 8, 8, 8), width=16, num_layers=1, num_heads=2, text="hash")
SHORT = TrainConfig(model=TINY, steps=6, batch_size=4, clip_duration=2.0, warmup_steps=2, evaluate_every=3)


def weights(run: Path, name: str = "step-*") -> dict[str, torch.Tensor]:
    (path,) = (run / "checkpoints").glob(f"{name}.safetensors")
    return load_tensors(path)[0]


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_a_run_leaves_model_checkpoints_and_log(toy_dataset: DatasetFolder, tmp_path: Path) -> None:
    report = train(toy_dataset.root, tmp_path / "run", SHORT)
    assert report.steps == 6
    rows = [json.loads(row) for row in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "auroc_all" in row] == [3, 6]
    assert report.best["step"] in (3, 6)
    assert Detector.load(tmp_path / "run").card.trained_clusters == ("high_tone", "hiss", "low_tone", "warble")


@pytest.mark.slow
def test_a_killed_run_continues_to_the_same_weights_bit_for_bit(tmp_path: Path) -> None:
    folder = make_toy_dataset(tmp_path / "data", train=10, valid=2, test=0)
    config = TrainConfig(model=TINY, steps=240, batch_size=4, clip_duration=1.0, warmup_steps=2, evaluate_every=120)
    train(folder.root, tmp_path / "whole", config)
    program = (
        "import sys; from pathlib import Path; import torch; torch.set_num_threads(1)\n"
        "from training.config import TrainConfig; from training.loop import train\n"
        "train(Path(sys.argv[1]), Path(sys.argv[2]), TrainConfig.model_validate_json(sys.argv[3]))"
    )
    command = [sys.executable, "-c", program, str(folder.root), str(tmp_path / "cut"), config.model_dump_json()]
    for wanted in (40, 160):  # between checkpoints, and in the second epoch after a resume
        process = subprocess.Popen(command, cwd=Path(__file__).parents[1], stderr=subprocess.DEVNULL)
        wait_for_step(tmp_path / "cut" / "metrics.jsonl", wanted, process)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    (last,) = (tmp_path / "cut" / "checkpoints").glob("step-*.safetensors")
    assert int(load_tensors(last)[1]["step"]) < 240
    train(folder.root, tmp_path / "cut", config)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))
    assert same(weights(tmp_path / "whole", "best"), weights(tmp_path / "cut", "best"))
    steps = [json.loads(row)["step"] for row in (tmp_path / "cut" / "metrics.jsonl").read_text().splitlines()]
    whole = [json.loads(row)["step"] for row in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    assert steps == whole


def wait_for_step(log: Path, step: int, process: subprocess.Popen[Any]) -> None:
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and process.poll() is None:
        rows = log.read_text().splitlines() if log.exists() else []
        if rows and rows[-1].endswith("}") and json.loads(rows[-1])["step"] >= step:
            return
        time.sleep(0.02)
    pytest.fail(f"step {step} was not reached before the process ended")


def test_zero_steps_leave_an_untrained_model(toy_dataset: DatasetFolder, tmp_path: Path) -> None:
    report = train(toy_dataset.root, tmp_path / "run", SHORT.model_copy(update={"steps": 0}))
    assert report.steps == 0
    again = train(toy_dataset.root, tmp_path / "run", SHORT.model_copy(update={"steps": 0}))
    assert again.best == report.best
    assert "auroc_all" in again.best
    found = Detector.load(tmp_path / "run").activations(next((toy_dataset.root / "audio").rglob("*.wav")), ["hiss"])
    assert found.shape == (100, 1)


def test_a_finished_run_is_not_trained_again(toy_dataset: DatasetFolder, tmp_path: Path) -> None:
    train(toy_dataset.root, tmp_path / "run", SHORT)
    before = weights(tmp_path / "run")
    again = train(toy_dataset.root, tmp_path / "run", SHORT)
    assert again.steps == 6
    assert again.best
    assert same(before, weights(tmp_path / "run"))


def test_a_folder_of_another_config_is_refused_by_what_differs(toy_dataset: DatasetFolder, tmp_path: Path) -> None:
    train(toy_dataset.root, tmp_path / "run", SHORT)
    with pytest.raises(FlamError, match=r"config.json says seed = 0, not 1; choose another --out"):
        train(toy_dataset.root, tmp_path / "run", SHORT.model_copy(update={"seed": 1}))


def test_a_run_is_not_continued_on_other_data(tmp_path: Path) -> None:
    folder = make_toy_dataset(tmp_path / "data", train=6, valid=2, test=0)
    train(folder.root, tmp_path / "run", SHORT)
    moved = folder.root.rename(tmp_path / "moved")  # the same data elsewhere is the same data
    train(moved, tmp_path / "run", SHORT)
    other = make_toy_dataset(tmp_path / "other", train=7, valid=2, test=0)
    with pytest.raises(FlamError, match=r"config\.json says data"):
        train(other.root, tmp_path / "run", SHORT)


def test_without_validation_soundscapes_the_last_step_is_kept(tmp_path: Path) -> None:
    folder = make_toy_dataset(tmp_path / "data", train=6, valid=0, test=0)
    report = train(folder.root, tmp_path / "run", SHORT)
    assert report.best == {"step": 6}
    assert Detector.load(tmp_path / "run").card.threshold == 0.5


@pytest.mark.slow
def test_the_model_learns_twenty_soundscapes_nearly_by_heart(toy_dataset: DatasetFolder, tmp_path: Path) -> None:
    """The loop learns: near-perfect frame labels on what it was trained on, and its untrained twin has none."""
    config = TrainConfig(
        model=ModelConfig(channels=(16, 32, 48, 64), width=96, num_layers=1, dropout=0.0),
        steps=120,
        batch_size=10,
        clip_duration=4.0,
        warmup_steps=10,
        evaluate_every=120,
        mix_share=0.0,
        ema_decay=0.9,
    )
    began = time.monotonic()
    train(toy_dataset.root, tmp_path / "run", config)
    seconds = time.monotonic() - began
    detector = Detector.load(tmp_path / "run")
    assert frame_f1(detector, toy_dataset) > 0.92, f"after {seconds:.0f} s"
    train(toy_dataset.root, tmp_path / "untrained", config.model_copy(update={"steps": 0}))
    assert frame_f1(Detector.load(tmp_path / "untrained"), toy_dataset) < 0.6
    result = evaluate(detector, toy_dataset, split="test", caption_set="template")
    assert (result.value("auroc_active") or 0.0) > 0.95


def frame_f1(detector: Detector, folder: DatasetFolder) -> float:
    """Over all frames and labels of the training soundscapes, at the detector's own threshold."""
    from evaluation.scored import collect_scores, split_soundscapes

    scored = collect_scores(detector, folder, split_soundscapes(folder, "train"))
    said = scored.scores.values > detector.card.threshold
    true = np.stack([scored.truth.active(label, scored.scores) for label in range(len(scored.queries))])
    return float(2 * (said & true).sum() / max(said.sum() + true.sum(), 1))


def test_a_loss_that_is_not_finite_stops_and_names_the_soundscapes(tmp_path: Path) -> None:
    folder = make_toy_dataset(tmp_path / "data", train=4, valid=0, test=0)
    with pytest.raises(FlamError, match=r"the loss is (nan|inf) at step \d+, on soundscapes 0000000"):
        train(folder.root, tmp_path / "run", SHORT.model_copy(update={"learning_rate": 1e30, "steps": 20}))
