"""Polyphonic sound detection scores, by sed_scores_eval: PSDS1 and, without its variance penalty, PSDS1_A.

Two tables go in, in that package's own form: per clip the scores (`onset, offset`, one column a label, rows without
gaps) and the ground truth as (onset, offset, label).
"""

import dataclasses
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from manifests.errors import FlamError
from manifests.frames import merged

with warnings.catch_warnings():
    # its dependency dcase_util imports pkg_resources, which warns of its own end to whoever only wants a score
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
    # invalid escapes in its docstrings; Python says so once, when it compiles them
    warnings.filterwarnings("ignore", message="invalid escape sequence", category=SyntaxWarning)
    warnings.filterwarnings("ignore", message="invalid escape sequence", category=DeprecationWarning)
    from sed_scores_eval import collar_based, intersection_based, segment_based
    from sed_scores_eval.intersection_based.psds import (
        multi_class_psd_roc_from_single_class_psd_rocs as combined_roc,
    )
    from sed_scores_eval.intersection_based.psds import psds_from_psd_roc

TruthEvent = tuple[float, float, str]  # onset and offset in seconds, label
_CRITERIA: dict[str, Any] = {"dtc_threshold": 0.7, "gtc_threshold": 0.7, "cttc_threshold": None, "alpha_ct": 0.0}
_MAX_FALSE_ALARMS_PER_HOUR = 100.0
_LABELS_AT_ONCE = 16  # the scorer keeps every threshold of every clip and label


@dataclasses.dataclass(frozen=True, kw_only=True)
class Psds:
    """Areas under the PSD ROC, 0 to 1."""

    psds1: float
    psds1_a: float
    per_label: dict[str, float]


def score_table(
    activations: Float[np.ndarray, "frame label"], *, labels: Sequence[str], hop: float, duration: float
) -> pd.DataFrame:
    """A clip's activations as a score table, cut at the clip's end; `hop` and `duration` in seconds."""
    edges = np.minimum(np.arange(len(activations) + 1) * hop, duration)
    inside = int(np.sum(np.diff(np.round(edges, 6)) > 0))
    table = pd.DataFrame(activations[:inside].astype(np.float64), columns=list(labels))
    table.insert(0, "onset", edges[:inside], allow_duplicates=True)
    table.insert(1, "offset", edges[1 : inside + 1], allow_duplicates=True)
    return table


def truth_events(spans: Mapping[str, Sequence[tuple[float, float]]], *, duration: float) -> list[TruthEvent]:
    """The events of a clip as the scorer wants them: cut at the clip's ends, a label's overlaps and touches joined."""
    events = []
    for label, label_spans in spans.items():
        cut = [(max(onset, 0.0), min(offset, duration)) for onset, offset in label_spans]
        # to the scorer's microsecond first, or spans that touch after its rounding would still be two
        rounded = [(round(onset, 6), round(offset, 6)) for onset, offset in cut]
        events += [(*span, label) for span in merged([span for span in rounded if span[1] > span[0]])]
    return sorted(events)


def psds(
    scores: Mapping[str, pd.DataFrame],
    truth: Mapping[str, Sequence[TruthEvent]],
    durations: Mapping[str, float],
) -> Psds:
    """PSDS1 and PSDS1_A over clips by id; labels without an event are left out; raises FlamError on NaN scores.

    Args:
        scores: a score table per clip. Clips without events count: their detections are false alarms.
        truth: the events of every clip, disjoint within a label.
        durations: seconds; their sum is what false alarms per hour refer to.
    """
    occurring = {label for events in truth.values() for _, _, label in events}
    columns = [label for label in next(iter(scores.values())).columns[2:] if label in occurring]
    if not columns:
        raise FlamError("PSDS needs at least one event of a label that was scored; the ground truth holds none")
    _check_scores(scores)
    rocs: dict[str, Any] = {}
    with _refusals():
        for start in range(0, len(columns), _LABELS_AT_ONCE):
            rocs.update(_label_rocs(scores, truth, dict(durations), columns[start : start + _LABELS_AT_ONCE]))
        areas = [
            _area(*combined_roc(rocs, alpha_st=alpha, max_efpr=_MAX_FALSE_ALARMS_PER_HOUR)) for alpha in (1.0, 0.0)
        ]
    per_label = {label: _area(*rocs[label][:2]) for label in columns}
    return Psds(psds1=areas[0], psds1_a=areas[1], per_label=per_label)


def _label_rocs(
    scores: Mapping[str, pd.DataFrame],
    truth: Mapping[str, Sequence[TruthEvent]],
    durations: dict[str, float],
    labels: Sequence[str],
) -> dict[str, Any]:
    """The PSD ROC of each of some labels. Without cross-triggers labels don't touch, so few need be held at once."""
    short = {label: f"label {index}" for index, label in enumerate(labels)}  # a label may be named "onset"
    tables = {clip: _renamed(table, short) for clip, table in scores.items()}
    events = {clip: [(on, off, short[label]) for on, off, label in truth[clip] if label in short] for clip in scores}
    _, rocs = intersection_based.psd_roc(tables, events, durations, max_efpr=_MAX_FALSE_ALARMS_PER_HOUR, **_CRITERIA)
    return {label: rocs[column] for label, column in short.items()}


def _area(hits: Float[np.ndarray, " point"], false_alarms: Float[np.ndarray, " point"]) -> float:
    return float(psds_from_psd_roc(hits, false_alarms, _MAX_FALSE_ALARMS_PER_HOUR))


def score_files(
    scores: Path, ground_truth: Path, durations: Path, *, threshold: float = 0.5
) -> tuple[dict[str, float], dict[str, str]]:
    """PSDS and F1 of tables as files: the values by name, and by name why the scorer refuses to give one.

    Tables are taken as they are: nothing is clipped or joined here. Raises FlamError if there is nothing to score.

    Args:
        scores: a folder with one tsv per clip, `onset offset LABEL...`.
        ground_truth: tsv `filename onset offset event_label`.
        durations: tsv `filename duration`.
        threshold: of the F1s; a score must be above it.
    """
    paths = sorted(scores.glob("*.tsv"))
    if not paths:
        raise FlamError(f"{scores} holds no .tsv file; give a folder with one score table per clip")
    with _refusals():
        tables = {path.stem: pd.read_csv(path, sep="\t", keep_default_na=False) for path in paths}
    _check_scores(tables)
    values: dict[str, float] = {}
    refused: dict[str, str] = {}
    for name, compute in _METRICS.items():
        try:
            with _refusals():
                values.update(compute(name, tables, (str(ground_truth), str(durations)), threshold))
        except FlamError as error:
            refused[name] = str(error)
    return values, refused


_Files = tuple[str, str]  # ground truth, durations


def _psds_of_files(name: str, tables: dict[str, pd.DataFrame], files: _Files, _: float) -> dict[str, float]:
    result = intersection_based.psds(tables, *files, max_efpr=_MAX_FALSE_ALARMS_PER_HOUR, **_VARIANTS[name])
    return {name: float(result[0])}


def _collar_f1_of_files(
    name: str, tables: dict[str, pd.DataFrame], files: _Files, threshold: float
) -> dict[str, float]:
    collar = {"onset_collar": 0.2, "offset_collar": 0.2, "offset_collar_rate": 0.2}
    return _averages(name, collar_based.fscore(tables, files[0], threshold=threshold, **collar)[0])


def _segment_f1_of_files(
    name: str, tables: dict[str, pd.DataFrame], files: _Files, threshold: float
) -> dict[str, float]:
    return _averages(name, segment_based.fscore(tables, *files, threshold=threshold, segment_length=1.0)[0])


def _averages(name: str, values: Mapping[str, float]) -> dict[str, float]:
    return {f"{name}_{kind}": float(values[f"{kind}_average"]) for kind in ("macro", "micro")}


_VARIANTS: dict[str, dict[str, Any]] = {
    "PSDS1": {**_CRITERIA, "alpha_st": 1.0},
    "PSDS1A": {**_CRITERIA, "alpha_st": 0.0},
    "PSDS2": {"dtc_threshold": 0.1, "gtc_threshold": 0.1, "cttc_threshold": 0.3, "alpha_ct": 0.5, "alpha_st": 1.0},
}
_METRICS = {
    **dict.fromkeys(_VARIANTS, _psds_of_files),
    "collar_f1": _collar_f1_of_files,
    "segment_f1": _segment_f1_of_files,
}


def _renamed(table: pd.DataFrame, short: Mapping[str, str]) -> pd.DataFrame:
    positions = {label: index for index, label in enumerate(table.columns) if index >= 2}
    chosen = table.iloc[:, [0, 1, *(positions[label] for label in short)]].copy()
    chosen.columns = pd.Index(["onset", "offset", *short.values()])
    return chosen


def _check_scores(tables: Mapping[str, pd.DataFrame]) -> None:
    """The scorer takes NaN without a word and gives a number."""
    for clip, table in tables.items():
        try:
            finite = np.isfinite(table.to_numpy(np.float64)).all()
        except ValueError:
            finite = False
        if not finite:
            raise FlamError(
                f"scores of {clip} hold NaN, infinity or text; fix the model or the table, then score again"
            )


@contextmanager
def _refusals() -> Iterator[None]:
    """What the scorer asserts about its input, as one line for the user."""
    try:
        yield
    except FlamError:
        raise
    except (AssertionError, ValueError, KeyError, OSError) as error:
        raise FlamError(f"sed_scores_eval refuses these tables: {error}; check ground truth and durations") from None
