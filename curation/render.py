"""Audio of a virtual dataset, from its plans: when it is read, or into files."""

import dataclasses
import functools
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from curation.bank import Bank
from curation.config import Recipe
from curation.runner import available_cores, run_tasks
from curation.soundscapes import Job, Soundscapes
from manifests.audio import Recording
from manifests.errors import FlamError
from manifests.schema import Soundscape, Split
from manifests.store import DatasetFolder, inside, locked, read_json, read_rows, write_audio

_CHUNK = 50  # soundscapes a task


class Renderer:
    """Makes the audio of a dataset's soundscapes again, sample for sample. Call it with a row."""

    def __init__(self, job: Job) -> None:
        self._soundscapes = Soundscapes(job)
        self._one_at_a_time = threading.Lock()  # training reads ahead in a thread while it validates

    @classmethod
    def open(cls, data: Path, bank: Path | None = None) -> "Renderer":
        """For the dataset in a folder; raises FlamError if its bank is not found or not the same.

        Args:
            data: the dataset folder.
            bank: its sound bank; if left out, the place noted in dataset.json.
        """
        return cls(dataset_job(data, bank))

    def __call__(self, row: Soundscape) -> Recording:
        """The soundscape's audio; raises FlamError if it is not what the row describes."""
        if not row.soundscape_id.isdecimal():
            raise FlamError(f"soundscape {row.soundscape_id!r} was not made by `flam-cli simulate`: it has no audio")
        with self._one_at_a_time:
            made = self._soundscapes.make(int(row.soundscape_id))
            if not _alike(_heard(made.row), _heard(row)):
                raise FlamError(
                    f"soundscape {row.soundscape_id} comes out other than its row says: the row was changed, or "
                    "another version of flam-cli made it; simulate the dataset again"
                )
            return made.recording()


@dataclass(frozen=True, kw_only=True, slots=True)
class RenderReport:
    """What `render` did."""

    num_rendered: int
    num_there: int  # files that were there before


def render(
    data: Path,
    *,
    bank: Path | None = None,
    split: Split | None = None,
    num: int | None = None,
    workers: int | None = None,
) -> RenderReport:
    """Write the audio of a virtual dataset's soundscapes to the places that their rows name; what is there stays.

    Args:
        data: the dataset folder.
        bank: its sound bank; if left out, the place noted in dataset.json.
        split: only soundscapes of this split.
        num: only the first so many of these.
        workers: processes; all cores if left out.
    """
    folder = DatasetFolder.open(data)
    if not folder.is_virtual():
        raise FlamError(f"{data} has its audio already: only a dataset by `simulate --audio none` is rendered later")
    job = dataset_job(data, bank)
    with locked(data, "flam-cli render"):
        for left_over in (data / "audio").glob("*/new-*.wav"):  # by a killed run
            if left_over.stem.removeprefix("new-").isdecimal():
                left_over.unlink()
        chunks, num_there = _missing(folder, split, num)
        sizes = [len(chunk.places) for chunk in chunks]
        done = run_tasks(
            functools.partial(_render_chunk, job=job, data=data.resolve()),
            chunks,
            workers=workers or available_cores(),
            description="soundscapes",
            sizes=sizes,
            done=num_there,
        )
        for _ in done:
            pass
    return RenderReport(num_rendered=sum(sizes), num_there=num_there)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Chunk:
    """A task: some rows of a shard, by their places in it."""

    shard: Path
    places: list[int]


def _missing(folder: DatasetFolder, split: Split | None, num: int | None) -> tuple[list[_Chunk], int]:
    """What has no audio yet of the first `num` soundscapes of a split, and how many of them have."""
    chunks, num_there, left = list[_Chunk](), 0, math.inf if num is None else num
    for shard, rows in folder.soundscapes_by_shard():
        missing = []
        for place, row in enumerate(rows):
            if left and split in (None, row.split):
                left -= 1
                if inside(folder.root, row.audio_path, what="audio_path").is_file():
                    num_there += 1
                else:
                    missing.append(place)
        chunks += [
            _Chunk(shard=shard, places=missing[first : first + _CHUNK]) for first in range(0, len(missing), _CHUNK)
        ]
        if not left:
            break  # of a large dataset no more is read than asked for
    return chunks, num_there


def dataset_job(data: Path, bank: Path | None = None) -> Job:
    """What a dataset was made from, by its dataset.json."""
    path = DatasetFolder(data).info_path
    info = read_json(path)
    try:
        bank_dir = bank or (data / info["bank"])
        job = Job(
            bank_dir=bank_dir,
            bank_fingerprint=info["bank_fingerprint"],
            recipe=Recipe.model_validate(info["recipe"]),
            seed=info["seed"],
            engine=info["engine"],
            audio_format=info["audio_format"],
            split=info["split"],
        )
    except (KeyError, TypeError, ValidationError) as error:
        raise FlamError(f"{path} does not say what its soundscapes were made from ({error}); restore it") from None
    if not bank_dir.is_dir():
        raise FlamError(f"the bank of {data} is not at {bank_dir}; say where it is with --bank")
    return job


def banks_of(datasets: Sequence[Path], banks: Sequence[Path]) -> list[Path | None]:
    """Which of some banks each dataset was made from; None: none of them, so the place noted in its dataset.json.

    One bank for one dataset is taken at its word: that it does not fit is told when it is opened.
    """
    if len(datasets) == 1 and len(banks) == 1:
        return [banks[0]]
    places = {Bank.open(bank).fingerprint: bank for bank in banks}
    paths = [DatasetFolder(data).info_path for data in datasets]
    return [places.get(read_json(path).get("bank_fingerprint")) if path.exists() else None for path in paths]


def _render_chunk(chunk: _Chunk, *, job: Job, data: Path) -> None:
    state = chunk.shard.stat()
    renderer, rows = _opened(job), _rows(chunk.shard, state.st_mtime_ns, state.st_size)
    write_audio((data / rows[place].audio_path, renderer(rows[place])) for place in chunk.places)


@functools.lru_cache(maxsize=1)  # a worker's chunks are mostly of one shard
def _rows(shard: Path, _modified: int, _size: int) -> list[Soundscape]:
    return read_rows(shard, Soundscape)


_OPEN: list[tuple[Job, Renderer]] = []


def _opened(job: Job) -> Renderer:
    """Opened once in each worker. A recipe holds a dict: it cannot be the key of a cache."""
    if not _OPEN or _OPEN[0][0] != job:
        _OPEN[:] = [(job, Renderer(job))]
    return _OPEN[0][1]


_OF_SOUNDS = ("source_id", "source_start", "gain_db")
_OF_EVENTS = (*_OF_SOUNDS, "start", "num_samples", "pitch_semitones", "time_stretch", "tilt_db", "fade")
_OF_ALL = ("num_samples", "sample_rate", "mix_gain_db")


def _heard(row: Soundscape) -> list[object]:
    """What a row says, so far as it decides the audio: labels may have been mended since."""
    heard: list[object] = [getattr(event, name) for event in row.events for name in _OF_EVENTS]
    heard += [getattr(row.background, name, None) for name in _OF_SOUNDS]
    heard += [getattr(row, name) for name in _OF_ALL]
    for once in (row.room, row.microphone):
        heard += [None] if once is None else dataclasses.astuple(once)
    return heard


def _alike(one: list[object], other: list[object]) -> bool:
    """Equal; numbers that another machine computed, to the last digits only."""
    return len(one) == len(other) and all(
        math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-6) if isinstance(a, float) and isinstance(b, float) else a == b
        for a, b in zip(one, other, strict=True)
    )
