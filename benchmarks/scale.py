"""Large runs of `flam-cli simulate` with all cores: wall time, use of the cores, memory and disk. For simulate.py."""

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import engines

from curation.bank import Bank
from curation.config import Recipe
from curation.runner import available_cores
from curation.soundscapes import AudioFormat

say = engines.say
CLI = Path(__file__).parents[1] / "cli.py"


def large_runs(bank: Bank, recipe: Recipe, *, num: int, place: Path) -> dict[str, Any]:
    """`num` virtual soundscapes and a tenth of it as shards; a hundredth first, to compare the memory."""
    runs: list[tuple[AudioFormat, int]] = [("none", num // 100), ("none", num), ("shards", num // 10)]
    found = [large_run(bank, recipe, audio_format, count, place / "large") for audio_format, count in runs]
    return {"large_runs": found}


def large_run(bank: Bank, recipe: Recipe, audio_format: AudioFormat, num: int, out: Path) -> dict[str, Any]:
    """One run as a command."""
    cores = available_cores()
    command = [sys.executable, str(CLI), "simulate", "--bank", str(bank.root), "--out", str(out), "--num", str(num)]
    command += ["--audio", audio_format, "--recipe", recipe.name, "--workers", str(cores)]
    before, started = os.times(), time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    memory = Memory(process.pid)
    code = process.wait()
    wall, after = time.perf_counter() - started, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    if code:
        sys.exit(f"{' '.join(command)} ended with {code}")
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    shutil.rmtree(out)
    result = {
        "audio": audio_format,
        "num": num,
        "wall_s": round(wall, 1),
        "cpu_s": round(cpu, 1),
        "cores_used": round(cpu / wall / cores, 3),
        "disk_bytes_each": round(size / num),
        "worker_private_mb": memory.most_of_a_child(),
        "worker_private_curve_mb": memory.curve(),
    }
    say(
        f"{num} {audio_format}: {wall:.1f} s, {cpu:.1f} s CPU ({100 * cpu / wall / cores:.0f} % of {cores} cores), "
        f"{size / 1e6:.1f} MB on disk, a worker's private memory at most {result['worker_private_mb']} MB"
    )
    return result


class Memory:
    """Private memory of a process's children, sampled until it ends."""

    def __init__(self, pid: int) -> None:
        self.pid, self.samples = pid, list[int]()
        threading.Thread(target=self._watch, daemon=True).start()

    def most_of_a_child(self) -> int:
        """MB."""
        return max(self.samples, default=0)

    def curve(self) -> list[int]:
        """MB, ten points over the run."""
        count = len(self.samples)
        return [self.samples[min(k * count // 10, count - 1)] for k in range(10)] if count else []

    def _watch(self) -> None:
        while Path(f"/proc/{self.pid}").exists():
            found = [private_mb(child) for child in children(self.pid)]
            if found:
                self.samples.append(max(found))
            time.sleep(0.5)


def children(pid: int) -> list[int]:
    """Ids of a process's children."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii")
    except OSError:
        return []
    return [int(word) for word in text.split()]


def private_mb(pid: int) -> int:
    """What only this process has in memory and cannot be read again from a file: the bank's pages can."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty")) // 1024
