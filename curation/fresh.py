"""Soundscapes of a dataset's recipe that the dataset does not hold: made when they are asked for, kept nowhere."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from curation.config import Recipe
from curation.render import dataset_job
from curation.soundscapes import Job, Soundscapes
from curation.templates import template_caption
from manifests.audio import Recording
from manifests.schema import Soundscape

_EFFECTS = ("pitch_semitones", "time_stretch", "tilt_db", "reverb", "microphone")


def is_quick(job: Job) -> bool:
    """Whether a soundscape takes a few ms of a core, next to which training on it takes long: no effects, no Scaper."""
    return job.engine == "mix" and all(
        getattr(job.recipe, name) == Recipe.model_fields[name].default for name in _EFFECTS
    )


class FreshSoundscapes:
    """Training soundscapes by number. Call it with one: the same number is the same soundscape."""

    def __init__(self, data: Path, bank: Path | None = None) -> None:
        """Of the dataset in a folder; raises FlamError if its bank is not found or not the same.

        Args:
            data: the dataset folder.
            bank: its sound bank; if left out, the place noted in dataset.json.
        """
        self._soundscapes = Soundscapes(dataclasses.replace(dataset_job(data, bank), split="train"))

    def __call__(self, number: int) -> tuple[Soundscape, Callable[[], Recording], list[str]]:
        """Row, audio and template caption of soundscape `number`, of training sounds only."""
        made = self._soundscapes.make(number)
        return made.row, made.recording, [template_caption(made.row, seed=0)]
