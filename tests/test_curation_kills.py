"""A run that is killed at any moment is finished by the next to what an undisturbed one makes."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from small_bank import default_sounds, write_bank

from manifests.validate import validate

ROOT = Path(__file__).parents[1]
NUM = {"none": 1100, "wav": 140, "flac": 140, "shards": 140, "render": 140}  # two shards; of rendering, three tasks
MOMENTS = 6  # for each, before which a run has not ended
TRIES = 10 * MOMENTS
Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the bank and all datasets: side by side they note the same way from one to the other."""
    root = tmp_path_factory.mktemp("kills")
    write_bank(root / "bank", [sound for sound in default_sounds() if len(sound.samples) < 80_000])
    return root


@pytest.fixture(scope="module")
def run(folder: Path) -> Iterator[Run]:
    """What becomes of a run, in a process that is warm."""
    with subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "warm_runs.py"), str(folder / "bank")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout

        def outcome(kind: str, out: Path, *, num: int = 0, kill_after: float | None = None) -> dict[str, Any]:
            task = {"kind": kind, "out": str(out), "bank": str(folder / "bank"), "num": num or NUM[kind]}
            print(json.dumps({**task, "workers": 2, "kill_after": kill_after}), file=process.stdin, flush=True)
            return json.loads(process.stdout.readline())

        yield outcome
        process.stdin.close()


def content(out: Path) -> dict[str, bytes]:
    """All that lies in a dataset but the lock, hidden files too."""
    files = (path for path in out.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def begun(folder: Path, kind: str, name: str) -> Path:
    """Where a run is to write; of rendering a dataset of plans."""
    out = folder / name
    if kind == "render":
        shutil.copytree(folder / "plans", out)
    return out


@pytest.mark.parametrize("kind", ["none", "wav", "flac", "shards", "render"])
def test_killed_at_any_moment_the_next_run_ends_the_same(folder: Path, run: Run, kind: str) -> None:
    if kind == "render":
        assert run("none", folder / "plans", num=NUM["render"])["code"] == 0
    undisturbed = begun(folder, kind, f"{kind} undisturbed")
    whole = run(kind, undisturbed)
    assert whole["code"] == 0
    expected = content(undisturbed)
    assert validate(undisturbed, read_audio=kind != "none") == []
    moments, num_killed, latest = random.Random(kind), 0, whole["seconds"]
    for place in range(TRIES):
        if num_killed == MOMENTS:
            break
        out = begun(folder, kind, f"{kind} {place}")
        moment = moments.uniform(0.02, 0.98) * latest
        killed = run(kind, out, kill_after=moment)
        if killed["code"] == -signal.SIGKILL and content(out) != expected:
            num_killed += 1
        else:
            latest = moment  # runs differ in speed, with what else the machine does: this one had ended by then
        assert not killed["orphans"]
        assert run(kind, out)["code"] == 0
        assert content(out) == expected
        shutil.rmtree(out)
    assert num_killed == MOMENTS


def started(folder: Path, out: Path) -> "subprocess.Popen[str]":
    """The command itself, in a group of its own."""
    command = [sys.executable, str(ROOT / "cli.py"), "simulate", "--bank", str(folder / "bank"), "--out", str(out)]
    return subprocess.Popen(
        [*command, "--recipe", str(folder / "recipe.toml"), "--num", "140", "--workers", "2"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_files(process: "subprocess.Popen[str]", out: Path, count: int) -> None:
    end = time.monotonic() + 60
    while len(list(out.glob("audio/*/*"))) < count:
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.002)


@pytest.fixture(scope="module")
def by_command(folder: Path, run: Run) -> dict[str, bytes]:
    """What `flam-cli simulate` makes, undisturbed."""
    (folder / "recipe.toml").write_text("name = 'test'\nduration = 0.5\n")
    assert run("wav", folder / "by command")["code"] == 0
    return content(folder / "by command")


@pytest.mark.parametrize("count", [1, 105])
def test_the_command_itself_may_be_killed(folder: Path, by_command: dict[str, bytes], run: Run, count: int) -> None:
    out = folder / f"command {count}"
    with started(folder, out) as process:
        wait_for_files(process, out, count)
        process.kill()
    assert content(out) != by_command
    time.sleep(0.2)  # in which its workers end
    assert run("wav", out)["code"] == 0
    assert content(out) == by_command


def test_ctrl_c_ends_the_command_in_time_and_says_so(folder: Path, by_command: dict[str, bytes], run: Run) -> None:
    out = folder / "interrupted"
    with started(folder, out) as process:
        wait_for_files(process, out, 20)
        begin = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers, too
        _, told = process.communicate(timeout=30)
        assert time.monotonic() - begin < 5
    assert process.returncode == 130
    assert told.splitlines()[-1] == "flam-cli: interrupted; run the same command again to go on"
    assert "Traceback" not in told
    assert run("wav", out)["code"] == 0
    assert content(out) == by_command
