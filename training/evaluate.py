"""A detector on a split of a dataset: scores of every soundscape and label once, and all metrics from them."""

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool
from rich.table import Table

from manifests.captions import caption_texts
from manifests.errors import FlamError
from manifests.progress import progress
from manifests.schema import Soundscape
from manifests.store import DatasetFolder
from training.metrics import LabelMean, SegmentF1, segment_f1
from training.psds import Psds
from training.retrieval import Retrieval, retrieval
from training.scored import Detector, ScoredSplit, collect_scores, split_soundscapes

DEFAULT_THRESHOLD = 0.5


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
class Evaluation:
    """Metrics of a detector on a split. AUROC, PSDS, F1 and recall are 0 to 1; None where one is undefined."""

    split: str
    num_soundscapes: int
    num_labels: int
    auroc_all: LabelMean
    auroc_active: LabelMean
    psds: Psds | None
    segment_f1_default: SegmentF1
    segment_f1: SegmentF1 | None  # at the threshold chosen on validation data
    retrieval: Retrieval | None
    labels: list[LabelRow]
    groups: dict[str, dict[str, float | int | None]]

    def to_dict(self) -> dict[str, Any]:
        """For metrics.json."""
        result: dict[str, Any] = {
            "split": self.split,
            "num_soundscapes": self.num_soundscapes,
            "num_labels": self.num_labels,
            "auroc_all": self.auroc_all.macro,
            "auroc_all_labels_left_out": self.auroc_all.num_left_out,
            "auroc_active": self.auroc_active.macro,
            "auroc_active_labels_left_out": self.auroc_active.num_left_out,
            "psds1": self.psds.psds1 if self.psds else None,
            "psds1_a": self.psds.psds1_a if self.psds else None,
            "segment_f1": [_f1_dict(f1) for f1 in (self.segment_f1_default, self.segment_f1) if f1 is not None],
        }
        if self.retrieval is not None:
            result["retrieval"] = _retrieval_dict(self.retrieval)
        if self.groups:
            result["groups"] = self.groups
        return {**result, "labels": [dataclasses.asdict(row) for row in self.labels]}


def evaluate(
    detector: Detector,
    folder: DatasetFolder,
    *,
    split: str = "test",
    threshold: float | None = None,
    caption_set: str | None = None,
    known_clusters: Collection[str] | None = None,
    limit: int | None = None,
) -> Evaluation:
    """All metrics of a detector on one split of a dataset.

    Args:
        detector: the model.
        folder: the dataset.
        split: train, valid or test.
        threshold: for a second segment F1 beside the one at 0.5; choose it on the validation split.
        caption_set: captions to measure retrieval with.
        known_clusters: those that the model was trained on; AUROC is then also given for them and for the others.
        limit: only the first soundscapes.
    """
    soundscapes = split_soundscapes(folder, split, limit=limit)
    captions = _captions(folder, caption_set, soundscapes) if caption_set is not None else None
    scored = collect_scores(detector, folder, soundscapes)
    auroc_all, auroc_active = scored.auroc(active_only=False), scored.auroc(active_only=True)
    psds_result = scored.psds()
    segments = scored.segments()
    default = segment_f1(*segments, threshold=DEFAULT_THRESHOLD)
    chosen = segment_f1(*segments, threshold=threshold) if threshold is not None else None
    known = {query.cluster for query in scored.queries} if known_clusters is None else set(known_clusters)
    is_held_out = np.array([query.cluster not in known for query in scored.queries])
    return Evaluation(
        split=split,
        num_soundscapes=len(soundscapes),
        num_labels=len(scored.queries),
        auroc_all=auroc_all,
        auroc_active=auroc_active,
        psds=psds_result,
        segment_f1_default=default,
        segment_f1=chosen,
        retrieval=_retrieval(detector, folder, soundscapes, captions) if captions is not None else None,
        labels=_label_rows(scored, is_held_out, (auroc_all, auroc_active, (chosen or default).labels), psds_result),
        groups=_groups(is_held_out, auroc_all, auroc_active) if is_held_out.any() else {},
    )


def _captions(folder: DatasetFolder, caption_set: str, soundscapes: Sequence[Soundscape]) -> list[tuple[int, str]]:
    """(row of the soundscape, text) of every caption of these soundscapes."""
    row = {soundscape.soundscape_id: index for index, soundscape in enumerate(soundscapes)}
    found = [(row[key], text) for key, text in caption_texts(folder, caption_set) if key in row]
    if not found:
        raise FlamError(f"captions {caption_set!r} of {folder.root} hold none for this split; run `flam-cli caption`")
    return sorted(found)


def _retrieval(
    detector: Detector, folder: DatasetFolder, soundscapes: Sequence[Soundscape], captions: Sequence[tuple[int, str]]
) -> Retrieval:
    rows = sorted({row for row, _ in captions})
    at = {row: index for index, row in enumerate(rows)}
    audio = []
    with progress("embed clips", len(rows)) as advance:
        for row in rows:
            audio.append(detector.clip_embedding(folder.audio(soundscapes[row])))
            advance()
    texts = [text for _, text in captions]
    embedded = detector.caption_embeddings(texts)
    clip_of = np.array([at[row] for row, _ in captions])
    return retrieval(np.stack(audio), embedded, clip_of=clip_of, texts=texts)


def _label_rows(
    scored: ScoredSplit,
    held_out: Bool[np.ndarray, " label"],
    values: tuple[LabelMean, LabelMean, LabelMean],
    psds_result: Psds | None,
) -> list[LabelRow]:
    auroc_all, auroc_active, f1 = ([_number(value) for value in mean.per_label] for mean in values)
    areas = psds_result.per_label if psds_result else {}
    return [
        LabelRow(
            **dataclasses.asdict(query),
            held_out=bool(held_out[index]),
            num_soundscapes=sum(bool(clip.known[index]) and query.cluster in clip.spans for clip in scored.clips),
            auroc_all=auroc_all[index],
            auroc_active=auroc_active[index],
            psds1=areas.get(query.cluster),
            segment_f1=f1[index],
        )
        for index, query in enumerate(scored.queries)
    ]


def _groups(
    held_out: Bool[np.ndarray, " label"], auroc_all: LabelMean, auroc_active: LabelMean
) -> dict[str, dict[str, float | int | None]]:
    return {
        name: {
            "num_labels": int(chosen.sum()),
            "auroc_all": auroc_all.subset(chosen).macro,
            "auroc_active": auroc_active.subset(chosen).macro,
        }
        for name, chosen in (("known", ~held_out), ("held_out", held_out))
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _f1_dict(f1: SegmentF1) -> dict[str, float | None]:
    return {"threshold": f1.threshold, "macro": f1.macro, "micro": f1.micro}


def _retrieval_dict(result: Retrieval) -> dict[str, Any]:
    return {
        "num_captions": result.num_captions,
        "num_clips": result.num_clips,
        "text_to_audio": {f"recall_at_{k}": value for k, value in result.text_to_audio.items()},
        "audio_to_text": {f"recall_at_{k}": value for k, value in result.audio_to_text.items()},
    }


def evaluation_table(evaluation: Evaluation) -> Table:
    """The metrics as a table for a terminal."""
    table = Table(
        title=f"{evaluation.num_soundscapes} soundscapes of {evaluation.split}, {evaluation.num_labels} labels"
    )
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, value in _table_rows(evaluation):
        table.add_row(name, "-" if value is None else f"{value:.3f}")
    return table


def _table_rows(evaluation: Evaluation) -> Iterator[tuple[str, float | None]]:
    yield "frame AUROC, all frames", evaluation.auroc_all.macro
    yield "frame AUROC, frames with sound", evaluation.auroc_active.macro
    for name, group in evaluation.groups.items():
        yield f"  {name.replace('_', ' ')} ({group['num_labels']} labels), all frames", group["auroc_all"]
        yield f"  {name.replace('_', ' ')} ({group['num_labels']} labels), frames with sound", group["auroc_active"]
    yield "PSDS1", evaluation.psds.psds1 if evaluation.psds else None
    yield "PSDS1_A", evaluation.psds.psds1_a if evaluation.psds else None
    for f1 in (evaluation.segment_f1_default, evaluation.segment_f1):
        if f1 is not None:
            yield f"1-s F1 at {f1.threshold:g}, mean of labels", f1.macro
            yield f"1-s F1 at {f1.threshold:g}, all segments", f1.micro
    if evaluation.retrieval is not None:
        for way in ("text_to_audio", "audio_to_text"):
            for k, value in getattr(evaluation.retrieval, way).items():
                yield f"{way.replace('_', ' ')} recall at {k}", value
