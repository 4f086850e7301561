"""The shards of a sound bank: the unit of work of making one, and what each left behind.

A shard's part table is written after its samples: its presence says that the shard is complete.
"""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from curation.duplicates import ANCHOR
from curation.fingerprint import fingerprint
from curation.lengths import Lengths
from curation.prepare import RejectError, prepare
from curation.source_clip import SourceClip, SourceFile
from curation.sources.builtin_bank import is_builtin
from curation.sources.listing import Reject
from manifests.store import read_rows, replacing, write_rows

PCM, MEASURES = np.dtype("<i2"), np.dtype("<f4")
SHARD_SIZE = 64  # recordings: seconds of work, and small enough that two workers end together


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of one recording: a clip without a split, or a reject."""

    clip: SourceClip | None
    reject: Reject | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardTask:
    """The recordings of one shard."""

    index: int
    files: Sequence[SourceFile]


def pcm_path(root: Path, shard: int) -> Path:
    """The samples of one shard."""
    return root / "pcm" / f"{shard:05d}.i16"


def measures_path(root: Path, shard: int) -> Path:
    """The measures of one shard's clips."""
    return root / "measures" / f"{shard:05d}.f32"


def anchors_path(root: Path, shard: int) -> Path:
    """The fingerprints of one shard's clips."""
    return root / "fingerprints" / f"{shard:05d}.anchors"


def part_path(root: Path, shard: int) -> Path:
    """The outcomes of one shard."""
    return root / "parts" / f"{shard:05d}.parquet"


def shard_tasks(files: Sequence[SourceFile]) -> list[ShardTask]:
    """All shards of a bank. They depend on the recordings only, so that an interrupted run finds its own again."""
    starts = range(0, len(files), SHARD_SIZE)
    return [ShardTask(index=index, files=files[start : start + SHARD_SIZE]) for index, start in enumerate(starts)]


def is_finished(root: Path, task: ShardTask) -> bool:
    """Whether an earlier run has finished this shard."""
    return all(path(root, task.index).is_file() for path in (part_path, pcm_path, measures_path, anchors_path))


def write_shard(task: ShardTask, *, root: Path, sample_rate: int, seed: int, lengths: Lengths) -> None:
    """Prepare the recordings of one shard and write its samples, then its outcomes."""
    outcomes, num_clips, num_written, num_measured = [], 0, 0, 0
    with (
        replacing(pcm_path(root, task.index)) as temporary_pcm,
        replacing(measures_path(root, task.index)) as temporary_measures,
        replacing(anchors_path(root, task.index)) as temporary_anchors,
        temporary_pcm.open("wb") as pcm_file,
        temporary_measures.open("wb") as measures_file,
        temporary_anchors.open("wb") as anchors_file,
    ):
        for file in task.files:
            try:
                clip, pcm, measures = prepare(file, sample_rate=sample_rate, seed=seed, lengths=lengths)
            except RejectError as error:
                reject = Reject(origin=file.origin, reason=error.reason, detail=error.detail, bad=error.bad)
                outcomes.append(Outcome(clip=None, reject=reject))
                continue
            pcm_file.write(pcm.astype(PCM).tobytes())
            values = np.concatenate(measures.parts())
            measures_file.write(values.astype(MEASURES).tobytes())
            if clip.role != "impulse_response" and not is_builtin(file):
                anchors_file.write(_anchors(num_clips, pcm, sample_rate).tobytes())
            placed = dataclasses.replace(clip, pcm_shard=task.index, pcm_start=num_written, measures_start=num_measured)
            outcomes.append(Outcome(clip=placed, reject=None))
            num_clips, num_written, num_measured = num_clips + 1, num_written + len(pcm), num_measured + len(values)
    write_rows(part_path(root, task.index), outcomes, Outcome)


def read_outcomes(root: Path, tasks: Sequence[ShardTask]) -> tuple[list[SourceClip], list[Reject]]:
    """The clips and the rejects of all shards, in the order of the recordings."""
    outcomes = [outcome for task in tasks for outcome in read_rows(part_path(root, task.index), Outcome)]
    clips = [outcome.clip for outcome in outcomes if outcome.clip is not None]
    return clips, [outcome.reject for outcome in outcomes if outcome.reject is not None]


def read_anchors(root: Path, tasks: Sequence[ShardTask], clips: Sequence[SourceClip]) -> npt.NDArray[Any]:
    """The fingerprints of all clips, numbered as these are."""
    num_clips = Counter(clip.pcm_shard for clip in clips)
    shards, first = [np.zeros(0, ANCHOR)], 0
    for task in tasks:
        shard = np.fromfile(anchors_path(root, task.index), ANCHOR)
        shard["clip"] += first
        shards.append(shard)
        first += num_clips[task.index]
    return np.concatenate(shards)


def _anchors(clip: int, pcm: npt.NDArray[np.int16], sample_rate: int) -> npt.NDArray[Any]:
    found = fingerprint(pcm / np.float32(32768), sample_rate)
    anchors = np.zeros(len(found.frames), ANCHOR)
    anchors["clip"], anchors["frame"], anchors["descriptor"] = clip, found.frames, found.descriptors
    return anchors


def remove_leftovers(root: Path) -> None:
    """Delete what a killed process had not finished writing."""
    for folder in (root, root / "pcm", root / "measures", root / "fingerprints", root / "parts"):
        for path in folder.glob(".*.tmp"):
            path.unlink()
