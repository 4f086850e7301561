"""The datasets that a run learns from, opened and checked, and how its batches are drawn from them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc

from manifests.captions import preferred_captions, template_styles
from manifests.errors import FlamError
from manifests.frames import num_frames
from manifests.store import DatasetFolder, Render
from training.augment import augment_of
from training.config import TrainConfig
from training.data import Sampler
from training.negatives import Negatives
from training.phrase_book import PhraseBook
from training.sound_kinds import load_kinds
from training.soundscapes import Fresh, Made, SoundscapeSet, WeightedSets


@dataclass(frozen=True, kw_only=True)
class Data:
    """A dataset to learn from."""

    root: Path
    weight: float = 1.0  # its share of what is learned from, beside those of others
    render: Render | None = None  # makes the audio of soundscapes that have none on disk
    # Makes soundscapes that it does not hold, unless `online` is false; of a number and styles, as `Fresh`
    fresh: Callable[[int, Sequence[str]], Made] | None = None


def open_sources(datasets: Sequence[Data], config: TrainConfig) -> tuple[WeightedSets, PhraseBook]:
    """Their training soundscapes, and what may be asked of these; raises FlamError if they cannot teach anything.

    Unless `online` is false, each dataset that can be made anew is; the others are heard as they are.
    """
    first = datasets[0].root
    for part in (config.caption_set or "").split(",") if len(datasets) > 1 else ():
        if part and not any(_has(DatasetFolder(one.root), part) for one in datasets):
            raise FlamError(f"none of the datasets has captions {part!r}; leave them out, or run `flam-cli caption`")
    if config.online and not any(one.fresh for one in datasets):
        raise FlamError(f"{first} cannot be made anew: only what `flam-cli simulate` made can; leave --online out")
    sources = WeightedSets(
        sets=[_opened(one, config, among_others=len(datasets) > 1) for one in datasets],
        weights=[one.weight for one in datasets],
    )
    tables = [source.folder.phrases() if source.folder.phrases_path.exists() else [] for source in sources.sets]
    sounding = sources.clusters()
    book = PhraseBook(tables, sounding, load_kinds(config.model.sound_kinds))
    if sounding and not book.clusters:
        path = sources.sets[0].folder.phrases_path
        raise FlamError(f"{path} has no phrase for a sound of the train split; run `flam-cli caption`")
    if not sounding and not any(source.caption_set for source in sources.sets):
        raise FlamError(f"{first} has neither events nor captions in its train split: nothing to learn from")
    closed = any(pc.any(pc.equal(source.rows["annotation"], "closed")).as_py() for source in sources.sets)
    if sounding and not closed and (config.frame_weight or config.kind_weight):
        raise FlamError(
            f"{first}: no train soundscape is annotated in full, so that nothing would teach when a sound is absent; "
            "add a dataset that is, take this one at your word (`flam-cli import --annotation closed`), or set "
            "frame_weight = 0 and kind_weight = 0 in a recipe"
        )
    if config.patience and not any(source.has_validation for source in sources.sets):
        raise FlamError(
            f"patience waits for validations that are no better, and {first} has no valid soundscapes with events; "
            "leave it out, or simulate with a share for valid"
        )
    return sources, book


def sampler_of(config: TrainConfig, longest: float, heard: float | None = None) -> Sampler:
    """How a run's batches are drawn: clips as long as the recipe says, or as the longest recording.

    Args:
        config: all settings.
        longest: seconds of the longest recording; longer clips would all be heard again to fill them.
        heard: seconds that the audio encoder hears at once; None: any number.
    """
    hop = config.model.hop
    duration = min(config.clip_duration, longest)
    # of one frame alone, gradients in bfloat16 are what memory held before (torch 2.13)
    frames = max(num_frames(duration, hop), 2)
    if heard is not None and duration <= heard:
        frames = min(frames, int(heard / hop + 1e-6))
    return Sampler(
        batch_size=config.batch_size,
        clip_duration=frames * hop,
        sample_rate=config.model.sample_rate,
        hop=hop,
        seed=config.seed,
        mix_share=config.mix_share,
        max_gain_db=config.max_gain_db,
        num_draws=augment_of(config).num_draws,
        negatives=Negatives(
            shares=config.negatives, per_clip=config.phrases_per_clip or None, num_phrases=config.num_phrases
        ),
    )


def _opened(data: Data, config: TrainConfig, *, among_others: bool) -> SoundscapeSet:
    folder = DatasetFolder.open(data.root, render=data.render)
    captions = config.caption_set
    if captions is None:
        captions = preferred_captions(folder) or ",".join(folder.caption_sets()) or None
    elif among_others:  # each takes what it has of what is asked for
        captions = ",".join(part for part in captions.split(",") if _has(folder, part)) or captions
    fresh = _fresh(data, config, folder, captions) if data.fresh and config.online is not False else None
    return SoundscapeSet(folder, "train", caption_set=captions, fresh=fresh)


def _fresh(data: Data, config: TrainConfig, folder: DatasetFolder, captions: str | None) -> Fresh | None:
    """What makes soundscapes described in the styles that the dataset is; None if others than templates describe it."""
    styles, make = [] if captions is None else template_styles(folder, captions), data.fresh
    if make is not None and styles is not None:
        return lambda number: make(number, styles)
    if config.online:
        raise FlamError(
            f"fresh soundscapes are described by templates, not as {captions!r}: leave --online or that out"
        )
    return None


def _has(folder: DatasetFolder, part: str) -> bool:
    """Whether a dataset has a caption set that is named, perhaps with a style."""
    return part.partition("/")[0].strip() in folder.caption_sets()
