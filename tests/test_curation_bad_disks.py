"""A disk that is full or read-only is one line; what was finished stays, and the next run ends the same."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bad_disks import NUM, RECIPE
from small_bank import default_sounds, write_bank

from curation.simulate import simulate
from manifests.validate import validate

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Of the bank and all datasets, where other users may look."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        write_bank(root / "bank", [sound for sound in default_sounds() if len(sound.samples) < 80_000])
        for kind, num in NUM.items():
            simulate(root / "bank", root / "whole" / kind, recipe=RECIPE, num=num, audio_format=kind, workers=1)
        yield root


def cases(folder: Path, mode: str, *before: str) -> dict[str, dict[str, Any]]:
    """What became of each case."""
    done = subprocess.run(
        [*before, sys.executable, str(ROOT / "tests" / "bad_disks.py"), mode, str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {case["case"]: case for case in found}


def content(out: Path) -> dict[str, bytes]:
    files = (path for path in out.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def check_finished(folder: Path, mode: str, case: str, kind: str) -> None:
    assert content(folder / mode / case) == content(folder / "whole" / kind)
    assert validate(folder / mode / case, read_audio=kind != "none") == []


def check_told(case: dict[str, Any], reason: str, shards: list[str]) -> None:
    assert reason in case["told"]
    assert "\n" not in case["told"]
    assert case["shards"] == shards
    assert case["temporary"] == []


def test_a_file_that_becomes_too_long(folder: Path) -> None:
    found = cases(folder, "limit")
    for kind in NUM:
        check_told(found[kind], "File too large", ["00000.parquet"])
        check_finished(folder, "limit", kind, kind)


def namespace() -> list[str]:
    """The command that starts others with mounts of their own, if that is allowed here."""
    if shutil.which("unshare") is None:
        return []
    for command in (["unshare", "--mount"], ["unshare", "--mount", "--map-root-user"]):
        tried = [*command, "mount", "-t", "tmpfs", "-o", "size=1m", "none", "/tmp"]
        if subprocess.run(tried, capture_output=True, check=False).returncode == 0:
            return command
    return []


def test_a_disk_that_is_full_or_read_only(folder: Path) -> None:
    command = namespace()
    if not command:
        pytest.skip("no file system may be mounted here")
    found = cases(folder, "mount", *command)
    for kind in NUM:
        check_told(found[kind], "No space left on device", ["00000.parquet"])
        check_finished(folder, "mount", kind, kind)
    assert "No space left on device" in found["two workers"]["told"]
    assert found["two workers"]["temporary"] == []
    check_finished(folder, "mount", "two workers", "shards")
    check_told(found["few files"], "No space left on device", ["00000.parquet"])
    check_finished(folder, "mount", "few files", "wav")
    for case, shards in (("read-only", ["00000.parquet"]), ("read-only from the start", [])):
        check_told(found[case], "Read-only file system", shards)
        check_finished(folder, "mount", case, "none")


def test_folders_without_the_right_to_write(folder: Path) -> None:
    found = cases(folder, "user")
    for case, shards in (("read-only", ["00000.parquet"]), ("read-only from the start", [])):
        check_told(found[case], "Permission denied", shards)
        check_finished(folder, "user", case, "none")
