"""Datasets -> batches of waveforms, labels, phrases and captions.

Every cell (clip, phrase, frame) is positive, negative, or unknown. Unknown are clusters that may be heard without a
label, ancestors and descendants of what sounds, and everything that a clip's annotation or its dataset's labels leave
open. What a step learns from is drawn from (seed, step), from tables alone, and the same for all processes that share
it; each then reads the audio of its own clips.
"""

import functools
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from manifests.frames import num_frames
from training.clips import Frames, Take, Truth, crop, samples_of, truth, waveform
from training.negatives import Column, Negatives, asked, kind_weights, phrase_weights
from training.phrase_book import PhraseBook
from training.soundscapes import WeightedSets

_MOST_READERS = 8


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What one optimizer step learns from; of several processes, the clips of one, and all texts."""

    waveforms: Float[Tensor, "clip sample"]
    draws: Float[Tensor, "clip draw"]  # for `SpectrogramAugment`
    phrases: list[str]
    sounding: Int[Tensor, "pair 2"]  # each clip and phrase of which something is heard
    labels: Bool[Tensor, "pair frame"]
    masked: Bool[Tensor, "pair frame"]  # where the phrase sounds, and other sounds hide it
    told: Bool[Tensor, "clip phrase"]  # whether it is known that the phrase sounds nowhere else
    weights: Float[Tensor, "clip phrase"]  # of a phrase's cells in the frame loss
    kind_labels: Bool[Tensor, "clip kind frame"]
    kind_known: Bool[Tensor, "clip kind frame"]
    kind_weights: Float[Tensor, "clip kind"]
    captions: list[str]  # all different
    matches: Bool[Tensor, "clip caption"]
    soundscape_ids: list[str]  # of the clips of all processes

    def dense(
        self, values: Bool[Tensor, "pair frame"], places: slice = slice(None)
    ) -> Bool[Tensor, "clip block frame"]:
        """Every cell of some phrases, of `labels` or `masked`: of all phrases at once it would take gigabytes."""
        start, stop, step = places.indices(len(self.phrases))
        clips, phrases = self.sounding.T
        asked = (phrases >= start) & (phrases < stop) & ((phrases - start) % step == 0)
        found = values.new_zeros(len(self.waveforms), len(range(start, stop, step)), values.shape[1])
        found[clips[asked], (phrases[asked] - start) // step] = values[asked]
        return found

    def to(self, device: torch.device) -> "Batch":
        """The same there."""
        moved: dict[str, Any] = {
            name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        return replace(self, **moved)


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """How batches are drawn."""

    batch_size: int
    clip_duration: float  # seconds, a whole number of frames
    sample_rate: int
    hop: float
    seed: int
    mix_share: float  # of the clips that get a second soundscape mixed in
    max_gain_db: float  # by which a soundscape is made louder or softer
    num_draws: int  # of `SpectrogramAugment`
    negatives: Negatives


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a step learns from, without audio."""

    clips: list[tuple[Take, ...]]
    truths: list[Truth]
    draws: Float[np.ndarray, "clip draw"]
    columns: list[Column]
    captions: list[str]


def batches(
    sources: WeightedSets, book: PhraseBook, sampler: Sampler, steps: Iterable[int], *, rank: int = 0, world: int = 1
) -> Generator[Batch]:
    """The batches of `steps`, made two ahead in a thread; of `world` processes that share each, those of `rank`."""

    def make(step: int) -> Batch:
        return make_batch(sources, book, sampler, step, rank=rank, world=world, mapped=files.map)

    with ThreadPoolExecutor(_num_readers()) as files, ThreadPoolExecutor(1) as reader:
        pending = iter(steps)
        waiting = deque(reader.submit(make, step) for step in islice(pending, 2))
        while waiting:
            batch = waiting.popleft().result()
            waiting.extend(reader.submit(make, step) for step in islice(pending, 1))
            yield batch


def make_batch(
    sources: WeightedSets,
    book: PhraseBook,
    sampler: Sampler,
    step: int,
    *,
    rank: int = 0,
    world: int = 1,
    mapped: Callable[..., Iterable[Any]] = map,
) -> Batch:
    """Batch `step`, of which a process takes every clip whose place leaves `rank` when divided by `world`.

    Audio is read by `mapped`, which does to several clips at once what `map` does to one after another.
    """
    planned = plan_step(sources, book, sampler, step)
    own = slice(rank, None, world)
    clips, truths = planned.clips[own], planned.truths[own]
    sounding, labels, masked, told = _targets(clips, truths, planned.columns, book, sampler)
    sounds = np.zeros_like(told)
    sounds[tuple(sounding.T)] = True
    kind_labels, kind_known = _kind_targets(clips, truths, book, sampler)
    kinds_sound = np.any(kind_labels, axis=2)
    return Batch(
        waveforms=torch.from_numpy(_waveforms(clips, sampler, mapped)),
        draws=torch.from_numpy(planned.draws[own]),
        phrases=[column.phrase for column in planned.columns],
        sounding=torch.from_numpy(sounding),
        labels=torch.from_numpy(labels),
        masked=torch.from_numpy(masked),
        told=torch.from_numpy(told),
        weights=torch.from_numpy(phrase_weights(sounds, told & ~sounds, planned.columns, sampler.negatives)),
        kind_labels=torch.from_numpy(kind_labels),
        kind_known=torch.from_numpy(kind_known),
        kind_weights=torch.from_numpy(kind_weights(kinds_sound, np.any(kind_known, axis=2) & ~kinds_sound)),
        captions=planned.captions,
        matches=torch.tensor(
            [[any(caption in take.item.captions for take in takes) for caption in planned.captions] for takes in clips],
            dtype=torch.bool,
        ).view(len(clips), len(planned.captions)),
        soundscape_ids=[sources.name_of(take.dataset, take.item) for takes in planned.clips for take in takes],
    )


def _waveforms(
    clips: Sequence[tuple[Take, ...]], sampler: Sampler, mapped: Callable[..., Iterable[Any]]
) -> Float[np.ndarray, "clip sample"]:
    read = functools.cache(
        lambda take: samples_of(take, sampler.sample_rate, sampler.clip_duration)
    )  # a mixture's second is another clip's first
    found = np.empty((len(clips), round(sampler.clip_duration * sampler.sample_rate)), np.float32)

    def fill(place: int) -> None:
        waveform(
            clips[place],
            read,
            duration=sampler.clip_duration,
            hop=sampler.hop,
            sample_rate=sampler.sample_rate,
            out=found[place],
        )

    list(mapped(fill, range(len(clips))))
    return found


def _num_readers() -> int:
    """Threads that read audio: as many as cores, which several processes of a machine share.

    One alone would keep one core from the model, and all others would wait for it.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(max(cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")), 1), _MOST_READERS)


def plan_step(sources: WeightedSets, book: PhraseBook, sampler: Sampler, step: int) -> Step:
    """What step `step` learns from: every soundscape once an epoch, and what is asked of all."""
    first = step * sampler.batch_size
    takes, choices = [], []
    for offset, (dataset, item) in enumerate(sources.items(first, first + sampler.batch_size, sampler.seed)):
        rng = np.random.default_rng(np.random.SeedSequence(sampler.seed, spawn_key=(1, first + offset)))
        gain = 10 ** (rng.uniform(-sampler.max_gain_db, sampler.max_gain_db) / 20)
        caption = str(rng.choice(item.captions)) if item.captions else None
        begin = crop(item.row, sampler.clip_duration, sampler.hop, rng)
        takes.append(Take(dataset=dataset, item=item, begin=begin, gain=gain, caption=caption))
        choices.append((rng.random() < sampler.mix_share, int(rng.integers(sampler.batch_size)), rng))
    clips: list[tuple[Take, ...]] = [
        (take, takes[other]) if mixed and takes[other] is not take else (take,)
        for take, (mixed, other, _) in zip(takes, choices, strict=True)
    ]
    truths = [truth(clip, duration=sampler.clip_duration, hop=sampler.hop) for clip in clips]
    draws = np.stack([rng.random(sampler.num_draws, dtype=np.float32) for _, _, rng in choices])
    rng = np.random.default_rng(np.random.SeedSequence(sampler.seed, spawn_key=(4, step)))
    sounding = {cluster for found in truths for cluster in found.active if cluster in book.column}
    return Step(
        clips=clips,
        truths=truths,
        draws=draws,
        columns=asked(sorted(sounding), book, sampler.negatives, rng),
        captions=sorted({take.caption for take in takes if take.caption is not None}),
    )


def _targets(
    clips: Sequence[tuple[Take, ...]],
    truths: Sequence[Truth],
    columns: Sequence[Column],
    book: PhraseBook,
    sampler: Sampler,
) -> tuple[
    Int[np.ndarray, "pair 2"],
    Bool[np.ndarray, "pair frame"],
    Bool[np.ndarray, "pair frame"],
    Bool[np.ndarray, "clip phrase"],
]:
    """Clip and phrase of all that sounds, when, where other sounds hide it, and what is known to sound nowhere else."""
    rows = np.array([book.column[column.cluster] for column in columns], dtype=int)
    random = np.array([column.kind == "random" for column in columns], dtype=bool)
    place_of = {column.cluster: place for place, column in enumerate(columns) if column.kind != "random"}
    told = np.zeros((len(clips), len(columns)), dtype=bool)
    sounding: list[tuple[int, int]] = []
    labels: list[Frames] = []
    masked: list[Frames] = []
    for i, (takes, found) in enumerate(zip(clips, truths, strict=True)):
        for cluster, active in found.active.items():
            if (place := place_of.get(cluster)) is not None and active.any():
                sounding.append((i, place))
                labels.append(active)
                masked.append(active & ~found.heard[cluster])
        annotated = np.logical_and.reduce([book.annotated[take.dataset] for take in takes])
        tells = annotated & ~book.related({*found.active, *found.unknown})
        tells[[book.column[cluster] for cluster in found.unknown if cluster in book.column]] = False
        told[i] = found.closed & (tells[rows] | random)
    frames = num_frames(sampler.clip_duration, sampler.hop)
    return (
        np.array(sounding, dtype=int).reshape(-1, 2),
        np.array(labels, dtype=bool).reshape(-1, frames),
        np.array(masked, dtype=bool).reshape(-1, frames),
        told,
    )


def _kind_targets(
    clips: Sequence[tuple[Take, ...]], truths: Sequence[Truth], book: PhraseBook, sampler: Sampler
) -> tuple[Bool[np.ndarray, "clip kind frame"], Bool[np.ndarray, "clip kind frame"]]:
    """A kind sounds where any of its members does. While an event of no known kind sounds, no kind is known absent.

    A background of no known kind leaves them known: it fills the clip, and a set whose backgrounds are all called
    `street_3` would be left with nothing known to be absent.
    """
    frames = num_frames(sampler.clip_duration, sampler.hop)
    labels = np.zeros((len(truths), book.num_kinds, frames), dtype=bool)
    known = np.zeros_like(labels)
    for i, (takes, found) in enumerate(zip(clips, truths, strict=True)):
        annotated = np.logical_and.reduce([book.annotated_kinds[take.dataset] for take in takes])
        known[i] = (found.closed & annotated)[:, None]
        for cluster in found.unknown:
            known[i, book.kinds_near(cluster)] = False
        for cluster, active in found.active.items():
            own = book.kinds_of(cluster)
            labels[i, own] |= active
            known[i] &= ~((book.kinds_near(cluster) if own.any() else ~own)[:, None] & active)
        known[i] |= labels[i]
    return labels, known
