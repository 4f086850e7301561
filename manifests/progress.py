"""Progress of a stage on stderr with the time left: a bar on a terminal, a line now and then in a log."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

_LOG_EVERY_SECONDS = 10.0
_bars: list[Progress] = []  # one at a time: a second on the same lines would flicker


@contextlib.contextmanager
def progress(description: str, total: int, *, done: int = 0, shown: bool = True) -> Iterator[Callable[..., None]]:
    """Show how far a stage is. Yields `advance(count=1, note="")`; `note` is shown beside the bar.

    Args:
        description: what is being counted, a few words.
        total: how many there are.
        done: how many of them an earlier run had finished.
        shown: or else nothing is: of several processes, one speaks for all.
    """
    if _bars or not shown:
        yield _show_nothing
    elif sys.stderr.isatty():
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
        )
        with Progress(*columns, console=Console(stderr=True), expand=True) as bar:
            _bars.append(bar)
            try:
                yield _bar_advance(bar, bar.add_task(description, total=total, completed=done, note=""))
            finally:
                _bars.pop()
    else:
        yield _LogLines(description, total, done)


def _show_nothing(count: int = 1, note: str = "") -> None:
    """Within another stage's progress, or beside another process."""


def _bar_advance(bar: Progress, task: TaskID) -> Callable[..., None]:
    def advance(count: int = 1, note: str = "") -> None:
        bar.advance(task, count)
        if note:
            bar.update(task, note=note)

    return advance


class _LogLines:
    def __init__(self, description: str, total: int, done: int) -> None:
        self.description, self.total, self.done = description, total, done
        self.first_done, self.started, self.shown = done, time.monotonic(), time.monotonic()

    def __call__(self, count: int = 1, note: str = "") -> None:
        self.done += count
        now = time.monotonic()
        if now - self.shown < _LOG_EVERY_SECONDS and self.done < self.total:
            return
        self.shown = now
        rate = (self.done - self.first_done) / max(now - self.started, 1e-9)
        left = (self.total - self.done) / rate if rate else float("inf")
        sys.stderr.write(f"{self.description} {self.done}/{self.total}, {left:.0f} s left {note}".rstrip() + "\n")
        sys.stderr.flush()
