"""From the outcomes of all shards to the rows of one bank: what is too bad, what is there twice, what goes where."""

import dataclasses
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Sequence

from curation.bank_copies import Unions
from curation.source_clip import UNLABELLED, SourceClip
from curation.sources.listing import ROLES, Reject
from curation.splits import Recording, assign_splits
from manifests.errors import FlamError
from manifests.schema import SPLITS

MAX_REJECTED_SHARE = 0.5


def check_roles(found: set[str], why: str = "") -> None:
    """Raise FlamError unless there are foregrounds and backgrounds. `why` follows "in the sources"."""
    missing = [role for role in ROLES if role not in found]
    if missing:
        raise FlamError(
            f"no usable {' and no '.join(missing)} in the sources{why}; add a folder with {missing[0]}/LABEL/ "
            "files or the word builtin"
        )


def check_usable(clips: Sequence[SourceClip], rejects: Sequence[Reject]) -> None:
    """Raise FlamError where too little is left or too much is bad, with the reasons. Duplicates are not among them."""
    check_roles({clip.role for clip in clips}, f": {_sentence(clips, rejects)}" if rejects else "")
    bad = [reject for reject in rejects if reject.bad]
    if len(bad) > MAX_REJECTED_SHARE * (len(clips) + len(bad)):
        raise FlamError(f"{_sentence(clips, bad)}: more than half; remove or replace them, then run again")


def _sentence(clips: Sequence[SourceClip], rejects: Sequence[Reject]) -> str:
    reasons = ", ".join(f"{count} {reason}" for reason, count in count_reasons(rejects).most_common())
    number = f"{len(rejects)} of {len(clips) + len(rejects)}"
    return f"{number} recordings were rejected ({reasons}; the first: {rejects[0].origin!r})"


def count_reasons(rejects: Sequence[Reject]) -> Counter[str]:
    """Number of rejects by reason, the most frequent first."""
    return Counter(dict(Counter(reject.reason for reject in rejects).most_common()))


def with_united_groups(clips: Sequence[SourceClip], pairs: Sequence[tuple[int, int]] = ()) -> list[SourceClip]:
    """Groups that share a sound become one, so that it is not heard on two sides; a corpus's own split is kept.

    `pairs` are the places of clips of which one is a copy of the other, or of a part of it.
    """
    given = {clip.group: clip.split for clip in clips if clip.split}
    first_by_sound: dict[str, SourceClip] = {}
    unions = Unions()
    same = [(clip, first_by_sound.setdefault(clip.source_id[1:], clip)) for clip in clips]
    for one, other in (*same, *((clips[later], clips[earlier]) for earlier, later in pairs)):
        joins, stays = sorted((unions.root(one.group), unions.root(other.group)), key=lambda group: group in given)
        if given.get(joins) in (None, given.get(stays)):
            unions.join(joins, stays)
    return [dataclasses.replace(clip, group=unions.root(clip.group)) for clip in clips]


def with_shared_clusters(clips: Sequence[SourceClip], pairs: Sequence[tuple[int, int]] = ()) -> list[SourceClip]:
    """Clips of one sound name each other's clusters in `contains`: none of these is absent where the sound is.

    So do those of a pair, as in `with_united_groups`.
    """
    by_sound: dict[str, list[SourceClip]] = defaultdict(list)
    for clip in clips:
        by_sound[clip.source_id[1:]].append(clip)
    copies: dict[str, list[SourceClip]] = defaultdict(list)
    for pair in pairs:
        one, other = (clips[place].source_id[1:] for place in pair)
        copies[one] += by_sound[other]
        copies[other] += by_sound[one]
    sounds = [clip.source_id[1:] for clip in clips]
    return [
        _with_clusters_of([*by_sound[sound], *copies[sound]], clip) for sound, clip in zip(sounds, clips, strict=True)
    ]


def _with_clusters_of(same: Sequence[SourceClip], clip: SourceClip) -> SourceClip:
    if len(same) == 1:
        return clip
    heard = {cluster for other in same for cluster in (other.cluster, *other.contains)}
    return dataclasses.replace(clip, contains=sorted(heard - {clip.cluster, UNLABELLED}))


def without_duplicates(clips: Sequence[SourceClip]) -> tuple[list[SourceClip], list[Reject]]:
    """Of identical sounds of one role the first, and the others as rejects; see `with_shared_clusters`."""
    kept: dict[str, SourceClip] = {}
    rejects = []
    for clip in clips:
        first = kept.setdefault(clip.source_id, clip)
        if first is not clip:
            detail = f"the same sound as {first.origin}"
            detail += f", which now contains {clip.cluster!r}" if clip.cluster in first.contains else ""
            rejects.append(Reject(origin=clip.origin, reason="duplicate", detail=detail))
    return list(kept.values()), rejects


def with_splits(clips: Sequence[SourceClip], *, seed: int, valid_share: float, test_share: float) -> list[SourceClip]:
    """Every clip on the side of its group, as `assign_splits` says."""
    recordings = [
        Recording(role=clip.role, label=_divided_by(clip), group=clip.group, split=clip.split or None) for clip in clips
    ]
    split = assign_splits(recordings, seed=seed, valid_share=valid_share, test_share=test_share)
    return [dataclasses.replace(clip, split=split[clip.group]) for clip in clips]


def _divided_by(clip: SourceClip) -> str:
    """The label; rooms, of which each has its own, are divided all together."""
    return "" if clip.role == "impulse_response" else clip.label


def first_of_reason(rejects: Sequence[Reject]) -> dict[str, str]:
    """The origin of the first reject of each reason, in the order of `count_reasons`."""
    first = {reject.reason: reject.origin for reject in reversed(rejects)}
    return {reason: first[reason] for reason in count_reasons(rejects)}


def notes(given: Sequence[SourceClip], rows: Sequence[SourceClip]) -> list[str]:
    """What the user should know of the splits, from the clips as their corpora gave them and as they are now."""
    sentences = []
    moved = {row.group for clip, row in zip(given, rows, strict=True) if clip.split not in ("", row.split)}
    if moved:
        sentences.append(f"the sources name no valid side: {len(moved)} of their train groups are for validation")
    present = {(row.role, row.split) for row in rows}
    sentences += [
        f"no {role} is on the {split} side: soundscapes of that split cannot be made"
        for role in ROLES
        for split in SPLITS
        if (role, split) not in present
    ]
    return sentences


def notes_on_pairs(
    clips: Sequence[SourceClip], pairs: Sequence[tuple[int, int]], rows: Sequence[SourceClip], *, num_groups: int
) -> list[str]:
    """What the user should know of `pairs` of clips in united groups, of which there were `num_groups`."""
    if not pairs:
        return []
    split = {row.group: row.split for row in rows}
    apart = sum(split.get(clips[one].group) != split.get(clips[other].group) for one, other in pairs)
    joined = num_groups - len({clip.group for clip in clips})
    sentence = f"{len(pairs)} pairs of recordings share a sound; groups joined to others for it: {joined}"
    return [f"{sentence}; pairs that stay on two sides, where their sources put them: {apart}" if apart else sentence]


def fingerprint(rows: Sequence[SourceClip]) -> str:
    """Of rows and sounds: a source_id holds the hash of its samples."""
    content = json.dumps([dataclasses.asdict(row) for row in rows], ensure_ascii=False)
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()
