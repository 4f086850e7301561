"""Several processes against one: losses, gradients, and whole runs."""

import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_toy_dataset
from safetensors.torch import load_file
from test_training_run_folder import wait_for_step

from training import objective
from training.config import ModelConfig, TrainConfig
from training.loop import train
from training.recipe import load_config

ROOT = Path(__file__).parents[1]
TINY: dict[str, Any] = {
    "channels": (16, 8, 8, 8),
    "width": 16,
    "num_layers": 1,
    "num_heads": 2,
    "text": "hash",
    "dropout": 0.0,
    "kind_dropout": 0.0,
}
FLAM = load_config("flam").model_dump(exclude_unset=True, exclude={"model"})
OBJECTIVES: dict[str, dict[str, Any]] = {
    "finelap": {},
    "ring": {"exchange": "ring"},
    "infonce": {"clip_loss": "infonce"},
    "flam": {**FLAM, "model": {"frame_scale": "text"}},
    "flam-ring": {**FLAM, "exchange": "ring", "model": {"frame_scale": "text"}},
    "frame alone": {"clip_weight": 0.0, "kind_weight": 0.0},
    "few texts": {},
    "few texts, ring": {**FLAM, "exchange": "ring", "model": {"frame_scale": "text"}},
}
# What one process of several computes, for each config: losses and summed gradients of the first step, from process 0
STEP = """
import dataclasses, json, sys
from pathlib import Path
import torch
from safetensors.torch import save_file
torch.set_num_threads(1)
from training import objective, parallel
from training.config import TrainConfig
from training.data import make_batch
from training.sources import Data, open_sources, sampler_of
from training.trainer import Trainer
objective.has_bf16 = lambda device: False
data, out = Path(sys.argv[1]), Path(sys.argv[2])
parallel.begin(torch.device("cpu"))
for name, content in json.loads(sys.argv[3]).items():
    config = TrainConfig.model_validate(content)
    sources, book = open_sources([Data(root=data)], config)
    batch = make_batch(sources, book, sampler_of(config, 4.0), 0, rank=parallel.rank(), world=parallel.world())
    if name.startswith("few"):  # than processes
        fewer = {part: getattr(batch, part)[:, :1] for part in ("told", "weights", "matches")}
        first = batch.sounding[:, 1] == 0
        fewer |= {part: getattr(batch, part)[first] for part in ("sounding", "labels", "masked")}
        batch = dataclasses.replace(batch, phrases=batch.phrases[:1], captions=batch.captions[:1], **fewer)
    trainer = Trainer(config, device="cpu")
    for norm in trainer.model.parameters():
        torch.nn.init.normal_(norm, std=0.1, generator=torch.Generator().manual_seed(norm.numel()))
    trainer.model.double().train()
    batch = dataclasses.replace(batch, waveforms=batch.waveforms.double())
    parts = objective.step_losses(trainer.model, batch, config)
    sum(part.weight * part.own for part in parts.values()).backward()
    parallel.add_gradients(list(trainer.model.parameters()))
    found = {f"loss {name}": parallel.total(part.own) for name, part in parts.items()}
    found |= {name: value.grad for name, value in trainer.model.named_parameters() if value.grad is not None}
    found |= {f"buffer {name}": value.clone() for name, value in trainer.model.named_buffers() if "running" in name}
    if not parallel.rank():
        save_file({name: value.contiguous() for name, value in found.items()}, out / f"{name}.safetensors")
parallel.end()
"""


def in_processes(world: int, program: str, *arguments: object) -> None:
    """Run a program in so many processes that find one another."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(world)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, *map(str, arguments)],
            cwd=ROOT,
            env={**environment, "RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]
    for process in processes:
        _, said = process.communicate(timeout=200)
        assert process.returncode == 0, said


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy_dataset(tmp_path_factory.mktemp("toy") / "data", train=12, valid=2, test=0).root


def config_of(objective: str, **settings: Any) -> TrainConfig:
    chosen = {**OBJECTIVES[objective], **settings}
    model = ModelConfig(**{**TINY, **chosen.pop("model", {})})
    chosen = {"batch_size": 6, **chosen}
    return TrainConfig(model=model, clip_duration=2.0, mix_share=0.5, num_phrases=7, **chosen)


@pytest.fixture(scope="module")
def steps(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """By the number of processes, a folder with the first step of each objective."""
    configs = json.dumps({name: config_of(name).model_dump(mode="json") for name in OBJECTIVES})
    found = {}
    for world in (1, 2, 4):
        found[world] = tmp_path_factory.mktemp(f"of-{world}")
        in_processes(world, STEP, data, found[world], configs)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", OBJECTIVES)
def test_losses_and_gradients_do_not_depend_on_the_number_of_processes(name: str, steps: dict[int, Path]) -> None:
    """Six clips by four processes: two hold one clip more than the others."""
    alone = load_file(steps[1] / f"{name}.safetensors")
    assert sum(key.startswith("loss") for key in alone) >= 1
    assert any(float(value.abs().max()) > 1e-3 for key, value in alone.items() if "head" in key)
    for world in (2, 4):
        together = load_file(steps[world] / f"{name}.safetensors")
        assert together.keys() == alone.keys()  # a weight without a gradient has none in any, and does not decay
        for key, value in together.items():
            assert float((value - alone[key]).abs().max()) <= 1e-6, (world, key)


@pytest.mark.slow
def test_clips_in_parts_do_not_depend_on_the_number_of_processes(data: Path, tmp_path: Path) -> None:
    """Five clips in two parts, by two processes: three of one, of which two come first, and two of the other."""
    for world, micro_batch in ((1, 3), (2, 2)):
        config = config_of("finelap", batch_size=5, micro_batch=micro_batch)
        (tmp_path / str(world)).mkdir()
        in_processes(world, STEP, data, tmp_path / str(world), json.dumps({"parts": config.model_dump(mode="json")}))
    alone, together = (load_file(tmp_path / str(world) / "parts.safetensors") for world in (1, 2))
    assert together.keys() == alone.keys()
    for key, value in together.items():
        assert float((value - alone[key]).abs().max()) <= 1e-6, key


TRAIN = """
import os, sys
from pathlib import Path
from training.config import TrainConfig
from training.loop import train
there = sorted(path.name for path in Path(sys.argv[2]).glob("checkpoints/step-*"))
print("attempt", os.environ["TORCHELASTIC_RESTART_COUNT"], "from", *there, file=sys.stderr)
train(Path(sys.argv[1]), Path(sys.argv[2]), TrainConfig.model_validate_json(sys.argv[3]))
"""


def torchrun(world: int, program: Path, *arguments: object, restarts: int = 2) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(world)]
    return subprocess.Popen(
        [*command, "--max-restarts", str(restarts), "--monitor-interval", "0.2", str(program), *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_after_a_killed_process_all_go_on_and_end_as_if_nothing_had_happened(data: Path, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("from training import loop\nloop._SAVE_EVERY = loop._LOG_EVERY = 10\n" + TRAIN)
    config = config_of("finelap", steps=60, warmup_steps=2, evaluate_every=60)
    whole = torchrun(2, program, data, tmp_path / "whole", config.model_dump_json())
    whole.communicate(timeout=250)
    assert whole.returncode == 0
    killed = torchrun(2, program, data, tmp_path / "cut", config.model_dump_json())
    wait_for_step(tmp_path / "cut" / "metrics.jsonl", 40, killed)
    victim = next(pid for pid in children_of(killed.pid) if b"RANK=1" in environment_of(pid).split(b"\0"))
    os.kill(victim, signal.SIGKILL)
    _, said = killed.communicate(timeout=250)
    assert killed.returncode == 0, said
    assert re.search(r"attempt 1 from step-0000000[345]0.safetensors", said)
    first, second = (
        load_file(tmp_path / name / "checkpoints" / "step-000000060.safetensors") for name in ("whole", "cut")
    )
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


CUT = """
from training import loop, objective
objective.has_bf16 = lambda device: False
loop._SAVE_EVERY = 20
learn = loop.Trainer.learn
def cut(self, batch):
    if self.step == int(sys.argv[4]):
        sys.exit(3)
    return learn(self, batch)
loop.Trainer.learn = cut
"""


@pytest.mark.slow
@pytest.mark.parametrize("worlds", [(2, 1), (1, 2)])
def test_a_run_of_some_processes_goes_on_with_another_number(
    worlds: tuple[int, int], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same steps on the same batches; in float32 their losses part slowly, by rounding."""
    monkeypatch.setattr(objective, "has_bf16", lambda device: False)
    program = tmp_path / "program.py"
    program.write_text("import sys\n" + CUT + TRAIN)
    config = config_of("finelap", steps=60, warmup_steps=2, evaluate_every=60, learning_rate=1e-4)
    for world, until in zip(worlds, (45, 1000), strict=True):
        part = torchrun(world, program, data, tmp_path / "run", config.model_dump_json(), until, restarts=0)
        _, said = part.communicate(timeout=250)
        assert (part.returncode == 0) == (until == 1000), said
        (last,) = (tmp_path / "run" / "checkpoints").glob("step-*")
        assert last.stem == f"step-{min(until // 20 * 20, 60):09d}"
    train(data, tmp_path / "alone", config)
    first, second = (
        [row for row in read_log(tmp_path / name / "metrics.jsonl") if "loss" in row] for name in ("run", "alone")
    )
    assert [row["step"] for row in first] == [row["step"] for row in second] == [20, 40, 60]
    for one, other in zip(first, second, strict=True):
        assert math.isclose(one["loss"], other["loss"], rel_tol=1e-3)


def read_log(path: Path) -> list[dict[str, Any]]:
    return [json.loads(row) for row in path.read_text().splitlines()]


def children_of(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=True)
    return [int(line) for line in found.stdout.split()]


def environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()
