"""The sound bank: every recording decoded, resampled, trimmed and measured once.

What a bank's folder holds:

    BANK/bank.json           what it was made from, its sample rate and fingerprint
    BANK/parts/*.parquet     finished shards; an interrupted run continues after them
    BANK/pcm/00000.i16       the sounds of one shard, one after another: mono, 16 bits, little-endian
    BANK/measures/00000.f32  what was measured of each, by curation.measures; 32-bit floats
    BANK/fingerprints/00000.anchors  by what copies of it are found, by curation.fingerprint
    BANK/rejects.parquet     recordings that could not be used, and why
    BANK/sources.parquet     SourceClip rows; written last, so its presence says that the bank is complete

Positions are samples at the bank's rate.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from curation.bank_copies import find_copies
from curation.bank_merge import (
    check_roles,
    check_usable,
    count_reasons,
    fingerprint,
    first_of_reason,
    notes,
    notes_on_pairs,
    with_shared_clusters,
    with_splits,
    with_united_groups,
    without_duplicates,
)
from curation.bank_shards import (
    MEASURES,
    PCM,
    ShardTask,
    is_finished,
    measures_path,
    pcm_path,
    read_anchors,
    read_outcomes,
    remove_leftovers,
    shard_tasks,
    write_shard,
)
from curation.lengths import ANY_LENGTH, Lengths
from curation.measures import Measures
from curation.runner import run_tasks
from curation.source_clip import SourceClip, SourceFile
from curation.sources import list_sources
from curation.sources.listing import ROLES, Listing, Reject
from curation.splits import given_splits
from manifests.errors import FlamError
from manifests.store import claim, locked, read_json, read_rows, write_json, write_rows

FORMAT_VERSION = 4
MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 8_000, 192_000


@dataclass(frozen=True, kw_only=True)
class Bank:
    """A finished sound bank. Its samples stay on disk, memory-mapped."""

    root: Path
    sample_rate: int
    fingerprint: str
    clips: list[SourceClip] = field(repr=False)
    _pcm: dict[int, npt.NDArray[np.int16]] = field(default_factory=dict, repr=False, compare=False)  # mapped shards
    _measures: dict[int, npt.NDArray[np.float32]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def open(cls, root: Path) -> "Bank":
        """The bank in a folder; raises FlamError if it is missing, unfinished, damaged or of another format."""
        info = _read_info(root)
        if not _sources_path(root).is_file():
            raise FlamError(f"{root} is an unfinished bank; run the same `flam-cli bank` command again to finish it")
        if not info.keys() >= {"sample_rate", "fingerprint", "notes"}:
            raise FlamError(f"{_info_path(root)} is damaged; delete {root} and make the bank again")
        clips = read_rows(_sources_path(root), SourceClip)
        _check_shards(root, clips)
        return cls(root=root, sample_rate=info["sample_rate"], fingerprint=info["fingerprint"], clips=clips)

    def samples(self, clip: SourceClip, start: int = 0, num_samples: int | None = None) -> npt.NDArray[np.int16]:
        """A read-only view of `num_samples` samples of a clip from `start` on, by default all that follow.

        Raises ValueError outside the clip: next to it lies another sound.
        """
        stop = clip.num_samples if num_samples is None else start + num_samples
        if not 0 <= start <= stop <= clip.num_samples:
            raise ValueError(f"samples {start} to {stop} of {clip.source_id}, which has {clip.num_samples}")
        shard = self._pcm.get(clip.pcm_shard)
        if shard is None:
            shard = self._pcm[clip.pcm_shard] = _mapped(pcm_path(self.root, clip.pcm_shard), PCM)
        return shard[clip.pcm_start + start : clip.pcm_start + stop]

    def measures(self, clip: SourceClip) -> Measures:
        """Read-only views of what was measured of a clip."""
        shard = self._measures.get(clip.pcm_shard)
        if shard is None:
            shard = self._measures[clip.pcm_shard] = _mapped(measures_path(self.root, clip.pcm_shard), MEASURES)
        return Measures.from_parts(shard, clip.measures_start, clip.measures_sizes)

    def rejects_by_reason(self) -> dict[str, int]:
        """Number of recordings that could not be used, most frequent reason first."""
        return dict(count_reasons(read_rows(_rejects_path(self.root), Reject)))

    def __getstate__(self) -> dict[str, Any]:
        """Without what is mapped: pickle would copy it."""
        return {**self.__dict__, "_pcm": {}, "_measures": {}}


def _mapped(path: Path, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """A view of the plain kind: slicing a np.memmap costs ten times as much."""
    return np.asarray(np.memmap(path, dtype=dtype, mode="r"))


@dataclass(frozen=True, kw_only=True, slots=True)
class BankReport:
    """What `build_bank` made, and what the user should know of it."""

    bank: Bank
    rejects: list[Reject]
    notes: list[str]  # sentences

    def counts(self) -> dict[tuple[str, str], Counter[str]]:
        """Number of clips by split for each (role, label), in order."""
        counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for clip in sorted(self.bank.clips, key=lambda clip: (clip.role, clip.label)):
            counts[clip.role, clip.label][clip.split] += 1
        return dict(counts)

    def rejects_by_reason(self) -> Counter[str]:
        """Number of recordings that could not be used, most frequent reason first."""
        return count_reasons(self.rejects)

    def first_of_reason(self) -> dict[str, str]:
        """The origin of the first such recording for each reason, in the same order."""
        return first_of_reason(self.rejects)

    def warnings_by_kind(self) -> Counter[str]:
        """Number of clips that are used but have something odd."""
        return Counter(sorted(warning for clip in self.bank.clips for warning in clip.warnings))


def build_bank(  # noqa: PLR0913 - one parameter for each option
    sources: Sequence[str],
    out: Path,
    *,
    sample_rate: int = 32_000,
    seed: int = 0,
    workers: int,
    valid_share: float = 0.1,
    test_share: float = 0.1,
    lengths: Lengths = ANY_LENGTH,
    backgrounds: Sequence[Path] = (),
    licences: Sequence[str] = (),
) -> BankReport:
    """Make a sound bank, or finish one that an interrupted run of the same command began.

    The same sources and seed give the same bytes, whatever the number of workers. Raises FlamError.

    Args:
        sources: each the word `builtin`, a folder or a CSV file; see `curation.sources`.
        out: the bank's folder; new, empty, or a bank of the same sources and settings.
        sample_rate: of the bank, Hz.
        seed: of the splits and of the built-in sounds.
        workers: number of processes.
        valid_share: part of each label's groups for validation, where the sources do not say.
        test_share: the same for testing.
        lengths: which recordings are used, and as what where the sources do not say.
        backgrounds: folders of recordings without labels, for backgrounds.
        licences: families of `curation.licences`, to use only recordings under these; empty for all.
    """
    _check_settings(sample_rate, valid_share, test_share)
    listings = list_sources(sources, backgrounds)
    if licences:
        for listing in listings:
            listing.keep_licences(licences)
    files = [file for listing in listings for file in listing.files]
    check_roles(
        {role for file in files for role in (ROLES if file.role == "either" else (file.role,))},
        f" under {' or '.join(licences)}" if licences else "",
    )
    given_splits((file.group, file.split) for file in files if file.split)
    _check_out(out)
    made_from = {
        "format_version": FORMAT_VERSION,
        "sample_rate": sample_rate,
        "seed": seed,
        "valid_share": valid_share,
        "test_share": test_share,
        "foreground_seconds": list(lengths.foreground) if lengths.foreground else None,
        "background_seconds": lengths.background,
        "licences": sorted(licences),
        "sources": [_summary(listing) for listing in listings],
    }
    with locked(out, "flam-cli bank"):
        claim(_info_path(out), made_from, differs="choose another --out, or delete this bank")
        if not _sources_path(out).is_file():
            remove_leftovers(out)
            tasks = shard_tasks(files)
            _prepare_all(tasks, out, sample_rate=sample_rate, seed=seed, lengths=lengths, workers=workers)
            _finish(tasks, [reject for listing in listings for reject in listing.rejects], out, made_from)
    bank = Bank.open(out)
    return BankReport(bank=bank, rejects=read_rows(_rejects_path(out), Reject), notes=_read_info(out)["notes"])


def _prepare_all(
    tasks: Sequence[ShardTask], out: Path, *, sample_rate: int, seed: int, lengths: Lengths, workers: int
) -> None:
    missing = [task for task in tasks if not is_finished(out, task)]
    finished = run_tasks(
        functools.partial(write_shard, root=out.resolve(), sample_rate=sample_rate, seed=seed, lengths=lengths),
        missing,
        workers=workers,
        description="sounds",
        sizes=[len(task.files) for task in missing],
        done=sum(len(task.files) for task in tasks) - sum(len(task.files) for task in missing),
    )
    for _ in finished:
        pass


def _finish(tasks: Sequence[ShardTask], refused: Sequence[Reject], out: Path, made_from: dict[str, Any]) -> None:
    clips, rejects = read_outcomes(out, tasks)
    rejects = [*refused, *rejects]
    try:
        check_usable(clips, rejects)
        bank = Bank(root=out, sample_rate=made_from["sample_rate"], fingerprint="", clips=clips)
        pairs = find_copies(clips, read_anchors(out, tasks, clips), bank.samples, sample_rate=bank.sample_rate)
        united = with_united_groups(clips, pairs)
        num_groups = len({clip.group for clip in clips})
        clips, duplicates = without_duplicates(with_shared_clusters(united, pairs))
        rows = with_splits(clips, **{name: made_from[name] for name in ("seed", "valid_share", "test_share")})
    except FlamError:
        _discard(out)
        raise
    write_rows(_rejects_path(out), [*rejects, *duplicates], Reject)
    sentences = [*notes(clips, rows), *notes_on_pairs(united, pairs, rows, num_groups=num_groups)]
    write_json(_info_path(out), {**made_from, "fingerprint": fingerprint(rows), "notes": sentences})
    write_rows(_sources_path(out), rows, SourceClip)


def _summary(listing: Listing) -> dict[str, Any]:
    """What a source was, without a path or a time, so that a copy of it elsewhere is the same source."""
    digest = hashlib.blake2b(digest_size=16)
    for file in listing.files:
        fields = [getattr(file, name.name) for name in dataclasses.fields(file) if name.name != "path"]
        digest.update(json.dumps([*fields, _size(file)]).encode())
    return {
        "name": listing.name,
        "layout": listing.layout,
        "files": len(listing.files),
        "digest": digest.hexdigest(),
    }


def _size(file: SourceFile) -> int:
    try:
        return file.path.stat().st_size
    except OSError:
        return -1


def _check_settings(sample_rate: int, valid_share: float, test_share: float) -> None:
    if not MIN_SAMPLE_RATE <= sample_rate <= MAX_SAMPLE_RATE:
        raise FlamError(f"a sample rate of {sample_rate} Hz; use {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz")
    if min(valid_share, test_share) < 0 or valid_share + test_share >= 1:
        raise FlamError(
            f"valid share {valid_share} and test share {test_share} leave nothing for training; "
            "use numbers from 0 up with a sum below 1"
        )


def _check_out(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        others = [path.name for path in out.iterdir() if not _is_of_a_start(path)]
    except OSError as error:
        raise FlamError(f"cannot write to {out}: {error.strerror}; choose another --out") from None
    if others and not _info_path(out).is_file():
        raise FlamError(f"{out} is no sound bank and not empty ({others[0]}); choose another --out")


def _is_of_a_start(path: Path) -> bool:
    """Whether a run that was killed before it had a bank.json leaves this; other hidden files are the user's."""
    return path.name == ".lock" or path.match(".bank.json.*.tmp")


def _check_shards(root: Path, clips: Sequence[SourceClip]) -> None:
    ends: Counter[Path] = Counter()  # in bytes
    for clip in clips:
        pcm_end = (clip.pcm_start + clip.num_samples) * PCM.itemsize
        measures_end = (clip.measures_start + sum(clip.measures_sizes)) * MEASURES.itemsize
        for path, end in ((pcm_path, pcm_end), (measures_path, measures_end)):
            place = path(root, clip.pcm_shard)
            ends[place] = max(ends[place], end)
    for place, end in ends.items():
        if not place.is_file() or place.stat().st_size < end:
            raise FlamError(f"{place} is missing or cut; delete {root} and make the bank again")


def _discard(out: Path) -> None:
    """Remove what was written for a bank that cannot be finished, and nothing else.

    Its shards are of no more use: to mend it is to change the sources, and shards are of one list of sources.
    """
    for name in ("parts", "pcm", "measures", "fingerprints"):
        shutil.rmtree(out / name)
    for path in (_info_path(out), out / ".lock"):
        path.unlink()
    with contextlib.suppress(OSError):  # the user may keep files of theirs there
        out.rmdir()


def _read_info(root: Path) -> dict[str, Any]:
    if not _info_path(root).is_file():
        raise FlamError(f"no sound bank at {root}; make one with `flam-cli bank SOURCE... --out {root}`")
    info = read_json(_info_path(root))
    version = info.get("format_version") if isinstance(info, dict) else None
    if version != FORMAT_VERSION:
        raise FlamError(
            f"{_info_path(root)} has format_version {version}, this flam-cli reads {FORMAT_VERSION}; "
            "make the bank again, or use the version that wrote it"
        )
    return dict(info)


def _info_path(root: Path) -> Path:
    return root / "bank.json"


def _sources_path(root: Path) -> Path:
    return root / "sources.parquet"


def _rejects_path(root: Path) -> Path:
    return root / "rejects.parquet"
