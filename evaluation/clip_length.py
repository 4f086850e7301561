"""The same soundscapes heard in clips of another length: cut into parts, or joined to long recordings.

All soundscapes lie on one tape, in the order in which they are given, each padded with silence to whole frames. It is
cut into clips, and each frame's score goes back to the soundscape that the frame is of. So truth, and what is known of
each soundscape, stays what it was, and at every length the very same frames are measured.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int

from evaluation.frame_scores import FrameScores
from evaluation.scored import Detector, ScoredSplit, fitted
from manifests import audio
from manifests.audio import Recording
from manifests.schema import Soundscape
from manifests.store import DatasetFolder


def scores_at_length(
    detector: Detector,
    folder: DatasetFolder,
    soundscapes: Sequence[Soundscape],
    scored: ScoredSplit,
    *,
    seconds: float,
) -> FrameScores:
    """Scores of soundscapes for the labels of a scored split, heard in clips of a length.

    Args:
        detector: the model.
        folder: the dataset.
        soundscapes: in the order in which they lie on the tape.
        scored: the same soundscapes, each heard for itself.
        seconds: of a clip, to the nearest frame; the last one is what is left.
    """
    texts = [query.phrase for query in scored.labels]
    values = np.empty(scored.scores.values.shape, np.float32)
    size = max(1, round(seconds / detector.hop))
    for begin, end, recording in _clips(folder, soundscapes, scored.scores.starts, hop=detector.hop, size=size):
        found, _ = detector.hear(recording, texts)
        duration = (end - begin) * detector.hop
        values[:, begin:end] = fitted(found, name=recording.name, duration=duration, hop=detector.hop).T
    return dataclasses.replace(scored.scores, values=values)


def _clips(
    folder: DatasetFolder,
    soundscapes: Sequence[Soundscape],
    starts: Int[np.ndarray, " clips"],
    *,
    hop: float,
    size: int,
) -> Iterator[tuple[int, int, Recording]]:
    """First frame on the tape, the frame after the last, and the sound of each clip of `size` frames."""
    rate = max(soundscape.sample_rate for soundscape in soundscapes)

    def sample_of(frame: int) -> int:
        return round(frame * hop * rate)

    waiting: Float[np.ndarray, " sample"] = np.zeros(0, np.float32)
    begin, last = 0, int(starts[-1])
    for soundscape, first, end in zip(soundscapes, starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        wanted = sample_of(end) - sample_of(first)
        samples = audio.read(folder.audio(soundscape), rate)[:wanted]
        waiting = np.concatenate([waiting, samples, np.zeros(wanted - len(samples), np.float32)])
        while end - begin >= size or begin < end == last:
            stop = min(begin + size, end)
            taken = sample_of(stop) - sample_of(begin)
            name = f"{begin * hop:g} to {stop * hop:g} s of the joined soundscapes"
            yield begin, stop, Recording(samples=audio.to_int16(waiting[:taken]), sample_rate=rate, name=name)
            waiting, begin = waiting[taken:], stop
