"""Soundscape i of a job: its plan, rendered, as a row of the dataset and its samples."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from curation.bank import Bank
from curation.catalogue import Catalogue
from curation.config import Recipe
from curation.mix import Mixer
from curation.plan import Plan, plan
from curation.rendered import Mixture
from manifests.audio import Recording
from manifests.errors import FlamError
from manifests.schema import Soundscape, Split

Engine = Literal["mix", "scaper"]
AudioFormat = Literal["none", "wav", "flac", "shards"]

SHARD_SIZE = 100  # soundscapes: seconds of work
VIRTUAL_SHARD_SIZE = 1000


class _Renderer(Protocol):
    def mix(self, plan: Plan) -> Mixture: ...


@dataclass(frozen=True, kw_only=True)
class Job:
    """All that a soundscape depends on besides its number."""

    bank_dir: Path
    bank_fingerprint: str
    recipe: Recipe
    seed: int
    engine: Engine
    audio_format: AudioFormat
    split: Split | None

    @property
    def shard_size(self) -> int:
        """Soundscapes in a shard."""
        return VIRTUAL_SHARD_SIZE if self.audio_format == "none" else SHARD_SIZE


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """A soundscape's row, and its audio when that is asked for."""

    row: Soundscape
    mixture: Mixture

    def recording(self) -> Recording:
        """Its audio, mixed now."""
        name = f"soundscape {self.row.soundscape_id}"
        return Recording(samples=self.mixture.samples(), sample_rate=self.row.sample_rate, name=name)


class Soundscapes:
    """A job with its bank opened."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.bank = Bank.open(job.bank_dir)
        if self.bank.fingerprint != job.bank_fingerprint:
            raise FlamError(
                f"{job.bank_dir} is another bank than the dataset was made from, or has changed since; "
                "give the one that it was made from"
            )
        self.catalogue = Catalogue(self.bank.clips, sample_rate=self.bank.sample_rate, recipe=job.recipe)
        self._renderer: _Renderer
        if job.engine == "mix":
            self._renderer = Mixer(self.bank, job.recipe)
        else:
            from curation.scaper_engine import ScaperMixer  # seconds, and 100 MB

            self._renderer = ScaperMixer(self.bank, job.recipe)

    def make(self, index: int) -> Made:
        """Soundscape `index`."""
        job = self.job
        planned = plan(index, catalogue=self.catalogue, recipe=job.recipe, seed=job.seed, split=job.split)
        mixture = self._renderer.mix(planned)
        return Made(row=self._row(planned, mixture), mixture=mixture)

    def _row(self, planned: Plan, mixture: Mixture) -> Soundscape:
        """All of its sounds are known, and its annotation closed, unless nobody knows what is in a recording."""
        name = soundscape_id(planned.index)
        recordings = [planned.background.clip, *(event.clip for event in mixture.plan.events)]
        known = all(self.bank.clips[clip].content_known for clip in recordings)
        licences = {event.licence for event in mixture.events} | {mixture.background.licence}
        if mixture.room is not None:
            licences.add(mixture.room.licence)
        return Soundscape(
            soundscape_id=name,
            split=planned.split,
            audio_path=audio_path(planned.index, self.job),
            duration=planned.num_samples / self.bank.sample_rate,
            sample_rate=self.bank.sample_rate,
            num_samples=planned.num_samples,
            annotation="closed" if known else "open",
            events=mixture.events,
            background=mixture.background,
            room=mixture.room,
            microphone=mixture.microphone,
            licences=sorted(licence for licence in licences if licence),
            seed=self.job.seed,
            recipe=self.job.recipe.name,
            engine=self.job.engine,
            mix_gain_db=mixture.mix_gain_db,
            num_inaudible=mixture.num_inaudible,
            num_masked=mixture.num_masked,
        )


def soundscape_id(index: int) -> str:
    """The id of soundscape `index`."""
    return f"{index:08d}"


def audio_path(index: int, job: Job) -> str:
    """Where its audio is, or will be once it is rendered, relative to the dataset."""
    shard = index // job.shard_size
    if job.audio_format == "shards":
        return f"soundscapes/{shard:05d}.parquet"
    ending = "wav" if job.audio_format == "none" else job.audio_format
    return f"audio/{shard:05d}/{soundscape_id(index)}.{ending}"


def job_info(job: Job, bank: Bank) -> dict[str, Any]:
    """What dataset.json says of a job."""
    return {
        "bank_fingerprint": bank.fingerprint,
        "sample_rate": bank.sample_rate,
        "seed": job.seed,
        "engine": job.engine,
        "audio_format": job.audio_format,
        "split": job.split,
        "recipe": job.recipe.model_dump(mode="json"),
    }
