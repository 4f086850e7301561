"""A dataset folder as training batches: waveforms, frame labels for a step's phrases, captions.

Batch `step` is a pure function of (dataset, seed, step), so that a resumed run sees what it would have seen.
"""

import hashlib
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from manifests import audio
from manifests.captions import caption_shards, caption_texts
from manifests.errors import FlamError
from manifests.frames import frame_labels, num_frames
from manifests.schema import Event, Phrase, Soundscape, Split, Stretch, from_table
from manifests.store import DatasetFolder, read_table
from training.sound_kinds import SoundKinds

MASKED_DB = -5.0  # below, an event is active and nobody hears it


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What one optimizer step learns from."""

    waveforms: Float[Tensor, "clip sample"]
    phrases: list[str]  # one for each cluster asked in this step
    labels: Bool[Tensor, "clip phrase frame"]
    known: Bool[Tensor, "clip phrase frame"]  # cells whose truth is known
    masked: Bool[Tensor, "clip phrase frame"]  # cells in which the phrase sounds, and other sounds hide it
    kind_labels: Bool[Tensor, "clip kind frame"]
    kind_known: Bool[Tensor, "clip kind frame"]
    captions: list[str]  # all different
    matches: Bool[Tensor, "clip caption"]
    soundscape_ids: list[str]


def fingerprint(folder: DatasetFolder, caption_set: str) -> str:
    """A hash of all that training reads but the audio: another dataset must not continue a run."""
    found = hashlib.sha256()
    for path in [*folder.soundscape_shards(), *caption_shards(folder, caption_set), folder.phrases_path]:
        found.update(path.read_bytes())
    return found.hexdigest()[:16]


class PhraseBook:
    """The wordings of the clusters that may be asked, which of them say nothing about one another, and their kinds.

    Args:
        phrases: the phrase table.
        clusters: those that training hears. Wordings of any other are left out, or the model would learn that a sound
            held out for testing never happens.
        kinds: what kinds of sound words name.
    """

    def __init__(self, phrases: Sequence[Phrase], clusters: Collection[str], kinds: SoundKinds) -> None:
        self.phrases: dict[str, list[str]] = {}
        self.related: dict[str, set[str]] = {}
        self.num_kinds = len(kinds.names)
        self._kinds: dict[str, Bool[np.ndarray, " kind"]] = {}
        for row in phrases:
            if row.origin == "label":
                named = self._kinds.get(row.cluster, np.zeros(self.num_kinds, dtype=bool))
                self._kinds[row.cluster] = named | (kinds.shares(row.phrase) > 0)
            if row.cluster not in clusters:
                continue
            self.phrases.setdefault(row.cluster, []).append(row.phrase)
            for ancestor in row.ancestors:
                self.related.setdefault(row.cluster, set()).add(ancestor)
                self.related.setdefault(ancestor, set()).add(row.cluster)
        self.clusters = sorted(self.phrases)

    def kinds_of(self, cluster: str) -> Bool[np.ndarray, " kind"]:
        """The kinds that a cluster's labels name; none where no label is known or no word of it."""
        return self._kinds.get(cluster, np.zeros(self.num_kinds, dtype=bool))


class SoundscapeSet:
    """The soundscapes of one split. Rows stay in Arrow's compact form until one is asked for."""

    def __init__(self, folder: DatasetFolder, split: Split, *, caption_set: str) -> None:
        self.folder = folder
        shards = [read_table(path, Soundscape) for path in folder.soundscape_shards()]
        table = pa.concat_tables(shards)
        self.rows = table.filter(pc.equal(table["split"], split)).combine_chunks()
        if not self.rows.num_rows:
            there = sorted(set(table["split"].to_pylist()))
            raise FlamError(f"{folder.root} has no {split} soundscapes, only {', '.join(there)}; simulate more")
        self.captions = self._captions(caption_set)

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    def row(self, index: int) -> Soundscape:
        """Soundscape `index` of the split."""
        return from_table(self.rows.slice(index, 1), Soundscape)[0]

    def clusters(self) -> set[str]:
        """Clusters that occur as events."""
        events = pc.list_flatten(self.rows["events"])
        return set(pc.struct_field(events, "cluster").to_pylist())

    def longest(self) -> float:
        """Duration of the longest soundscape, in seconds."""
        return float(pc.max(self.rows["duration"]).as_py())

    def _captions(self, name: str) -> list[list[str]]:
        texts: dict[str, list[str]] = {}
        for soundscape_id, text in caption_texts(self.folder, name):
            texts.setdefault(soundscape_id, []).append(text)
        ids = self.rows["soundscape_id"].to_pylist()
        if missing := [soundscape_id for soundscape_id in ids if soundscape_id not in texts]:
            raise FlamError(
                f"{len(missing)} soundscapes of {self.folder.root} have no caption in {name!r}, "
                f"{missing[0]} first; run `flam-cli caption` again"
            )
        return [texts[soundscape_id] for soundscape_id in ids]


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """How batches are drawn from a set."""

    batch_size: int
    num_phrases: int  # clusters asked in one step: those in the batch, then others
    clip_duration: float
    sample_rate: int
    hop: float
    seed: int
    mix_share: float  # of the clips that get a second soundscape mixed in


def batches(source: SoundscapeSet, book: PhraseBook, sampler: Sampler, steps: Iterable[int]) -> Iterator[Batch]:
    """The batches of `steps`, read two ahead in a thread."""
    with ThreadPoolExecutor(max_workers=1) as reader:
        pending = iter(steps)
        waiting = deque(reader.submit(make_batch, source, book, sampler, step) for step in islice(pending, 2))
        while waiting:
            batch = waiting.popleft().result()
            waiting.extend(reader.submit(make_batch, source, book, sampler, step) for step in islice(pending, 1))
            yield batch


def make_batch(source: SoundscapeSet, book: PhraseBook, sampler: Sampler, step: int) -> Batch:
    """Batch `step`: every soundscape once an epoch, in an order drawn from (seed, epoch)."""
    rng = np.random.default_rng(np.random.SeedSequence(sampler.seed, spawn_key=(1, step)))
    clips = [_read_clip(source, index, sampler, rng) for index in _epoch_indices(len(source), sampler, step)]
    clips = [_mixed(clip, clips, sampler, rng) for clip in clips]
    clusters = _ask(clips, book, sampler, rng)
    labels, known, masked = _targets(clips, clusters, book, sampler)
    kind_labels, kind_known = _kind_targets(clips, book, sampler)
    captions = sorted({caption for clip in clips for caption in clip.captions})
    return Batch(
        waveforms=torch.from_numpy(np.stack([clip.samples for clip in clips])),
        phrases=[str(rng.choice(book.phrases[cluster])) for cluster in clusters],
        labels=torch.from_numpy(labels),
        known=torch.from_numpy(known),
        masked=torch.from_numpy(masked),
        kind_labels=torch.from_numpy(kind_labels),
        kind_known=torch.from_numpy(kind_known),
        captions=captions,
        matches=torch.tensor([[caption in clip.captions for caption in captions] for clip in clips]),
        soundscape_ids=[soundscape_id for clip in clips for soundscape_id in clip.ids],
    )


@dataclass(frozen=True, kw_only=True)
class _Clip:
    ids: list[str]
    samples: Float[np.ndarray, " sample"]
    active: Mapping[str, Bool[np.ndarray, " frame"]]  # by cluster
    heard: Mapping[str, Bool[np.ndarray, " frame"]]  # the same, without what other sounds hide
    unknown: frozenset[str]  # clusters that may sound at any time, unlabelled
    closed: bool  # whatever is not listed does not sound
    inside: Bool[np.ndarray, " frame"]  # frames before the end of the recording
    captions: list[str]


def _epoch_indices(size: int, sampler: Sampler, step: int) -> list[int]:
    """Positions step * B ... of an endless sequence of shuffled epochs."""
    indices: list[int] = []
    for position in range(step * sampler.batch_size, (step + 1) * sampler.batch_size):
        epoch, place = divmod(position, size)
        if not indices or place == 0:
            order = np.random.default_rng(np.random.SeedSequence(sampler.seed, spawn_key=(0, epoch))).permutation(size)
        indices.append(int(order[place]))
    return indices


def _read_clip(source: SoundscapeSet, index: int, sampler: Sampler, rng: np.random.Generator) -> _Clip:
    row = source.row(index)
    recording = source.folder.audio(row)
    samples = audio.read(recording, sampler.sample_rate)
    if abs(len(samples) / sampler.sample_rate - row.duration) > sampler.hop:
        raise FlamError(
            f"{recording} lasts {len(samples) / sampler.sample_rate:.2f} s, its row says {row.duration:.2f} s; "
            "simulate it again, or see `flam-cli validate --read-audio`"
        )
    wanted = round(sampler.clip_duration * sampler.sample_rate)
    begin = 0.0
    if len(samples) > wanted:
        num_choices = int((len(samples) - wanted) / sampler.sample_rate / sampler.hop) + 1
        begin = int(rng.integers(num_choices)) * sampler.hop
        samples = samples[round(begin * sampler.sample_rate) :][:wanted]
    frames = num_frames(sampler.clip_duration, sampler.hop)
    silent = np.zeros(frames, dtype=bool)
    active: dict[str, np.ndarray] = {}
    heard: dict[str, np.ndarray] = {}
    for event in row.events:
        stretches = _shifted(event, -begin, sampler.clip_duration)
        for found, some in ((active, stretches), (heard, [one for one in stretches if _is_heard(one)])):
            labels = frame_labels(some, num_frames=frames, hop=sampler.hop)
            found[event.cluster] = found.get(event.cluster, silent) | labels
    unknown = {cluster for event in row.events for cluster in event.contains}
    if row.background is not None:
        unknown |= {row.background.cluster, *row.background.contains}
    return _Clip(
        ids=[row.soundscape_id],
        samples=np.pad(samples, (0, wanted - len(samples))).astype(np.float32),
        active=active,
        heard=heard,
        unknown=frozenset(unknown),
        closed=row.annotation == "closed",
        inside=np.arange(frames) * sampler.hop < len(samples) / sampler.sample_rate,
        captions=[str(rng.choice(source.captions[index]))],
    )


def _shifted(event: Event, shift: float, duration: float) -> list[Stretch]:
    moved = [(stretch.onset + shift, stretch.offset + shift, stretch.audible_db) for stretch in event.activity]
    return [
        Stretch(onset=max(onset, 0.0), offset=min(offset, duration), audible_db=audible_db)
        for onset, offset, audible_db in moved
        if offset > 0.0 and onset < duration
    ]


def _is_heard(stretch: Stretch) -> bool:
    """Whether other sounds leave it audible; yes where nobody knows."""
    return stretch.audible_db is None or stretch.audible_db >= MASKED_DB


def _mixed(clip: _Clip, others: Sequence[_Clip], sampler: Sampler, rng: np.random.Generator) -> _Clip:
    """With probability `mix_share` the clip plus another of the batch; both sets of labels and both captions hold."""
    other, gain, mix = others[int(rng.integers(len(others)))], 10 ** (rng.uniform(-6.0, 6.0) / 20), rng.random()
    if other is clip or mix >= sampler.mix_share:
        return clip
    silent = np.zeros_like(clip.inside)
    return _Clip(
        ids=clip.ids + other.ids,
        samples=clip.samples + np.float32(gain) * other.samples,
        active={
            cluster: clip.active.get(cluster, silent) | other.active.get(cluster, silent)
            for cluster in {*clip.active, *other.active}
        },
        heard={
            cluster: clip.heard.get(cluster, silent) | other.heard.get(cluster, silent)
            for cluster in {*clip.heard, *other.heard}
        },
        unknown=clip.unknown | other.unknown,
        closed=clip.closed and other.closed,
        inside=clip.inside & other.inside,
        captions=clip.captions + other.captions,
    )


def _ask(clips: Sequence[_Clip], book: PhraseBook, sampler: Sampler, rng: np.random.Generator) -> list[str]:
    """The clusters of a step: those that sound in the batch, then others drawn without replacement."""
    present = sorted({cluster for clip in clips for cluster in clip.active if cluster in book.phrases})
    others = [cluster for cluster in book.clusters if cluster not in set(present)]
    wanted = min(max(sampler.num_phrases - len(present), 0), len(others))
    return present + [others[i] for i in rng.permutation(len(others))[:wanted]]


def _targets(
    clips: Sequence[_Clip], clusters: Sequence[str], book: PhraseBook, sampler: Sampler
) -> tuple[
    Bool[np.ndarray, "clip phrase frame"], Bool[np.ndarray, "clip phrase frame"], Bool[np.ndarray, "clip phrase frame"]
]:
    """Labels, which of them are known, and which of the positive ones are masked."""
    frames = num_frames(sampler.clip_duration, sampler.hop)
    labels = np.zeros((len(clips), len(clusters), frames), dtype=bool)
    known, masked = np.zeros_like(labels), np.zeros_like(labels)
    for i, clip in enumerate(clips):
        related = {other for cluster in {*clip.active, *clip.unknown} for other in book.related.get(cluster, ())}
        for k, cluster in enumerate(clusters):
            labels[i, k] = clip.active.get(cluster, False) & clip.inside
            masked[i, k] = labels[i, k] & ~clip.heard.get(cluster, labels[i, k])
            if clip.closed and cluster not in clip.unknown and cluster not in related:
                known[i, k] = clip.inside
        known[i] |= labels[i]
    return labels, known, masked


def _kind_targets(
    clips: Sequence[_Clip], book: PhraseBook, sampler: Sampler
) -> tuple[Bool[np.ndarray, "clip kind frame"], Bool[np.ndarray, "clip kind frame"]]:
    """A kind sounds where any of its members does. While something of no known kind sounds, no kind is known absent."""
    frames = num_frames(sampler.clip_duration, sampler.hop)
    labels = np.zeros((len(clips), book.num_kinds, frames), dtype=bool)
    known = np.zeros_like(labels)
    for i, clip in enumerate(clips):
        known[i] = clip.inside & clip.closed
        for cluster in clip.unknown:
            known[i, book.kinds_of(cluster)] = False
        for cluster, active in clip.active.items():
            kinds = book.kinds_of(cluster)
            labels[i, kinds] |= active & clip.inside
            if not kinds.any():
                known[i, :, active] = False
        known[i] |= labels[i]
    return labels, known
