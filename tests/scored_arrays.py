"""Scores and truth of evaluation from arrays and lists, as tests write them down."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from sed_scores_eval.base_modules.scores import create_score_dataframe

from evaluation.frame_scores import FrameScores
from evaluation.truth import Truth, clipped
from manifests.frames import frame_spans


def frame_scores(clips: Sequence[np.ndarray], *, hop: float = 1.0, durations: Sequence[float] | None = None):
    """Of (frame, label) arrays; a clip ends with its last frame, or before."""
    lengths = [len(clip) * hop for clip in clips] if durations is None else durations
    labels = [f"label {index}" for index in range(clips[0].shape[1])]
    names = [f"clip {index}" for index in range(len(clips))]
    scores = FrameScores.empty(labels, names, lengths, [len(clip) for clip in clips], dtype=np.float64)
    for index, clip in enumerate(clips):
        scores.fill(index, np.minimum(np.arange(len(clip) + 1) * hop, lengths[index]), clip)
    return scores


def truth_of_frames(clips: Sequence[np.ndarray], known: np.ndarray | None = None, *, hop: float = 1.0) -> Truth:
    """Of (frame, label) arrays of bool."""
    rows = [
        (label, index, *span)
        for index, clip in enumerate(clips)
        for label in range(clip.shape[1])
        for span in frame_spans(clip[:, label], hop=hop)
    ]
    return Truth.of(rows, np.ones((len(clips), clips[0].shape[1]), bool) if known is None else known)


def truth_of_spans(clips: Sequence[Mapping[int, Sequence[tuple[float, float]]]], durations: Sequence[float]) -> Truth:
    """Of each clip's spans by label, the labels counted from 0."""
    num_labels = 1 + max(label for clip in clips for label in clip)
    rows = [
        (label, index, *span)
        for index, clip in enumerate(clips)
        for label, spans in clip.items()
        for span in clipped(spans, durations[index])
    ]
    return Truth.of(rows, np.ones((len(clips), num_labels), bool))


def scorer_tables(
    scores: FrameScores, truth: Truth
) -> tuple[dict[str, pd.DataFrame], dict[str, list[tuple[float, float, str]]], dict[str, float]]:
    """The same for sed_scores_eval: scores, truth and durations by clip."""
    tables, events, durations = {}, {}, {}
    for index, name in enumerate(scores.clips):
        windows = np.asarray(scores.values[:, scores.starts[index] : scores.starts[index + 1]]).T
        tables[name] = create_score_dataframe(windows, scores.edges_of(index), event_classes=scores.labels)
        events[name] = [
            (*span, scores.labels[label]) for label, spans in truth.by_clip[index].items() for span in spans
        ]
        durations[name] = float(scores.durations[index])
    return tables, events, durations
