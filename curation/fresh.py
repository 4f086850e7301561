"""Soundscapes of a dataset's recipe that the dataset does not hold: made when they are asked for, kept nowhere."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import ValidationError

from curation.config import Recipe
from curation.render import dataset_job
from curation.soundscapes import Soundscapes
from curation.templates import template_caption
from manifests.audio import Recording
from manifests.errors import FlamError
from manifests.schema import Soundscape
from manifests.store import DatasetFolder, read_json

_EFFECTS = ("pitch_semitones", "time_stretch", "tilt_db", "reverb", "microphone")
_LONGEST = 60.0  # s: of a longer one, all is made and little is heard


def is_quick(data: Path) -> bool:
    """Whether a soundscape of a dataset's recipe takes a few ms of a core: at most a minute, no effects, no Scaper.

    Its bank need not be there. Raises FlamError if its dataset.json holds no recipe.
    """
    path = DatasetFolder(data).info_path
    info = read_json(path)
    try:
        recipe = Recipe.model_validate(info["recipe"])
    except (KeyError, ValidationError) as error:
        raise FlamError(f"{path} does not say what its soundscapes were made from ({error}); restore it") from None
    return (
        info.get("engine") == "mix"
        and max(recipe.duration.edges().values()) <= _LONGEST
        and all(getattr(recipe, name) == Recipe.model_fields[name].default for name in _EFFECTS)
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

    def __call__(
        self, number: int, styles: Sequence[str] = ("sentence",)
    ) -> tuple[Soundscape, Callable[[], Recording], list[str]]:
        """Row, audio and a template caption in each style of soundscape `number`, of training sounds only."""
        made = self._soundscapes.make(number)
        return made.row, made.recording, [template_caption(made.row, seed=0, style=style) for style in styles]
