"""Run the tasks of a stage, here or in several processes: progress, one Ctrl-C, no orphans."""

import contextlib
import itertools
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from manifests.errors import FlamError
from manifests.progress import progress

Task = TypeVar("Task")
Result = TypeVar("Result")

_QUEUED_PER_WORKER = 2  # no worker waits, and memory does not grow with the number of tasks
_FREED_MEMORY_KEPT = str(64 << 20)  # bytes
_WORKER_ENVIRONMENT = {
    # NumPy's libraries read these at import: each worker with all cores would be in the way
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    # glibc gives an array of a megabyte back to the system as soon as it is freed, and the page
    # faults of the next one cost as much as the arithmetic on it
    "MALLOC_TRIM_THRESHOLD_": _FREED_MEMORY_KEPT,
    "MALLOC_MMAP_THRESHOLD_": _FREED_MEMORY_KEPT,
    # after Ctrl-C this process ends at once; Python's resource tracker then frees what it left, and would say so
    "PYTHONWARNINGS": "ignore:resource_tracker:UserWarning",
}


def available_cores() -> int:
    """How many cores this process may use, perhaps fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_tasks(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    *,
    workers: int,
    description: str,
    sizes: Sequence[int] | None = None,
    done: int = 0,
) -> Iterator[Result]:
    """The result of each task, as it is finished: in order with one worker, in any order with more.

    The first error ends the rest. KeyboardInterrupt, an error and closing the iterator stop the
    workers at once, whatever they do: a task must leave nothing half-written that looks finished.

    Args:
        function: importable by its name, since workers start fresh; tasks and results are
            pickled.
        tasks: what to call it with.
        workers: number of processes; 1 runs here.
        description: what is being counted, for the progress display.
        sizes: how much each task counts there; 1 each if left out.
        done: how much an earlier run had finished.
    """
    weights = list(sizes) if sizes is not None else [1] * len(tasks)
    run = _run_here if workers == 1 or len(tasks) <= 1 else _run_in_processes
    with progress(description, done + sum(weights), done=done) as advance:
        for index, result in run(function, tasks, workers):
            advance(weights[index])
            yield result


def _run_here(function: Callable[[Task], Result], tasks: Sequence[Task], _workers: int) -> Iterator[tuple[int, Result]]:
    for index, task in enumerate(tasks):
        yield index, function(task)


def _run_in_processes(
    function: Callable[[Task], Result], tasks: Sequence[Task], workers: int
) -> Iterator[tuple[int, Result]]:
    others = set(multiprocessing.active_children())
    with _worker_environment():
        pool = ProcessPoolExecutor(
            min(workers, len(tasks)),
            multiprocessing.get_context("spawn"),
            initializer=_start_worker,
        )
        finished = False
        try:
            yield from _results(pool, function, tasks, workers)
            finished = True
        except BrokenProcessPool:
            raise FlamError(
                "a worker process died, killed by the system or out of memory; what was finished "
                "is kept: run the same command again, with fewer --workers if memory is short"
            ) from None
        finally:
            if not finished:
                _stop(pool, others)
            pool.shutdown()


def _results(
    pool: ProcessPoolExecutor,
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    workers: int,
) -> Iterator[tuple[int, Result]]:
    waiting: dict[Future[Result], int] = {}
    remaining = iter(enumerate(tasks))
    while True:
        for index, task in itertools.islice(remaining, _QUEUED_PER_WORKER * workers - len(waiting)):
            waiting[pool.submit(_call, function, task)] = index
        if not waiting:
            return
        for future in wait(waiting, return_when=FIRST_COMPLETED).done:
            yield waiting.pop(future), future.result()


def _call(function: Callable[[Task], Result], task: Task) -> Result:
    try:
        return function(task)
    except FlamError as error:
        # Its subclasses may take more than the text: the parent could not unpickle them.
        raise FlamError(str(error)) from None


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, and end with it: once killed, it cannot stop its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)


def _stop(pool: ProcessPoolExecutor, others: set[multiprocessing.process.BaseProcess]) -> None:
    pool.shutdown(wait=False, cancel_futures=True)
    for process in multiprocessing.active_children():
        if process not in others:
            process.terminate()


@contextlib.contextmanager
def _worker_environment() -> Iterator[None]:
    """What new processes inherit; nothing that the user has set is changed."""
    added = {name: value for name, value in _WORKER_ENVIRONMENT.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
