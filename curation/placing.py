"""Where a source is cut and where its parts are placed in a soundscape. Positions are samples."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curation.catalogue import Activity
from curation.loudness import step_samples
from curation.source_clip import SourceClip

_MAX_DRAWS = 100
_MIN_PIECE_SECONDS = 0.5
_ACTIVE_SHARE = 0.25  # of a piece, at least: a piece of a pause is no event


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A slice of a source."""

    source_start: int
    source_samples: int


def draw_background_start(
    rng: np.random.Generator, clip: SourceClip, activity: Activity, *, num_samples: int, sample_rate: int
) -> int:
    """Where a background starts: any step that it is active from on for half as long as it could be at best.

    Of a looped one all is heard. Almost every other one is active throughout, and the first draw is taken.
    """
    step = step_samples(sample_rate)
    last = clip.num_samples - num_samples
    if last < 0:
        return int(rng.integers(clip.num_samples // step)) * step
    if activity.throughout:
        return int(rng.integers(last // step + 1)) * step
    starts = np.concatenate([[0], activity.onsets, activity.ends - num_samples])
    starts = np.clip(starts, 0, last) // step * step
    active = [_num_active(activity, int(start), num_samples) for start in starts]
    for _ in range(_MAX_DRAWS):
        start = int(rng.integers(last // step + 1)) * step
        if 2 * _num_active(activity, start, num_samples) >= max(active):
            return start
    return int(starts[int(np.argmax(active))])


def draw_slice(
    rng: np.random.Generator, clip: SourceClip, activity: Activity, *, length: int, shortest: int, sample_rate: int
) -> Part:
    """A slice that starts anywhere that the clip is active and it still fits; else the clip's end.

    It starts at a whole step of `loudness.step_samples` and lasts for whole steps, whose loudness the bank knows, if
    these are not fewer than `shortest` samples.
    """
    last = clip.num_samples - length
    if last == 0:
        return Part(source_start=0, source_samples=length)
    step = step_samples(sample_rate)
    steps = length // step * step
    length = steps if steps >= max(shortest, 1) else length
    lengths = np.clip(np.minimum(activity.ends, last + 1) - activity.onsets, 0, None)
    if not lengths.sum():
        return Part(source_start=last // step * step, source_samples=length)
    point = int(rng.integers(lengths.sum()))
    stretch = int(np.searchsorted(np.cumsum(lengths), point, side="right"))
    start = int(activity.onsets[stretch] + point - lengths[:stretch].sum())
    return Part(source_start=min(round(start / step), last // step) * step, source_samples=length)


def draw_pieces(
    rng: np.random.Generator, whole: Part, activity: Activity, *, count: int, shortest: int, sample_rate: int
) -> list[Part]:
    """The slice cut into pieces of at least half a second and `shortest` samples, none of them a pause.

    As it was if that can't be.
    """
    step = step_samples(sample_rate)
    least = max(round(_MIN_PIECE_SECONDS * sample_rate / step), math.ceil(shortest / step))  # in steps
    count = min(count, whole.source_samples // step // least)
    if count < 2:
        return [whole]
    free = whole.source_samples // step - count * least
    cuts = np.sort(rng.integers(free, size=count - 1, endpoint=True)) + np.arange(1, count) * least
    edges = [0, *(cuts * step).tolist(), whole.source_samples]
    pieces = [
        Part(source_start=whole.source_start + first, source_samples=last - first)
        for first, last in itertools.pairwise(edges)
    ]
    heard = (_num_active(activity, piece.source_start, piece.source_samples) for piece in pieces)
    enough = all(num >= _ACTIVE_SHARE * piece.source_samples for num, piece in zip(heard, pieces, strict=True))
    return pieces if enough else [whole]


def num_fitting(lengths: Sequence[int], gaps: Sequence[int] | None, *, num_samples: int) -> int:
    """How many of the parts, from the first on, fit into a soundscape with the gaps between them."""
    end = 0
    for count, length in enumerate(lengths):
        end += length + (gaps[count - 1] if gaps and count else 0)
        if end > num_samples:
            return count
    return len(lengths)


def draw_starts(
    rng: np.random.Generator, lengths: Sequence[int], gaps: Sequence[int] | None, *, num_samples: int
) -> list[int]:
    """Where parts start, in their order, none over another; empty if they don't fit.

    Without gaps all ways to place them are equally likely: the parts are taken out of the soundscape, as many points
    are drawn in what is left, and the parts put back in there.
    """
    free = num_samples - sum(lengths) - sum(gaps or ())
    if free < 0:
        return []
    if gaps is None and len(lengths) > 1:
        points = np.sort(rng.integers(free, size=len(lengths), endpoint=True)).tolist()
    else:
        points = [int(rng.integers(free, endpoint=True))] * len(lengths)
    starts, before = [], 0
    for place, (point, length) in enumerate(zip(points, lengths, strict=True)):
        starts.append(point + before)
        before += length + (gaps[place] if gaps and place < len(gaps) else 0)
    return starts


def most_at_once(spans: Sequence[tuple[int, int]]) -> int:
    """The largest number of spans, each from its start to before its end, that hold one point."""
    edges = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])  # ends first
    most = count = 0
    for _, change in edges:
        count += change
        most = max(most, count)
    return most


def _num_active(activity: Activity, start: int, num_samples: int) -> int:
    heard = np.minimum(activity.ends, start + num_samples) - np.maximum(activity.onsets, start)
    return int(np.clip(heard, 0, None).sum())
