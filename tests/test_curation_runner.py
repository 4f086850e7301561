"""Tasks in this process and in workers: results, errors, a dead worker, Ctrl-C, a killed parent."""

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from curation.runner import run_tasks
from manifests.audio import AudioError
from manifests.errors import FlamError
from manifests.progress import progress

ROOT = Path(__file__).parents[1]


def square(number: int) -> int:
    return number * number


def fail_at_three(number: int) -> int:
    if number == 3:
        raise AudioError(Path("three.wav"), "no such file")
    return number


def die(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def blas_threads(_: int) -> str | None:
    return os.environ.get("OMP_NUM_THREADS")


@pytest.mark.parametrize("workers", [1, 2])
def test_every_task_gives_its_result_once(workers: int) -> None:
    results = run_tasks(square, list(range(20)), workers=workers, description="numbers")
    assert sorted(results) == [number * number for number in range(20)]


def test_no_tasks_is_no_work() -> None:
    assert list(run_tasks(square, [], workers=2, description="numbers")) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_for_the_user_comes_through_with_its_text(workers: int) -> None:
    with pytest.raises(FlamError, match=r"three\.wav: no such file"):
        list(run_tasks(fail_at_three, list(range(8)), workers=workers, description="numbers"))


def test_a_worker_that_is_killed_is_one_line() -> None:
    with pytest.raises(FlamError, match=r"worker process died.*run the same command again"):
        list(run_tasks(die, [1, 2, 3], workers=2, description="numbers"))


def test_each_worker_has_one_blas_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert set(run_tasks(blas_threads, [1, 2], workers=2, description="numbers")) == {"1"}
    assert "OMP_NUM_THREADS" not in os.environ


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_narrow_terminal_cuts_the_note_not_the_count(width: int) -> None:
    program = """
from manifests.progress import progress
with progress("training steps", 650, done=25) as advance:
    advance(note="47 clips/s, 0% waiting for data, loss 9.56, clip 3.76, frame 0.327, kind 0.455")
"""
    pid, terminal = pty.fork()
    if not pid:
        environment = {**os.environ, "COLUMNS": str(width), "TERM": "xterm"}
        os.execve(sys.executable, [sys.executable, "-c", program], environment)
    said = b""
    with contextlib.suppress(OSError):  # which ends it
        while part := os.read(terminal, 4096):
            said += part
    os.waitpid(pid, 0)
    line = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said.decode()).strip().splitlines()[-1]
    assert line.startswith("training steps")
    assert " 26/650 " in line
    assert "left" in line
    assert ("clips/s" in line) == (width > 60)
    assert len(line) <= width


def test_of_several_processes_one_shows_progress(capsys: pytest.CaptureFixture[str]) -> None:
    for shown in (False, True):
        with progress("steps", 2, shown=shown) as advance:
            advance(2, note="all of them")
        assert bool(capsys.readouterr().err) == shown


def test_progress_counts_sizes_and_earlier_work(capsys: pytest.CaptureFixture[str]) -> None:
    list(run_tasks(square, [1, 2], workers=1, description="numbers", sizes=[30, 20], done=50))
    assert "numbers 100/100" in capsys.readouterr().err


SLEEPERS = """
import os, sys, time
from curation.runner import run_tasks

def sleep(_):
    with open(sys.argv[1], "a") as file:
        file.write(f"{os.getpid()}\\n")
    time.sleep(60)

if __name__ == "__main__":
    try:
        list(run_tasks(sleep, range(9), workers=2, description="naps"))
    except KeyboardInterrupt:
        sys.exit(130)
"""


def start_sleepers(folder: Path) -> tuple[subprocess.Popen[bytes], list[int]]:
    script, pids = folder / "sleepers.py", folder / "pids"
    script.write_text(SLEEPERS)
    process = subprocess.Popen(
        [sys.executable, script, pids],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    while not pids.exists() or len(pids.read_text().split()) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    return process, [int(pid) for pid in pids.read_text().split()]


def all_gone(pids: list[int], *, within: float) -> bool:
    end = time.monotonic() + within
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for the workers in /proc")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_ctrl_c_and_a_kill_end_the_workers_too_within_5_s(tmp_path: Path, sent: signal.Signals) -> None:
    process, workers = start_sleepers(tmp_path)
    if sent == signal.SIGINT:
        os.killpg(process.pid, sent)  # as a terminal does
    else:
        process.kill()
    assert process.wait(timeout=5) == (130 if sent == signal.SIGINT else -signal.SIGKILL)
    assert all_gone(workers, within=5)
