"""Runs of simulate on a disk that is full or read-only: a program, for its limits hold for a whole process.

    bad_disks.py limit ROOT       no file may be longer than a little
    bad_disks.py mount ROOT       ROOT/disk is a file system of its own, too small, then of few files, then read-only;
                                  to be run in its own mount namespace
    bad_disks.py user ROOT        not as root, in folders without the right to write

ROOT/bank is the bank. Each line of the output is one case as JSON: what was told, and which shards were there then. Its
dataset, finished by the same command once all is well again, is in ROOT/MODE/CASE.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from curation.config import Recipe
from curation.simulate import simulate
from manifests.errors import FlamError
from manifests.store import DatasetFolder

RECIPE = Recipe(name="test", duration=0.5)
NUM = {"none": 1100, "wav": 140, "flac": 140, "shards": 140}  # a shard and a part of one
WHOLE_SHARD = {"none": 1000, "wav": 100, "flac": 100, "shards": 100}
NOBODY = 65534


def attempt(bank: Path, out: Path, kind: Any, num: int, workers: int = 1) -> str | None:
    """What was told of it; None if all went well."""
    try:
        simulate(bank, out, recipe=RECIPE, num=num, audio_format=kind, workers=workers)
    except FlamError as error:
        return str(error)
    return None


def report(case: str, told: str | None, out: Path) -> None:
    shards = [path.name for path in DatasetFolder(out).soundscape_shards()]
    temporary = [path.name for path in out.rglob(".*") if path.name != ".lock"]
    found = {"case": case, "told": told, "shards": shards, "temporary": temporary}
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


def limit(root: Path) -> None:
    for kind, num in NUM.items():
        out = root / "limit" / kind
        assert attempt(root / "bank", out, kind, WHOLE_SHARD[kind]) is None
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, resource.RLIM_INFINITY))
        told = attempt(root / "bank", out, kind, num)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        report(kind, told, out)
        assert attempt(root / "bank", out, kind, num) is None


def mount(root: Path) -> None:
    disk = root / "disk"
    disk.mkdir()
    _mount("-t", "tmpfs", "-o", "size=64m", "none", str(disk))
    for kind, num in NUM.items():
        reference = disk / "reference"
        assert attempt(root / "bank", reference, kind, num) is None
        sizes = _pages(reference / "soundscapes" / "00001.parquet") + _pages(reference / "audio" / "00001")
        size = _pages(reference) - sizes // 2
        shutil.rmtree(reference)
        _broken(root, kind, kind, f"size={size}", "size=64m")
    _broken(root, "two workers", "shards", f"size={size}", "size=64m", workers=2)
    _broken(root, "few files", "wav", "nr_inodes=130", "nr_inodes=10000")
    assert attempt(root / "bank", disk / "read-only", "none", WHOLE_SHARD["none"]) is None
    _broken(root, "read-only", "none", "ro", "rw")
    _broken(root, "read-only from the start", "none", "ro", "rw")


def _broken(root: Path, case: str, kind: str, bad: str, good: str, workers: int = 1) -> None:
    out = root / "disk" / case
    _mount("-o", f"remount,{bad}", str(root / "disk"))
    told = attempt(root / "bank", out, kind, NUM[kind], workers)
    _mount("-o", f"remount,{good}", str(root / "disk"))
    report(case, told, out)
    assert attempt(root / "bank", out, kind, NUM[kind]) is None
    shutil.copytree(out, root / "mount" / case)
    shutil.rmtree(out)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def _pages(path: Path) -> int:
    """Bytes of a file or of all in a folder, in whole pages, as such a file system counts them."""
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return sum(-(-one.stat().st_size // 4096) * 4096 for one in files)


def user(root: Path) -> None:
    started, empty = root / "user" / "read-only", root / "user" / "read-only from the start"
    assert attempt(root / "bank", started, "none", WHOLE_SHARD["none"]) is None
    empty.mkdir()
    folders = [started, started / "soundscapes", empty]
    for out in (started, empty):
        _set_mode(0o555, folders)
        told = _as_nobody(lambda out=out: attempt(root / "bank", out, "none", NUM["none"]))  # type: ignore[misc]
        report(out.name, told, out)
        _set_mode(0o755, folders)
        assert attempt(root / "bank", out, "none", NUM["none"]) is None


def _set_mode(mode: int, folders: list[Path]) -> None:
    for folder in folders:
        folder.chmod(mode)


def _as_nobody(function: Callable[[], str | None]) -> str | None:
    """What it returns in a process that is not root's."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        if os.getuid() == 0:
            os.setuid(NOBODY)
        os.write(writing, json.dumps(function()).encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        told: str | None = json.loads(pipe.read())
    return told


if __name__ == "__main__":
    {"limit": limit, "mount": mount, "user": user}[sys.argv[1]](Path(sys.argv[2]))
