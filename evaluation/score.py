"""An outside model's frame scores, as files, against ground truth: every metric that needs no model."""

import tempfile
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from evaluation.event_f1 import collar_f1
from evaluation.frame_auroc import frame_auroc, pooled_auroc
from evaluation.frame_scores import FrameScores
from evaluation.psds import detection_scores
from evaluation.score_tables import TIMES, numbers, read_table, some, table_edges, table_scores
from evaluation.segments import partial_auroc, segment_f1
from evaluation.truth import Truth
from manifests.errors import FlamError
from manifests.progress import progress


def score_files(
    scores: Path, ground_truth: Path, durations: Path, *, threshold: float = 0.5
) -> tuple[dict[str, float | None], dict[str, str]]:
    """Metrics by name, None where one has no value, and by name why.

    Tables are taken as they are: events are not cut at a clip's end, and such as overlap or touch are refused. Scores
    are copied to a temporary folder, so that memory does not grow with the number of clips. Raises FlamError for
    tables that cannot be scored.

    Args:
        scores: a folder with one tsv per clip, `onset offset LABEL...`, windows without gaps.
        ground_truth: tsv `filename onset offset event_label`; a clip without events has a line without the others, or
            none.
        durations: tsv `filename duration`.
        threshold: of the F1s; a score must be above it.
    """
    with tempfile.TemporaryDirectory() as folder:
        found = _read_scores(scores, _read_durations(durations), Path(folder))
        truth = _read_truth(ground_truth, found)
        values: dict[str, float | None] = {}
        refused: dict[str, str] = {}
        areas = detection_scores(found, truth)
        if areas is not None:  # each label has an event: see `_read_truth`
            values |= {"PSDS1": areas.psds1, "PSDS2": areas.psds2, "PSDS1A": areas.psds1_a}
        (events,) = collar_f1(found, truth, thresholds=(threshold,))
        values |= {"collar_f1_macro": events.macro, "collar_f1_micro": events.micro}
        segments = segment_f1(found, truth, threshold=threshold)
        values |= {"segment_f1_macro": segments.macro, "segment_f1_micro": segments.micro}
        if segments.labels.num_left_out:
            names = [found.labels[label] for label in np.flatnonzero(np.isnan(segments.labels.per_label)).tolist()]
            for name in ("segment_f1_macro", "segment_f1_micro"):
                values[name] = None
                refused[name] = f"the events of {', '.join(names)} fill no part of a segment; mend their times"
        auroc = frame_auroc(found, truth, active_only=False)
        values |= {"AUROC": auroc.macro, "AUROC_pooled": pooled_auroc(found, truth, active_only=False)}
        values["mpAUC"] = partial_auroc(found, truth).macro
        return values, refused


def _read_scores(folder: Path, durations: Mapping[str, float], work: Path) -> FrameScores:
    paths = sorted(folder.glob("*.tsv"))
    if not paths:
        raise FlamError(f"{folder} holds no .tsv file; give a folder with one score table per clip")
    lost = [path.name for path in paths if path.stem not in durations]
    if lost:
        raise FlamError(f"no duration for {some(lost)}; add what is missing to the durations")
    silent = sorted(set(durations) - {path.stem for path in paths})
    if silent:
        raise FlamError(f"no scores for {some(silent)} of the durations; add them to {folder}, or take out the lines")
    labels = read_table(paths[0], None).columns[2:].tolist()
    num_windows = []
    for path in paths:
        with path.open("rb") as file:
            num_windows.append(sum(1 for line in file if line.strip()) - 1)
    lengths = [durations[path.stem] for path in paths]
    names = [path.stem for path in paths]
    found = FrameScores.empty(labels, names, lengths, num_windows, dtype=np.float64, folder=work)
    with progress("score tables", len(paths)) as advance:
        for clip, path in enumerate(paths):
            table = read_table(path, labels)
            found.fill(clip, table_edges(path, table), table_scores(path, table, labels))
            advance()
    return found


def _read_durations(path: Path) -> dict[str, float]:
    table = _read_tsv(path, ["filename", "duration"])
    found = dict(zip(map(_stem, table["filename"]), numbers(path, table, "duration").tolist(), strict=True))
    if len(found) < len(table):
        raise FlamError(f"{path} names a file twice; leave one line for each")
    if not found or min(found.values()) <= 0:
        raise FlamError(f"{path}: durations are seconds above 0, one for each file")
    return found


def _read_truth(path: Path, scores: FrameScores) -> Truth:
    table = _read_tsv(path, ["filename", *TIMES, "event_label"])
    table = table[table["event_label"] != ""]  # a line without: a clip without events
    clips = {name: index for index, name in enumerate(scores.clips)}
    labels = {name: index for index, name in enumerate(scores.labels)}
    onsets, offsets = (numbers(path, table, name) for name in TIMES)
    rows = []
    for name, label, onset, offset in zip(
        map(_stem, table["filename"]), table["event_label"], onsets, offsets, strict=True
    ):
        if name not in clips:
            raise FlamError(f"{path} names {name}, for which there are no scores")
        if label not in labels:
            raise FlamError(f"{path} names the label {label!r}, for which there are no scores in {name}")
        if offset < onset:
            raise FlamError(
                f"{path}: an event of {label!r} in {name} ends at {offset:g} s, before its onset {onset:g} s"
            )
        rows.append((labels[label], clips[name], float(onset), float(offset)))
    missing = [name for name, label in labels.items() if label not in {row[0] for row in rows}]
    if missing:
        raise FlamError(f"{path} has no event of {some(missing)}; take these columns out of the scores")
    truth = Truth.of(rows, np.ones((len(clips), len(labels)), dtype=bool))
    for label, name in enumerate(scores.labels):
        for clip, spans in truth.clips_of(label).items():
            if any(later[0] <= earlier[1] for earlier, later in pairwise(spans)):
                raise FlamError(f"{path}: events of {name!r} in {scores.clips[clip]} overlap or touch; make them one")
    return truth


def _read_tsv(path: Path, columns: list[str]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, sep="\t", keep_default_na=False, dtype=str, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise FlamError(f"cannot read {path}: {error}") from None
    if missing := [name for name in columns if name not in table.columns]:
        raise FlamError(f"{path} has no column {some(missing)}; its columns must be {', '.join(columns)}, with tabs")
    return table


def _stem(name: str) -> str:
    """A file's name without its ending: as the tables are named."""
    return name.rsplit(".", maxsplit=1)[0]
