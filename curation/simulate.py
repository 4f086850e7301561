"""The stage that makes soundscapes: plans -> audio files and rows, shard by shard.

    DATA/audio/00000/00000042.wav     each written under another name and renamed
    DATA/soundscapes/00000.parquet    written last: a shard is complete if it and all its audio are there

A soundscape depends on the bank, the recipe, the seed and its own number only. So a run that was
interrupted, has other workers or makes more soundscapes continues with the same files.
"""

import contextlib
import functools
import os
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from curation.bank import Bank
from curation.card import write_card
from curation.config import Recipe
from curation.mix import Mixer, Mixture
from curation.plan import Catalogue, Plan, plan
from curation.runner import available_cores, run_tasks
from manifests.audio import write
from manifests.errors import FlamError
from manifests.schema import SCHEMA_VERSION, SPLITS, Soundscape, Split
from manifests.store import DatasetFolder, claim, locked, publish, read_json, write_rows

SHARD_SIZE = 100
_OWN_AUDIO = re.compile(r"(?:new-)?([0-9]{8,})\.(?:wav|flac)")
_TEMPORARY = re.compile(r"\..+\.[0-9]+\.tmp")  # of manifests.store
Engine = Literal["mix", "scaper"]
AudioFormat = Literal["wav", "flac"]


class _Renderer(Protocol):
    def mix(self, plan: Plan) -> Mixture: ...


@dataclass(frozen=True, kw_only=True)
class Job:
    """All that a soundscape depends on besides its number."""

    bank_dir: Path
    bank_fingerprint: str
    out: Path
    recipe: Recipe
    seed: int
    engine: Engine
    audio_format: AudioFormat
    split: Split | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """A task: soundscapes `first` to `stop` of a job."""

    job: Job
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
        return {f"{soundscape_id(i)}.{self.job.audio_format}" for i in range(self.first, self.stop)}


@dataclass(kw_only=True, slots=True)
class SimulateReport:
    """What a run made, for the user."""

    num_soundscapes: int  # in the dataset now
    num_new: int = 0
    num_events: int = 0  # in the new ones, as the next two
    num_inaudible: int = 0  # planned, but nothing of them rose above the recipe's threshold
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
        audio_format: "wav" or "flac", both 16 bits.
        split: put all soundscapes there, instead of drawing their splits by the recipe's shares.
        workers: processes; all cores if left out.
    """
    bank = Bank.open(bank_dir)
    catalogue = Catalogue(bank.clips, sample_rate=bank.sample_rate, recipe=recipe)
    shares = catalogue.shares(recipe, split)
    job = Job(
        bank_dir=bank_dir,
        bank_fingerprint=bank.fingerprint,
        out=out,
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
        _claim(job, bank)
        _run(job, num, workers=workers or available_cores(), report=report)
        write_card(DatasetFolder(out))
    return report


def _run(job: Job, num: int, *, workers: int, report: SimulateReport) -> None:
    folder = DatasetFolder(job.out)
    _remove_temporary(folder)
    shards = [_shard(job, folder, first, num) for first in range(0, num, SHARD_SIZE)]
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
        report.num_scaled += made.num_scaled
        report.splits += made.splits
    indices = (int(path.stem) for path in folder.soundscape_shards())
    report.num_soundscapes = sum(_num_rows(folder, index) for index in indices)


def render_shard(shard: Shard) -> SimulateReport:
    """Write the audio files of a shard, then its rows; what this made."""
    job, folder = shard.job, DatasetFolder(shard.job.out)
    bank, catalogue, renderer = _opened(job)
    audio = _audio_folder(folder, shard)
    audio.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(audio, shard)
    report = SimulateReport(num_soundscapes=shard.size, num_new=shard.size)
    rows, published = [], []
    with ThreadPoolExecutor(max_workers=1) as disk:  # it takes one file while the next is mixed
        for index in range(shard.first, shard.stop):
            planned = plan(index, catalogue=catalogue, recipe=job.recipe, seed=job.seed, split=job.split)
            mixture = renderer.mix(planned)
            row = soundscape_row(planned, mixture, job=job, sample_rate=bank.sample_rate)
            path = folder.root / row.audio_path
            temporary = path.with_name(f"new-{path.name}")
            write(temporary, mixture.samples, bank.sample_rate)
            published.append(disk.submit(publish, temporary, path))
            rows.append(row)
            report.num_events += len(row.events)
            report.num_inaudible += mixture.num_inaudible
            report.num_scaled += mixture.mix_gain_db < 0
            report.splits[row.split] += 1
    for future in published:
        future.result()
    write_rows(folder.soundscape_shard(shard.index), rows, Soundscape)
    return report


def soundscape_id(index: int) -> str:
    """The id of soundscape `index`."""
    return f"{index:08d}"


def soundscape_row(planned: Plan, mixture: Mixture, *, job: Job, sample_rate: int) -> Soundscape:
    """The row of a rendered soundscape. All of its sounds are known: its annotation is closed."""
    name = soundscape_id(planned.index)
    shard = planned.index // SHARD_SIZE
    licences = {event.licence for event in mixture.events} | {mixture.background.licence}
    return Soundscape(
        soundscape_id=name,
        split=planned.split,
        audio_path=f"audio/{shard:05d}/{name}.{job.audio_format}",
        duration=planned.num_samples / sample_rate,
        sample_rate=sample_rate,
        num_samples=planned.num_samples,
        annotation="closed",
        events=mixture.events,
        background=mixture.background,
        licences=sorted(licence for licence in licences if licence),
        seed=job.seed,
        recipe=job.recipe.name,
        engine=job.engine,
        mix_gain_db=mixture.mix_gain_db,
    )


@functools.lru_cache(maxsize=1)
def _opened(job: Job) -> tuple[Bank, Catalogue, _Renderer]:
    """Opened once in each worker, not once a shard."""
    bank = Bank.open(job.bank_dir)
    if bank.fingerprint != job.bank_fingerprint:
        raise FlamError(f"{job.bank_dir} has changed since this run began; run the command again")
    catalogue = Catalogue(bank.clips, sample_rate=bank.sample_rate, recipe=job.recipe)
    if job.engine == "mix":
        return bank, catalogue, Mixer(bank, job.recipe)
    from curation.scaper_engine import ScaperMixer  # seconds, and 100 MB

    return bank, catalogue, ScaperMixer(bank, job.recipe)


def _claim(job: Job, bank: Bank) -> None:
    path = DatasetFolder(job.out).info_path
    recipe = job.recipe.model_dump(mode="json")
    differs = "use another folder, or the settings that this one was begun with"
    if path.exists():
        found = read_json(path)
        known = found.get("recipe") if isinstance(found, dict) else None
        if isinstance(known, dict):  # name the entry of the recipe, not just the recipe
            for key, value in recipe.items():
                if known.get(key) != value:
                    raise FlamError(f"{path} says recipe.{key} = {known.get(key)}, not {value}; {differs}")
    content: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "bank_fingerprint": bank.fingerprint,
        "sample_rate": bank.sample_rate,
        "seed": job.seed,
        "engine": job.engine,
        "audio_format": job.audio_format,
        "split": job.split,
        "recipe": recipe,
    }
    claim(path, content, differs=differs)


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
    index = first // SHARD_SIZE
    stop = max(min(first + SHARD_SIZE, num), first + _num_rows(folder, index))
    return Shard(job=job, index=index, first=first, stop=stop)


def _is_finished(folder: DatasetFolder, shard: Shard) -> bool:
    """Whether all rows and audio files are there. A file that was lost is made again with its shard."""
    if _num_rows(folder, shard.index) < shard.size:
        return False
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
        if own and int(own[1]) // SHARD_SIZE == shard.index and path.name not in shard.audio_names:
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
