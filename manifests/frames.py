"""Events <-> frame labels. The only place that knows the frame grid.

Frame i covers [i * hop, (i + 1) * hop) seconds; its centre is (i + 0.5) * hop.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from manifests.schema import Stretch

MAX_GAP = 0.2  # seconds; a shorter silence within a sound is part of it, in labels and in detections


def num_frames(duration: float, hop: float) -> int:
    """How many frames a clip of `duration` seconds has: enough to cover it."""
    return max(1, int(np.ceil(duration / hop - 1e-6)))


def frame_labels(stretches: Sequence[Stretch], *, num_frames: int, hop: float) -> Bool[np.ndarray, " frame"]:
    """Which frames an event covers: those that it fills by at least half, and if there is none, the one it fills most.

    Args:
        stretches: active spans of one event, seconds from the start of the clip; they may overlap.
        num_frames: length of the clip, in frames.
        hop: seconds from one frame to the next.
    """
    spans = merged([(stretch.onset, stretch.offset) for stretch in stretches])
    return _filled_by_half(spans, np.arange(num_frames + 1) * hop, hop)


def window_labels(span: tuple[float, float], edges: Float[np.ndarray, " edge"]) -> Bool[np.ndarray, " window"]:
    """The same for one span and windows of any widths, from edge to edge."""
    return _filled_by_half([span], edges, np.diff(edges))


def _filled_by_half(
    spans: Sequence[tuple[float, float]],
    edges: Float[np.ndarray, " edge"],
    widths: float | Float[np.ndarray, " window"],
) -> Bool[np.ndarray, " window"]:
    filled = np.zeros(len(edges) - 1)
    for onset, offset in spans:
        filled += np.diff(np.clip(edges, onset, offset)) / widths
    labels = filled >= 0.5 - 1e-9  # exactly half a frame must not depend on how its ends were rounded
    if not labels.any() and filled.any():
        labels[int(filled.argmax())] = True
    return labels


def frame_spans(active: Bool[np.ndarray, " frame"], *, hop: float) -> list[tuple[float, float]]:
    """Runs of active frames as (onset, offset) in seconds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], active, [False]]).astype(np.int8)))
    return [(float(start * hop), float(end * hop)) for start, end in zip(edges[::2], edges[1::2], strict=True)]


def merged(spans: Sequence[tuple[float, float]], *, gap: float = 0.0) -> list[tuple[float, float]]:
    """Spans in order of onset, those that touch, overlap or lie at most `gap` seconds apart joined to one."""
    result: list[tuple[float, float]] = []
    for onset, offset in sorted(spans):
        if result and onset <= result[-1][1] + gap:
            result[-1] = (result[-1][0], max(result[-1][1], offset))
        else:
            result.append((onset, offset))
    return result
