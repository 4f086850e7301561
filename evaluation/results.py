"""What an evaluation found: metrics by name with their intervals, each label's own, and all as a table."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from rich.markup import escape
from rich.table import Table

from evaluation.bootstrap import Interval, interval
from evaluation.calibration import Calibration
from evaluation.grounding import VARIANTS
from evaluation.post_processing import PostProcessing
from evaluation.psds import Roc
from evaluation.retrieval import MAP_AT, RECALL_AT
from evaluation.robustness import Curves
from evaluation.scored import ScoredSplit
from evaluation.strata import Stratum

DEFAULT_THRESHOLD = 0.5

_GROUPS = {
    "": "",
    "_known": ", known labels",
    "_held_out": ", held-out labels",
    "_unseen_wordings": ", known labels by unseen wordings",
}
_RETRIEVED = {**{f"recall_at_{k}": f"recall at {k}" for k in RECALL_AT}, f"map_at_{MAP_AT}": f"mAP at {MAP_AT}"}
# Metrics in the order of the table, by what they are called there
TITLES = {
    **{f"auroc_all{group}": f"frame AUROC, all frames{words}" for group, words in _GROUPS.items()},
    **{f"auroc_active{group}": f"frame AUROC, frames with sound{words}" for group, words in _GROUPS.items()},
    "auroc_all_pooled": "frame AUROC, all frames of all labels together",
    "auroc_active_pooled": "frame AUROC, frames with sound of all labels together",
    "mpauc": "1-s AUROC up to a tenth of false positives (mpAUC)",
    "psds1": "PSDS1",
    "psds1_a": "PSDS1_A",
    "psds2": "PSDS2",
    "detection_f1_macro": "F1 of detections by half, mean of labels",
    "detection_f1_micro": "F1 of detections by half, all events",
    "collar_f1_macro": "event F1 (200 ms), mean of labels",
    "collar_f1_micro": "event F1 (200 ms), all events",
    "segment_f1_macro": "1-s F1, mean of labels",
    "segment_f1_micro": "1-s F1, all segments",
    "collar_f1_macro_at_0.5": "event F1 at 0.5, mean of labels",
    "collar_f1_micro_at_0.5": "event F1 at 0.5, all events",
    "segment_f1_macro_at_0.5": "1-s F1 at 0.5, mean of labels",
    "segment_f1_micro_at_0.5": "1-s F1 at 0.5, all segments",
    "segment_f1_macro_oracle": "1-s F1, mean of labels, threshold chosen on this split (oracle)",
    "ece": "expected calibration error of frames",
    "brier": "Brier score of frames",
    "brier_of_prior": "Brier score of always saying how common sounds are",
    "false_alarms_per_hour": "false alarms an hour and label that isn't there",
    "false_alarms_per_hour_near_misses": "false alarms an hour and near miss of a label that is there",
    "zero_shot_accuracy": "zero-shot accuracy of clips",
    "zero_shot_map": "zero-shot mAP of clips, mean of labels",
    **{name: f"grounding PSDS, by {name.rpartition('_')[2]}" for name in VARIANTS},
    "grounding_th_auc": "grounding Th-AUC",
    **{f"text_to_audio_{name}": f"text to audio {words}" for name, words in _RETRIEVED.items()},
    **{f"audio_to_text_{name}": f"audio to text {words}" for name, words in _RETRIEVED.items()},
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelRow:
    """One label's metrics; None where one is undefined."""

    cluster: str
    label: str
    phrase: str
    held_out: bool
    num_soundscapes: int
    auroc_all: float | None
    auroc_active: float | None
    psds1: float | None
    segment_f1: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Metric:
    """A value, None where it is undefined, and what it would be on other clips of the kind."""

    value: float | None
    replicates: Float[np.ndarray, " replicate"]  # all NaN for what has no interval

    @property
    def interval(self) -> Interval | None:
        """95 % of the replicates; of a share from 0 to 1."""
        found = None if self.value is None else interval(self.replicates, around=self.value)
        if found is None:
            return None
        most = 1.0 if np.nanmax(self.replicates) <= 1 else np.inf
        return Interval(low=min(max(found.low, 0.0), most), high=min(max(found.high, 0.0), most))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Metrics of a detector on a split, by the names in TITLES.

    Args:
        split: train, valid or test.
        num_soundscapes: in it.
        soundscapes: a digest of them: metrics of the same soundscapes can be compared.
        num_labels: that occur in them.
        labels_left_out: of the mean over labels of a metric: those that have no value of their own.
        threshold: of F1s without another in their name; chosen on validation data, or None without these F1s.
        post: what else makes detections of scores; chosen on validation data, too.
        metrics: by name.
        labels: each label's own.
        scored: what they were taken from.
        curves: of PSDS.
        calibration: of probabilities.
        strata: AUROC by loudness, duration and company of the events.
        robustness: curves that were measured by hearing soundscapes again; {} without.
    """

    split: str
    num_soundscapes: int
    soundscapes: str
    num_labels: int
    labels_left_out: dict[str, int]
    threshold: float | None
    post: PostProcessing
    metrics: dict[str, Metric]
    labels: list[LabelRow]
    scored: ScoredSplit
    curves: dict[str, Roc]
    calibration: Calibration
    strata: dict[str, list[Stratum]]
    robustness: Curves = dataclasses.field(default_factory=dict)

    def value(self, name: str) -> float | None:
        """A metric's value; None where it is undefined or wasn't measured."""
        return self.metrics[name].value if name in self.metrics else None

    def to_dict(self) -> dict[str, Any]:
        """For metrics.json."""
        intervals = {name: metric.interval for name, metric in self.metrics.items()}
        curves = {name: [dataclasses.asdict(point) for point in points] for name, points in self.robustness.items()}
        return {
            "split": self.split,
            "num_soundscapes": self.num_soundscapes,
            "soundscapes": self.soundscapes,
            "num_labels": self.num_labels,
            "labels_left_out": self.labels_left_out,
            "threshold": self.threshold,
            "post_processing": dataclasses.asdict(self.post),
            **{name: metric.value for name, metric in self.metrics.items()},
            "intervals": {name: [found.low, found.high] for name, found in intervals.items() if found is not None},
            "strata": {name: [part.to_dict() for part in parts] for name, parts in self.strata.items()},
            **({"curves": curves} if curves else {}),
            "labels": [dataclasses.asdict(row) for row in self.labels],
        }


def evaluation_table(
    evaluation: Evaluation, *, title: str = "", baselines: Mapping[str, Mapping[str, float | None]] | None = None
) -> Table:
    """The metrics as a table for a terminal, those of baselines beside them."""
    what = f"{evaluation.num_soundscapes} soundscapes of {evaluation.split}, {evaluation.num_labels} labels"
    caption = None if evaluation.threshold is None else f"chosen on validation data: {evaluation.post}"
    table = Table(title=escape(f"{title}: {what}" if title else what), caption=caption)
    beside = baselines or {}
    for column in ("metric", "value", "95 % interval", *beside):
        table.add_column(escape(column), justify="left" if column == "metric" else "right")
    for name, row in zip(evaluation.metrics, table_rows(evaluation), strict=True):
        table.add_row(*row, *(shown(values.get(name)) for values in beside.values()))
    return table


def shown(value: float | None) -> str:
    """A metric in a table."""
    return "-" if value is None else f"{value:.3f}"


def table_rows(evaluation: Evaluation) -> Iterator[tuple[str, str, str]]:
    """Metric, value and interval, in words."""
    for name, metric in evaluation.metrics.items():
        words = TITLES[name]
        if name.endswith(("f1_macro", "f1_micro")):
            words = words.replace(",", f" at {evaluation.threshold:g}, chosen on validation data,", 1)
        found = metric.interval
        yield (
            words,
            shown(metric.value),
            "" if found is None else f"{found.low:.3f} to {found.high:.3f}",
        )
