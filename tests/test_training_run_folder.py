"""A run's folder: killed, damaged, removed in part, or another's: it goes on to the same end, or says why not."""

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_toy_dataset
from test_training_loop import SHORT, TINY, same, weights

from manifests.errors import FlamError
from manifests.store import DatasetFolder
from training import loop, trainer
from training.checkpoint import Checkpoints, load_tensors
from training.config import TrainConfig
from training.data import Batch
from training.detect import Detector
from training.loop import train
from training.objective import Part
from training.recipe import load_config
from training.validation import Validation


@pytest.mark.slow
def test_a_run_killed_at_ten_random_steps_ends_in_the_same_weights_bit_for_bit(tmp_path: Path) -> None:
    """An epoch is of 15 steps, and a checkpoint is written every 4: most kills are in the midst of one.

    The first two are in the same epoch.
    """
    folder = make_toy_dataset(tmp_path / "data", train=60, valid=2, test=0)
    config = TrainConfig(
        model=TINY.model_copy(update={"dropout": 0.1}), steps=100, batch_size=4, clip_duration=1.0, warmup_steps=2,
        evaluate_every=45, mix_share=0.3, num_masks=1, micro_batch=3,
    )  # fmt: skip
    program = (
        "import sys; from pathlib import Path; import torch; torch.set_num_threads(1)\n"
        "from training import loop; from training.config import TrainConfig\n"
        "loop._SAVE_EVERY = 4; loop._LOG_EVERY = 1\n"
        "loop.train(Path(sys.argv[1]), Path(sys.argv[2]), TrainConfig.model_validate_json(sys.argv[3]))"
    )

    def run(name: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", program, str(folder.root), str(tmp_path / name), config.model_dump_json()]
        return subprocess.Popen(command, cwd=Path(__file__).parents[1], stderr=subprocess.DEVNULL)

    assert run("whole").wait() == 0
    rng, log = np.random.default_rng(), tmp_path / "cut" / "metrics.jsonl"
    first = 15 * int(rng.integers(4)) + int(rng.integers(2, 8))
    moments = [first, first + 5, *sorted(rng.choice(np.arange(first + 6, 92), 8, replace=False).tolist())]
    for wanted in moments:
        left = log.stat().st_ino if log.exists() else None
        process = run("cut")
        wait_for_step(log, wanted, process, left=left)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert run("cut").wait() == 0, moments
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "cut")), moments
    assert same(weights(tmp_path / "whole", "best"), weights(tmp_path / "cut", "best")), moments
    whole, cut = (
        [json.loads(row) for row in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("whole", "cut")
    )
    timed = {"clips_per_second", "data_wait"}
    assert [{k: v for k, v in row.items() if k not in timed} for row in whole] == [
        {k: v for k, v in row.items() if k not in timed} for row in cut
    ]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_of_flams_objective_goes_on_bit_for_bit_on_any_number_of_threads(
    threads: int, toy_dataset: DatasetFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config("flam").model_copy(update={**SHORT.model_dump(exclude={"model"}, exclude_unset=True)})
    config = config.model_copy(update={"model": TINY.model_copy(update={"frame_scale": "text"}), "steps": 8})
    assert config.prior_weight > 0
    assert config.clip_loss == "infonce"
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        train(toy_dataset.root, tmp_path / "whole", config)
        with monkeypatch.context() as patch:
            patch.setattr(loop, "_SAVE_EVERY", 3)
            patch.setattr(trainer.Trainer, "learn", stopping_at(5))
            with pytest.raises(KeyboardInterrupt):
                train(toy_dataset.root, tmp_path / "cut", config)
        train(toy_dataset.root, tmp_path / "cut", config)
    finally:
        torch.set_num_threads(before)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))


def stopping_at(step: int) -> Callable[[trainer.Trainer, Batch], trainer.Losses]:
    real = trainer.Trainer.learn

    def learn(self: trainer.Trainer, batch: Batch) -> trainer.Losses:
        if self.step == step:
            raise KeyboardInterrupt
        return real(self, batch)

    return learn


def wait_for_step(log: Path, step: int, process: subprocess.Popen[Any], *, left: int | None = None) -> None:
    """Until the process itself has logged a step; `left` is the inode of the log that an earlier one left."""
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and process.poll() is None:
        rows = log.read_text().splitlines() if log.exists() and log.stat().st_ino != left else []
        if rows and rows[-1].endswith("}") and json.loads(rows[-1])["step"] >= step:
            return
        time.sleep(0.02)
    pytest.fail(f"step {step} was not reached before the process ended")


def test_only_the_last_few_checkpoints_and_the_best_are_kept(
    toy_dataset: DatasetFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_SAVE_EVERY", 1)
    train(toy_dataset.root, tmp_path / "run", SHORT.model_copy(update={"keep_last": 2}))
    assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()) == [
        "best.safetensors", "step-000000005.safetensors", "step-000000006.safetensors",
    ]  # fmt: skip


def test_what_a_killed_write_left_is_removed(toy_dataset: DatasetFolder, tmp_path: Path) -> None:
    folder = tmp_path / "run" / "checkpoints"
    program = (
        "import sys; from pathlib import Path; import torch; from training.checkpoint import save_tensors\n"
        "while True: save_tensors(Path(sys.argv[1]) / 'best.safetensors', {'a': torch.zeros(10_000_000)}, {})"
    )

    def left() -> list[Path]:
        return [path for path in folder.iterdir() if path.stat().st_size and path.name != "best.safetensors"]

    for _ in range(20):
        writer = subprocess.Popen([sys.executable, "-c", program, str(folder)], cwd=Path(__file__).parents[1])
        while writer.poll() is None and not (folder.exists() and left()):
            time.sleep(0.001)
        writer.kill()
        writer.wait()
        if left():
            break
    assert left()
    (folder / "best.safetensors").unlink(missing_ok=True)
    train(toy_dataset.root, tmp_path / "run", SHORT)
    assert {path.name for path in folder.iterdir()} == {"best.safetensors", "step-000000006.safetensors"}


def test_a_run_whose_model_cannot_be_made_leaves_its_folder_to_another(
    toy_dataset: DatasetFolder, tmp_path: Path
) -> None:
    wrong = SHORT.model_copy(update={"model": TINY.model_copy(update={"text": str(tmp_path / "nowhere")})})
    with pytest.raises(FlamError, match="nowhere"):
        train(toy_dataset.root, tmp_path / "run", wrong)
    assert train(toy_dataset.root, tmp_path / "run", SHORT).steps == 6


def test_a_folder_in_which_nothing_was_learned_is_free_for_other_settings(
    toy_dataset: DatasetFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(*_: object) -> dict[str, Part]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "step_losses", too_large)
        with pytest.raises(KeyboardInterrupt):
            train(toy_dataset.root, tmp_path / "run", SHORT)
    report = train(toy_dataset.root, tmp_path / "run", SHORT.model_copy(update={"batch_size": 2}))
    assert report.steps == 6
    shutil.rmtree(tmp_path / "run" / "checkpoints")  # to save room: what was learned is still there
    with pytest.raises(FlamError, match="batch_size"):
        train(toy_dataset.root, tmp_path / "run", SHORT)


@pytest.mark.parametrize("removed", [False, True])
def test_what_was_begun_with_other_settings_is_not_continued(
    removed: bool, toy_dataset: DatasetFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after a checkpoint and before the first validation; or finished, and its model removed."""
    monkeypatch.setattr(loop, "_SAVE_EVERY", 1)
    with monkeypatch.context() as patch:
        real, steps = trainer.step_losses, itertools.count()

        def killed(*arguments: Any) -> dict[str, Part]:
            if next(steps) == 2 and not removed:
                raise KeyboardInterrupt
            return real(*arguments)

        patch.setattr(trainer, "step_losses", killed)
        with contextlib.suppress(KeyboardInterrupt):
            train(toy_dataset.root, tmp_path / "run", SHORT)
    shutil.rmtree(tmp_path / "run" / "model", ignore_errors=True)
    with pytest.raises(FlamError, match="batch_size"):
        train(toy_dataset.root, tmp_path / "run", SHORT.model_copy(update={"batch_size": 2}))
    assert train(toy_dataset.root, tmp_path / "run", SHORT).steps == 6


def test_where_steps_take_long_a_checkpoint_does_not_wait_for_the_hundredth(
    toy_dataset: DatasetFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, steps = trainer.step_losses, itertools.count()

    def killed(*arguments: Any) -> dict[str, Part]:
        if next(steps) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(trainer, "step_losses", killed)
    monkeypatch.setattr(loop, "_SAVE_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        train(toy_dataset.root, tmp_path / "run", SHORT)
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-000000002.safetensors"]


def test_a_damaged_checkpoint_costs_what_was_learned_since_the_one_before(
    toy_dataset: DatasetFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = SHORT.model_copy(update={"keep_last": 2})
    folder = tmp_path / "run" / "checkpoints"
    train(toy_dataset.root, tmp_path / "run", config)
    expected = {name: value.clone() for name, value in weights(tmp_path / "run", "step-000000006").items()}
    monkeypatch.setattr(loop, "_SAVE_EVERY", 1)
    for damaged in (("step-000000006",), ("step-000000006", "step-000000005")):  # then there is the best one's
        for name in damaged:
            path = folder / f"{name}.safetensors"
            path.write_bytes(path.read_bytes()[:1000])
        assert train(toy_dataset.root, tmp_path / "run", config).steps == 6
        last = Checkpoints(folder, keep=2).last()
        assert last is not None
        assert same(load_tensors(last)[0], expected)
        said = capsys.readouterr().err
        for name in damaged:
            assert f"{name}.safetensors is damaged" in said
            assert f"it is called damaged-{name}.safetensors now, and the run goes on from an earlier" in said
            assert (folder / f"damaged-{name}.safetensors").stat().st_size == 1000
    for path in folder.iterdir():
        path.write_bytes(b"")
    before = (tmp_path / "run" / "model" / "weights.safetensors").read_bytes()
    with pytest.raises(FlamError, match=r"is damaged .* no other checkpoint there is whole"):
        train(toy_dataset.root, tmp_path / "run", config)
    assert (tmp_path / "run" / "model" / "weights.safetensors").read_bytes() == before


def test_a_damaged_model_is_written_anew(toy_dataset: DatasetFolder, tmp_path: Path) -> None:
    train(toy_dataset.root, tmp_path / "run", SHORT)
    path = tmp_path / "run" / "model" / "weights.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:1000])
    with pytest.raises(FlamError, match=r"is damaged .* run `flam-cli train` again"):
        Detector.load(tmp_path / "run")
    train(toy_dataset.root, tmp_path / "run", SHORT)
    assert path.read_bytes() == whole


def test_a_model_is_written_anew_even_without_its_checkpoint(toy_dataset: DatasetFolder, tmp_path: Path) -> None:
    train(toy_dataset.root, tmp_path / "run", SHORT)
    shutil.rmtree(tmp_path / "run" / "model")
    (tmp_path / "run" / "checkpoints" / "best.safetensors").unlink()
    train(toy_dataset.root, tmp_path / "run", SHORT)
    assert Detector.load(tmp_path / "run").activations(next(toy_dataset.root.rglob("*.wav")), ["hiss"]).any()


def test_others_may_read_a_run_as_the_umask_says(toy_dataset: DatasetFolder, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        train(toy_dataset.root, tmp_path / "run", SHORT)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert set(modes.values()) == {0o640}, modes


def test_a_dataset_is_no_place_for_a_run(tmp_path: Path) -> None:
    root = make_toy_dataset(tmp_path / "data", train=2, valid=0, test=0).root
    (root / "dataset.json").write_text("{}")
    with pytest.raises(FlamError, match="data is a dataset; choose another --out"):
        train(root, root, SHORT)


@pytest.mark.parametrize("lost", ["", "config.json", "weights.safetensors"])
def test_a_model_that_was_removed_is_written_again_from_the_best_step(
    toy_dataset: DatasetFolder, tmp_path: Path, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = itertools.count()
    monkeypatch.setattr(Validation, "score", lambda _: 1.0 / (1 + next(scores)))  # the first is the best
    report = train(toy_dataset.root, tmp_path / "run", SHORT)
    log = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert report.best["step"] == 3
    model = tmp_path / "run" / "model"
    before = (model / "weights.safetensors").read_bytes()
    if lost:
        (model / lost).unlink()
    else:
        shutil.rmtree(model)
    again = train(toy_dataset.root, tmp_path / "run", SHORT)
    assert again.best["step"] == 3
    assert again.steps == 6
    assert (model / "weights.safetensors").read_bytes() == before
    assert (model / "config.json").exists()
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == log


def test_a_log_that_something_else_wrote_into_does_not_stop_a_run(toy_dataset: DatasetFolder, tmp_path: Path) -> None:
    train(toy_dataset.root, tmp_path / "run", SHORT)
    log = tmp_path / "run" / "metrics.jsonl"
    rows = log.read_bytes()
    log.write_bytes(rows + b'garbage}\n{}\n[1]\n\xff\xfe\n{"step": "x"}\n{"st')
    train(toy_dataset.root, tmp_path / "run", SHORT)
    assert log.read_bytes() == rows


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
