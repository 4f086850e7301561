"""The stage that makes soundscapes: plans -> audio and rows, shard by shard.

    DATA/audio/00000/00000042.wav     each written under another name and renamed
    DATA/soundscapes/00000.parquet    written last: a shard is complete if it and all its audio are there

A soundscape depends on the bank, the recipe, the seed and its own number only. So a run that was
interrupted, has other workers or makes more soundscapes continues with the same files.
"""

import contextlib
import gc
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curation.bank import Bank
from curation.card import write_card
from curation.catalogue import Catalogue
from curation.config import Recipe
from curation.runner import available_cores, run_tasks
from curation.soundscapes import AudioFormat, Engine, Job, Made, Soundscapes, audio_path, job_info
from manifests.audio import Recording
from manifests.embedded import ShardWriter
from manifests.errors import FlamError
from manifests.schema import SCHEMA_VERSION, SPLITS, Soundscape, Split
from manifests.store import DatasetFolder, claim, locked, replacing, write_audio, write_rows

# Of soundscapes whose labels are measured before any of their audio is mixed: memory holds their processed sounds
BATCH_SECONDS = 200
_OWN_AUDIO = re.compile(r"(?:new-)?([0-9]{8,})\.(?:wav|flac)")
_TEMPORARY = re.compile(r"\..+\.[0-9]+\.tmp")  # of manifests.store


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """A task: soundscapes `first` to `stop` of a job."""

    job: Job
    out: Path
    index: int
    first: int
    stop: int

    @property
    def size(self) -> int:
        """How many soundscapes it has."""
        return self.stop - self.first

    @property
    def audio_names(self) -> set[str]:
        """Its audio files."""
        if self.job.audio_format in ("none", "shards"):
            return set()
        return {Path(audio_path(i, self.job)).name for i in range(self.first, self.stop)}


@dataclass(kw_only=True, slots=True)
class SimulateReport:
    """What a run made, for the user."""

    num_soundscapes: int  # in the dataset now
    num_new: int = 0
    num_events: int = 0  # in the new ones, as the next two
    num_inaudible: int = 0  # planned, but nothing of them rose above the recipe's threshold
    num_masked: int = 0  # planned, but masked by others more than the recipe allows
    num_scaled: int = 0  # soundscapes that would have clipped
    splits: Counter[str] = field(default_factory=Counter)  # of the new soundscapes
    missing_splits: list[str] = field(default_factory=list)  # wanted; the bank can't serve them
    num_too_short: int = 0  # foreground clips shorter than two fades, never used


def simulate(  # noqa: PLR0913 (the options of a command)
    bank_dir: Path,
    out: Path,
    *,
    recipe: Recipe,
    num: int,
    seed: int = 0,
    engine: Engine = "mix",
    audio_format: AudioFormat = "wav",
    split: Split | None = None,
    workers: int | None = None,
) -> SimulateReport:
    """Make soundscapes 0 to `num` - 1 in the dataset folder `out`, those that it does not hold yet.

    Args:
        bank_dir: a finished sound bank.
        out: the dataset folder; new, or begun with just these settings.
        recipe: what soundscapes are like.
        num: how many the dataset is to have; more than before makes it grow.
        seed: of all random draws.
        engine: "mix", or "scaper" for the reference.
        audio_format: "wav" or "flac" files, or "shards" for WAV inside the Parquet files, all 16 bits; or "none" for
            plans and labels alone, of which `curation.render` makes the same audio later.
        split: put all soundscapes there, instead of drawing their splits by the recipe's shares.
        workers: processes; all cores if left out.
    """
    bank = Bank.open(bank_dir)
    catalogue = Catalogue(bank.clips, sample_rate=bank.sample_rate, recipe=recipe)
    shares = catalogue.shares(split)
    job = Job(
        bank_dir=bank_dir,
        bank_fingerprint=bank.fingerprint,
        recipe=recipe,
        seed=seed,
        engine=engine,
        audio_format=audio_format,
        split=split,
    )
    report = SimulateReport(num_soundscapes=0, num_too_short=catalogue.num_too_short)
    if split is None:
        report.missing_splits = [name for name in SPLITS if getattr(recipe.split, name) > 0 and name not in shares]
    with _disk_errors(out):
        _check_out(DatasetFolder(out))
    with _disk_errors(out), locked(out, "flam-cli simulate"):
        _claim(job, out, bank)
        _run(job, out, num, workers=workers or available_cores(), report=report)
        write_card(DatasetFolder(out))
    return report


def _run(job: Job, out: Path, num: int, *, workers: int, report: SimulateReport) -> None:
    folder = DatasetFolder(out)
    _remove_temporary(folder)
    shards = [_shard(job, folder, first, num) for first in range(0, num, job.shard_size)]
    open_shards = [shard for shard in shards if not _is_finished(folder, shard)]
    sizes = [shard.size for shard in open_shards]
    results = run_tasks(
        render_shard,
        open_shards,
        workers=workers,
        description="soundscapes",
        sizes=sizes,
        done=sum(shard.size for shard in shards) - sum(sizes),
    )
    for made in results:
        report.num_new += made.num_new
        report.num_events += made.num_events
        report.num_inaudible += made.num_inaudible
        report.num_masked += made.num_masked
        report.num_scaled += made.num_scaled
        report.splits += made.splits
    indices = (int(path.stem) for path in folder.soundscape_shards())
    report.num_soundscapes = sum(_num_rows(folder, index) for index in indices)


def render_shard(shard: Shard) -> SimulateReport:
    """Write the audio of a shard, and its rows last; what this made."""
    soundscapes, folder = _opened(shard.job), DatasetFolder(shard.out)
    report = SimulateReport(num_soundscapes=shard.size, num_new=shard.size)
    path = folder.soundscape_shard(shard.index)
    made = (_counted(soundscapes, index, report) for index in range(shard.first, shard.stop))
    with _without_garbage_collection() if shard.job.engine == "mix" else contextlib.nullcontext():
        if shard.job.audio_format == "none":
            write_rows(path, [one.row for one in made], Soundscape)
        elif shard.job.audio_format == "shards":
            with replacing(path) as temporary, contextlib.closing(ShardWriter(temporary)) as writer:
                for one in _in_batches(made):
                    writer.add(one.row, one.mixture.fill)
        else:
            write_rows(path, _with_files(_in_batches(made), folder, shard), Soundscape)
    return report


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """A shard's many rows are in no cycles, nor is what they are made from: looking for some takes 3 % of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _in_batches(made: Iterator[Made]) -> Iterator[Made]:
    """Labels of a few soundscapes before the audio of any: what either needs stays in the processor's cache."""
    batch, seconds = list[Made](), 0.0
    for one in made:
        batch.append(one)
        seconds += one.row.duration
        if seconds >= BATCH_SECONDS:
            yield from batch
            batch, seconds = [], 0.0
    yield from batch


def _counted(soundscapes: Soundscapes, index: int, report: SimulateReport) -> Made:
    made = soundscapes.make(index)
    report.num_events += len(made.row.events)
    report.num_inaudible += made.row.num_inaudible or 0
    report.num_masked += made.row.num_masked or 0
    report.num_scaled += (made.row.mix_gain_db or 0.0) < 0
    report.splits[made.row.split] += 1
    return made


def _with_files(made: Iterator[Made], folder: DatasetFolder, shard: Shard) -> list[Soundscape]:
    """The rows, once all their audio files are on the disk."""
    audio = _audio_folder(folder, shard)
    audio.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(audio, shard)
    rows: list[Soundscape] = []

    def sounds() -> Iterator[tuple[Path, Recording]]:
        for one in made:
            rows.append(one.row)
            yield folder.root / one.row.audio_path, one.recording()

    write_audio(sounds())
    return rows


_OPEN: list[Soundscapes] = []


def _opened(job: Job) -> Soundscapes:
    """Opened once in each worker, not once a shard. A recipe holds a dict: it cannot be the key of a cache."""
    if not _OPEN or _OPEN[0].job != job:
        _OPEN[:] = [Soundscapes(job)]
    return _OPEN[0]


def _claim(job: Job, out: Path, bank: Bank) -> None:
    path = DatasetFolder(out).info_path
    info = job_info(job, bank)
    differs = "use another folder, or the settings that this one was begun with"
    content: dict[str, Any] = {"schema_version": SCHEMA_VERSION, **info}
    # where the bank is may change: it is known by its fingerprint
    noted = {"bank": os.path.relpath(job.bank_dir, out), "bank_rejects": bank.rejects_by_reason()}
    claim(path, content, differs=differs, noted=noted)


def _check_out(folder: DatasetFolder) -> None:
    """A folder without dataset.json must be empty: whatever is in it is not ours to replace or to add to."""
    if folder.info_path.exists():
        return
    if folder.soundscape_shards():
        raise FlamError(
            f"{folder.root} holds soundscapes but no {folder.info_path.name} that says what they were made from; "
            "restore that file or use another --out"
        )
    with contextlib.suppress(FileNotFoundError):
        for path in sorted(folder.root.iterdir()):
            if path.name != ".lock" and not _TEMPORARY.fullmatch(path.name):
                raise FlamError(f"{folder.root} is no dataset and not empty ({path.name}); use another --out")


def _shard(job: Job, folder: DatasetFolder, first: int, num: int) -> Shard:
    """The shard that begins with `first`; as long as it was, if more soundscapes than now were made."""
    index = first // job.shard_size
    stop = max(min(first + job.shard_size, num), first + _num_rows(folder, index))
    return Shard(job=job, out=folder.root, index=index, first=first, stop=stop)


def _is_finished(folder: DatasetFolder, shard: Shard) -> bool:
    """Whether all rows and audio files are there. A file that was lost is made again with its shard."""
    if _num_rows(folder, shard.index) < shard.size:
        return False
    if not shard.audio_names:
        return True
    try:
        with os.scandir(_audio_folder(folder, shard)) as entries:
            there = {entry.name for entry in entries if entry.is_file() and entry.stat().st_size > 0}
    except FileNotFoundError:
        return False
    return shard.audio_names <= there


def _audio_folder(folder: DatasetFolder, shard: Shard) -> Path:
    return folder.root / "audio" / f"{shard.index:05d}"


def _remove_leftovers(audio: Path, shard: Shard) -> None:
    """Of a killed run: soundscapes of this shard that are not finished, or were of a longer one. Nothing else."""
    for path in list(audio.iterdir()):
        own = _OWN_AUDIO.fullmatch(path.name)
        if own and int(own[1]) // shard.job.shard_size == shard.index and path.name not in shard.audio_names:
            path.unlink()


def _num_rows(folder: DatasetFolder, index: int) -> int:
    """How many soundscapes a shard holds: 0 if it is missing or damaged, to be made again."""
    try:
        return int(pq.read_metadata(folder.soundscape_shard(index)).num_rows)
    except (FileNotFoundError, pa.ArrowInvalid):
        return 0


def _remove_temporary(folder: DatasetFolder) -> None:
    """Leftovers of a killed run. The folder is locked: nobody is writing them."""
    for place in (folder.root, folder.root / "soundscapes"):
        for path in place.glob(".*.tmp"):
            if _TEMPORARY.fullmatch(path.name):
                path.unlink()


@contextlib.contextmanager
def _disk_errors(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise FlamError(
            f"cannot write to {out}: {reason}; finished shards are kept, run the same command "
            "again once there is space and permission"
        ) from None
