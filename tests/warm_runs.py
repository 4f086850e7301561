"""Runs of a stage, started and killed at a given moment, from a process that has done all of it once before.

Each line of the input is a run as JSON: `out`, `kind` (a format of simulate's audio, or "render"), `bank`, `num`,
`workers` and `kill_after` in seconds or null. Each line of the output is what became of it. Workers are forked, for the
same reason: to start Python and load the stage takes longer than the runs. The only argument is a bank to begin with.
"""

import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from curation.config import Recipe
from curation.render import render
from curation.simulate import simulate

RECIPE = Recipe(name="test", duration=0.5)
_SLACK = 5.0  # seconds in which workers end after their parent


def simulate_or_render(run: dict[str, Any]) -> None:
    if run["kind"] == "render":
        render(Path(run["out"]), workers=run["workers"])
    else:
        simulate(
            Path(run["bank"]),
            Path(run["out"]),
            recipe=RECIPE,
            num=run["num"],
            audio_format=run["kind"],
            workers=run["workers"],
        )


def outcome(run: dict[str, Any]) -> dict[str, Any]:
    begin = time.monotonic()
    child = os.fork()
    if child == 0:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        try:
            simulate_or_render(run)
        finally:
            sys.stderr.flush()
            os._exit(sys.exc_info()[0] is not None)
    if run["kill_after"] is not None:
        time.sleep(run["kill_after"])
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    seconds = time.monotonic() - begin
    return {"code": os.waitstatus_to_exitcode(status), "seconds": seconds, "orphans": not all_gone(child)}


def all_gone(group: int) -> bool:
    """Whether no process of a group is left after a while."""
    end = time.monotonic() + _SLACK
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.002)
    return False


def warm_up(bank: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("none", "wav", "shards"):
            simulate_or_render({"kind": kind, "bank": bank, "out": f"{folder}/{kind}", "num": 5, "workers": 1})
        simulate_or_render({"kind": "render", "out": f"{folder}/none", "workers": 1})


def main() -> None:
    warm_up(sys.argv[1])
    get_context = multiprocessing.get_context
    multiprocessing.get_context = lambda method=None: get_context("fork")  # type: ignore[assignment]
    for line in sys.stdin:
        sys.stdout.write(json.dumps(outcome(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
