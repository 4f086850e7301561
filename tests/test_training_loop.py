import contextlib
import dataclasses
import itertools
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import make_toy_dataset

from evaluation.evaluate import evaluate
from manifests.errors import FlamError
from manifests.schema import Phrase, Soundscape
from manifests.store import DatasetFolder, write_rows
from training import loop, trainer
from training.checkpoint import load_tensors
from training.config import ModelConfig, TrainConfig
from training.data import Batch
from training.detect import Detector
from training.loop import train
from training.model import FlamModel
from training.objective import Part
from training.sources import Data, sampler_of
from training.validation import Validation

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
    card = Detector.load(tmp_path / "run").card
    assert card.trained_clusters == ("high_tone", "hiss", "low_tone", "warble")
    assert card.word_trust == SHORT.word_trust
    told = json.loads((tmp_path / "run" / "model" / "training.json").read_text())
    assert TrainConfig.model_validate(told["config"]) == SHORT.model_copy(update={"online": False})
    assert told["data"][0]["soundscapes"] == 20
    assert told["measured"] == report.best
    readme = (tmp_path / "run" / "model" / "README.md").read_text()
    assert f"Step {report.best['step']} of 6" in readme
    assert f"| frame AUROC, all frames | {report.best['auroc_all']:.3f} |" in readme
    assert "high tone, hiss, low tone, warble" in readme


def test_a_run_that_gets_no_better_stops_and_stays_stopped(
    toy_dataset: DatasetFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.6, 0.7, 0.69, 0.7, 0.9])
    monkeypatch.setattr(Validation, "score", lambda self: next(scores))
    config = SHORT.model_copy(update={"patience": 2, "evaluate_every": 1, "steps": 40})
    report = train(toy_dataset.root, tmp_path / "run", config)
    assert report.steps == 4
    assert report.best["step"] == 4  # no better than step 2, and it learned longer
    assert train(toy_dataset.root, tmp_path / "run", config).steps == 4


def test_patience_without_validation_soundscapes_is_refused(tmp_path: Path) -> None:
    folder = make_toy_dataset(tmp_path / "data", train=4, valid=0, test=0)
    with pytest.raises(FlamError, match=r"patience waits .* has no valid soundscapes with events; leave it out"):
        train(folder.root, tmp_path / "run", SHORT.model_copy(update={"patience": 1}))


def test_a_loss_that_is_no_number_stops_the_run_and_names_its_soundscapes(
    toy_dataset: DatasetFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(toy_dataset.root, tmp_path / "whole", SHORT)
    monkeypatch.setattr(loop, "_SAVE_EVERY", 1)
    real = trainer.step_losses
    seen: list[list[str]] = []

    def spoilt(model: FlamModel, batch: Batch, config: TrainConfig) -> dict[str, Part]:
        parts = real(model, batch, config)
        seen.append(batch.soundscape_ids)
        return parts if len(seen) < 5 else {**parts, "clip": Part(1.0, parts["clip"].own * float("nan"))}

    monkeypatch.setattr(trainer, "step_losses", spoilt)
    with pytest.raises(FlamError, match=r"the \w+ loss is nan at step 4, on soundscapes") as raised:
        train(toy_dataset.root, tmp_path / "run", SHORT)
    assert all(name in str(raised.value) for name in seen[4])
    monkeypatch.setattr(trainer, "step_losses", real)
    assert train(toy_dataset.root, tmp_path / "run", SHORT).steps == whole.steps
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "run"))


def test_a_gradient_that_is_not_finite_stops_the_run_before_it_spoils_the_weights(
    toy_dataset: DatasetFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_SAVE_EVERY", 1)
    real = trainer.step_losses
    steps = itertools.count()

    def spoilt(model: FlamModel, batch: Batch, config: TrainConfig) -> dict[str, Part]:
        parts = real(model, batch, config)
        if next(steps) == 4:
            parts["clip"].own.register_hook(lambda gradient: gradient * float("inf"))
        return parts

    monkeypatch.setattr(trainer, "step_losses", spoilt)
    with pytest.raises(
        FlamError, match=r"the gradient's norm is (inf|nan) at step 4, on soundscapes 0000.*another --out"
    ):
        train(toy_dataset.root, tmp_path / "run", SHORT)
    monkeypatch.setattr(trainer, "step_losses", real)
    assert train(toy_dataset.root, tmp_path / "run", SHORT).steps == 6


@pytest.mark.parametrize("content", ["[1]", '{"data": 3}', '{"data": [{"x": 1}]}', '{"before": [2]}'])
def test_a_run_that_does_not_tell_its_data_is_no_start(
    content: str, toy_dataset: DatasetFolder, tmp_path: Path
) -> None:
    train(toy_dataset.root, tmp_path / "first", SHORT.model_copy(update={"steps": 0}))
    (tmp_path / "first" / "model" / "training.json").write_text(content)
    with pytest.raises(FlamError, match=r"training.json does not tell what the model was trained on"):
        train(toy_dataset.root, tmp_path / "second", SHORT, init=tmp_path / "first")
    assert not (tmp_path / "second").exists()


def test_a_sample_that_is_no_number_is_named_by_its_file(tmp_path: Path) -> None:
    folder = make_toy_dataset(tmp_path / "data", train=4, valid=0, test=0)
    path = sorted(folder.root.rglob("*.wav"))[1]
    samples, rate = soundfile.read(path, dtype="float32")
    samples[700] = np.nan
    soundfile.write(path, samples, rate, subtype="FLOAT")
    with pytest.raises(FlamError, match=rf"{path.name}: holds samples that are no number"):
        train(folder.root, tmp_path / "run", SHORT.model_copy(update={"clip_duration": 4.0}))


@pytest.mark.parametrize(
    ("losses", "stops"),
    [
        ((1, 1, 1, 1.4, 2.0, 2.05), None),  # no more than the half above 1, then 1.4
        ((1, 1, 1, 1.4, 2.2, 1), 4),
        ((1, 1, 1, 1.2, 1.7, 2.2), 5),  # grows fast, each by less than the half
        ((1, 9, 1, 1, 1, 1), None),  # too early to tell
        ((1, 1, 4, 1, 1, 4.4), None),  # as large as before
        ((1, 1, 1, 1, 1.6, 1), 4),
        ((9, 1, 1, 1, 1, 1.6), 5),  # 9 is long ago
    ],
)
def test_a_leap_is_more_than_the_most_of_late(
    losses: tuple[float, ...],
    stops: int | None,
    toy_dataset: DatasetFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trainer, "_SPIKE_FROM", 3)
    monkeypatch.setattr(trainer, "_SPIKE", 1.5)
    monkeypatch.setattr(trainer, "_LATELY", 2)
    monkeypatch.setattr(trainer, "_KEPT", 0.1)
    real, steps = trainer.step_losses, itertools.count()

    def told(model: FlamModel, batch: Batch, config: TrainConfig) -> dict[str, Part]:
        own = real(model, batch, config)["clip"].own
        return {"clip": Part(1.0, own * (losses[next(steps)] / own.detach()))}

    monkeypatch.setattr(trainer, "step_losses", told)
    if stops is None:
        assert train(toy_dataset.root, tmp_path / "run", SHORT).steps == 6
        return
    with pytest.raises(
        FlamError, match=rf"the clip loss is {losses[stops]}, where it was .*, at step {stops}, on sound"
    ):
        train(toy_dataset.root, tmp_path / "run", SHORT)


def test_a_loss_that_few_batches_have_is_no_leap(
    toy_dataset: DatasetFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of a set with labels is, beside many clips that have captions alone."""
    monkeypatch.setattr(trainer, "_SPIKE_FROM", 1)
    real = trainer.step_losses
    steps = itertools.count()
    totals: list[float] = []

    def mixed(model: FlamModel, batch: Batch, config: TrainConfig) -> dict[str, Part]:
        parts, rare = real(model, batch, config), next(steps) % 3 == 2
        clip = Part(parts["clip"].weight, parts["clip"].own * 0.001)
        found = {**parts, "clip": clip} if rare else {"clip": clip}
        totals.append(sum(part.weight * float(part.own.detach()) for part in found.values()))
        return found

    monkeypatch.setattr(trainer, "step_losses", mixed)
    train(toy_dataset.root, tmp_path / "run", SHORT)
    assert max(totals) > 100 * min(totals)


def test_a_loss_that_leaps_stops_the_run(
    toy_dataset: DatasetFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "_SPIKE_FROM", 3)
    monkeypatch.setattr(trainer, "_SPIKE", 1.5)
    real = trainer.step_losses
    steps = itertools.count()

    def leaping(model: FlamModel, batch: Batch, config: TrainConfig) -> dict[str, Part]:
        factor = 3.0 if next(steps) == 4 else 1.0
        return {name: Part(part.weight, part.own * factor) for name, part in real(model, batch, config).items()}

    monkeypatch.setattr(trainer, "step_losses", leaping)
    with pytest.raises(
        FlamError, match=r"the \w+ loss is \d+\.?\d*, where it was \d+\.?\d*, at step 4, on soundscapes"
    ):
        train(toy_dataset.root, tmp_path / "run", SHORT)


def test_a_run_begins_with_another_ones_model_on_new_labels(
    toy_dataset: DatasetFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(toy_dataset.root, tmp_path / "first", SHORT)
    begun = load_tensors(tmp_path / "first" / "model" / "weights.safetensors")[0]
    folder = make_toy_dataset(tmp_path / "data", train=6, valid=2, test=0)
    table = [
        dataclasses.replace(row, phrase=f"new {row.phrase}", cluster=f"new_{row.cluster}") for row in folder.phrases()
    ]
    write_rows(folder.phrases_path, table, Phrase)
    rows = [
        dataclasses.replace(
            row, events=[dataclasses.replace(event, cluster=f"new_{event.cluster}") for event in row.events]
        )
        for row in folder.soundscapes()
    ]
    write_rows(folder.soundscape_shard(0), rows, Soundscape)
    train(folder.root, tmp_path / "still", SHORT.model_copy(update={"steps": 0}), init=tmp_path / "first")
    assert same(begun, load_tensors(tmp_path / "still" / "model" / "weights.safetensors")[0])
    report = train(folder.root, tmp_path / "second", SHORT, init=tmp_path / "first")
    assert report.steps == 6
    card = Detector.load(tmp_path / "second").card
    assert {"new_hiss", "hiss"} <= set(card.trained_clusters)  # the first run's labels are no unheard ones
    assert {"new hiss", "hiss"} <= set(card.trained_phrases)
    told = json.loads((tmp_path / "second" / "model" / "training.json").read_text())
    assert [one["soundscapes"] for one in told["before"] + told["data"]] == [20, 6]
    assert (tmp_path / "second" / "model" / "README.md").read_text().count("| template |") == 2
    with pytest.raises(FlamError, match=r"config.json says init"):
        train(folder.root, tmp_path / "second", SHORT)
    other = SHORT.model_copy(update={"model": TINY.model_copy(update={"width": 32})})
    with pytest.raises(FlamError, match="a model of other settings"):
        train(folder.root, tmp_path / "third", other, init=tmp_path / "first")


def test_tensorboard_holds_what_the_log_holds(
    toy_dataset: DatasetFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setattr(loop, "_LOG_EVERY", 1)
    monkeypatch.setattr(loop, "_SAVE_EVERY", 2)
    config = SHORT.model_copy(update={"tensorboard": True, "evaluate_every": 6})
    real = trainer.Trainer.learn

    def cut(self: trainer.Trainer, batch: Batch) -> dict[str, float]:
        if self.step == 5:
            raise KeyboardInterrupt
        return real(self, batch)

    monkeypatch.setattr(trainer.Trainer, "learn", cut)
    with pytest.raises(KeyboardInterrupt):
        train(toy_dataset.root, tmp_path / "run", config)
    monkeypatch.setattr(trainer.Trainer, "learn", real)
    train(toy_dataset.root, tmp_path / "run", config)
    board = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    board.Reload()
    logged = [json.loads(row) for row in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    for name in ("loss", "auroc_all"):
        found = [(event.step, event.value) for event in board.Scalars(name)]
        expected = [(row["step"], row[name]) for row in logged if name in row]
        assert [step for step, _ in found] == [step for step, _ in expected]
        np.testing.assert_allclose([value for _, value in found], [value for _, value in expected], rtol=1e-6)


@pytest.mark.slow
def test_a_compiled_encoder_learns_what_the_plain_one_does(tmp_path: Path, toy_dataset: DatasetFolder) -> None:
    """In a process of its own, without the run-time checks of types, which torch.compile stumbles over."""
    program = (
        "import sys; from pathlib import Path; from torch._dynamo.utils import counters\n"
        "from training import loop, objective; from training.config import TrainConfig\n"
        "objective.has_bf16 = lambda device: False\n"
        "loop.train(Path(sys.argv[1]), Path(sys.argv[2]), TrainConfig.model_validate_json(sys.argv[3]))\n"
        "print(counters['stats'].get('calls_captured', 0))"
    )
    found = {}
    for compiled in (False, True):
        model = TINY.model_copy(update={"dropout": 0.0})
        config = SHORT.model_copy(update={"steps": 2, "model": model, "compile": compiled})
        run = tmp_path / str(compiled)
        command = [sys.executable, "-c", program, str(toy_dataset.root), str(run), config.model_dump_json()]
        done = subprocess.run(
            command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
        )
        assert (int(done.stdout) > 0) == compiled
        found[compiled] = weights(run)
    assert found[True].keys() == found[False].keys()
    for name, values in found[False].items():
        assert torch.allclose(values.double(), found[True][name].double(), atol=1e-4), name


def test_zero_steps_leave_an_untrained_model(toy_dataset: DatasetFolder, tmp_path: Path) -> None:
    report = train(toy_dataset.root, tmp_path / "run", SHORT.model_copy(update={"steps": 0}))
    assert report.steps == 0
    again = train(toy_dataset.root, tmp_path / "run", SHORT.model_copy(update={"steps": 0}))
    assert again.best == report.best
    assert "auroc_all" in again.best
    found = Detector.load(tmp_path / "run").activations(next((toy_dataset.root / "audio").rglob("*.wav")), ["hiss"])
    assert found.shape == (100, 1)


def test_a_set_that_lists_some_sounds_may_be_learned_from_beside_one_that_lists_all(
    toy_dataset: DatasetFolder, tmp_path: Path
) -> None:
    folder = make_toy_dataset(tmp_path / "data", train=6, valid=0, test=0)
    rows = [
        dataclasses.replace(
            row,
            annotation="open",
            events=[dataclasses.replace(event, cluster=f"new_{event.cluster}") for event in row.events],
        )
        for row in folder.soundscapes()
    ]
    write_rows(folder.soundscape_shard(0), rows, Soundscape)
    table = [dataclasses.replace(row, cluster=f"new_{row.cluster}") for row in folder.phrases()]
    write_rows(folder.phrases_path, table, Phrase)
    report = train([Data(root=toy_dataset.root), Data(root=folder.root)], tmp_path / "run", SHORT)
    assert {"hiss", "new_hiss"} <= set(Detector.load(tmp_path / "run").card.trained_clusters)
    assert "auroc_all" in report.best
    of_clips = SHORT.model_copy(update={"frame_weight": 0.0, "kind_weight": 0.0})
    alone = train(folder.root, tmp_path / "alone", of_clips)  # of frames it would learn a yes to everything
    assert "score" not in alone.best


def test_a_clip_is_at_least_two_frames_long(tmp_path: Path) -> None:
    assert sampler_of(SHORT, longest=0.03).clip_duration == pytest.approx(0.08)


def test_a_clip_is_no_longer_than_its_encoder_hears() -> None:
    coarse = SHORT.model_copy(update={"clip_duration": 10.0, "model": TINY.model_copy(update={"frame_mels": 16})})
    assert sampler_of(coarse, longest=10.0).clip_duration == pytest.approx(10.08)
    assert sampler_of(coarse, longest=10.0, heard=10.0).clip_duration == pytest.approx(9.92)


def test_the_progress_line_and_the_log_say_how_long_steps_wait_for_data(
    toy_dataset: DatasetFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = []

    @contextlib.contextmanager
    def shown(*_: object, **__: object) -> Iterator[Callable[..., None]]:
        yield lambda count=1, note="": notes.append(note)

    real = loop.batches

    def slow(*arguments: object, **options: object) -> Iterator[Batch]:
        for batch in real(*arguments, **options):
            time.sleep(0.4)
            yield batch

    monkeypatch.setattr(loop, "progress", shown)
    monkeypatch.setattr(loop, "batches", slow)
    train(toy_dataset.root, tmp_path / "run", SHORT)
    shares = [int(share) for note in notes for share in re.findall(r"clips/s, (\d+)% waiting for data", note)]
    assert len(shares) == 6
    assert min(shares[1:]) > 20
    logged = [row["data_wait"] for row in loop.read_log(tmp_path / "run" / "metrics.jsonl") if "data_wait" in row]
    assert len(logged) == 1
    assert 0.2 < logged[0] < 1


def test_pace_is_a_mean_over_steps() -> None:
    pace = loop._Pace(batch_size=8)
    pace.add(seconds=1.0, waited=0.5)
    pace.add(seconds=3.0, waited=0.0)
    assert pace.row() == {"clips_per_second": 4.0, "data_wait": 0.125}


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
    with pytest.raises(FlamError, match=r"the \w+ loss is (nan|inf) at step \d+, on soundscapes 0000000"):
        train(folder.root, tmp_path / "run", SHORT.model_copy(update={"learning_rate": 1e30, "steps": 20}))
