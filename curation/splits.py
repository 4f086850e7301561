"""Which side of train, valid and test each group of recordings is on. Pure: names and a seed in, splits out.

A group is what must not be heard on two sides: the takes of one recording, the files of one uploader or pack. What a
corpus says of its own split is kept. Other groups are divided label by label, so that a label with at least two
groups is in train and in test, with three in valid too, and a label with a single group is for training only. (Where
groups hold several labels, these wishes can contradict each other; then training comes first. And where no background
is left for a side, one is moved there whatever its label.)
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from curation.source_clip import Role
from manifests.errors import FlamError

Key = tuple[Role, str]  # role and label


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """What splitting needs to know of a source."""

    role: Role
    label: str
    group: str
    split: str | None  # where its corpus gives one


def assign_splits(
    recordings: Iterable[Recording], *, seed: int, valid_share: float, test_share: float
) -> dict[str, str]:
    """The split of each group, whatever the order of the recordings.

    Where the corpora give a train but no valid side, some of their train groups become valid.

    Raises FlamError if a corpus puts one group on two sides.

    Args:
        recordings: of the whole bank.
        seed: decides which groups of a label go where.
        valid_share: part of each label's groups that goes to valid; 0 for none.
        test_share: the same for test.
    """
    recordings = list(recordings)
    given = given_splits((recording.group, recording.split) for recording in recordings if recording.split)
    division = _Division(_groups_by_key(recordings, seed), given)
    if valid_share and "train" in given.values() and "valid" not in given.values():
        division.take_valid_from_train(valid_share)
    division.divide_the_rest({"test": test_share, "valid": valid_share})
    return division.split


def given_splits(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The split of each group that has one, from pairs of both; raises FlamError if a group is on two sides."""
    given: dict[str, str] = {}
    for group, split in sorted(set(pairs)):
        if given.setdefault(group, split) != split:
            raise FlamError(
                f"group {group!r} is in {given[group]} and in {split}; "
                "its recordings belong together: put all of them on one side"
            )
    return given


def _groups_by_key(recordings: Iterable[Recording], seed: int) -> dict[Key, list[str]]:
    """The groups of each label, shuffled by a hash: Python's own hash and the order of files must not matter."""
    groups: dict[Key, set[str]] = defaultdict(set)
    for recording in recordings:
        groups[recording.role, recording.label].add(recording.group)

    def place(group: str) -> bytes:
        return hashlib.blake2b(f"{seed}/{group}".encode(), digest_size=8).digest()

    return {key: sorted(names, key=lambda name: (place(name), name)) for key, names in groups.items()}


class _Division:
    """Groups by label, rarest label first, and the side of each group that has one."""

    def __init__(self, groups: Mapping[Key, list[str]], given: dict[str, str]) -> None:
        self.groups = dict(sorted(groups.items(), key=lambda item: (len(item[1]), item[0])))
        self.split = given
        self.keys: dict[str, list[Key]] = defaultdict(list)
        for key, names in self.groups.items():
            for name in names:
                self.keys[name].append(key)

    def take_valid_from_train(self, share: float) -> None:
        """Move groups from train to valid: of labels with four or more in train, or of fewer if none has so many."""
        for role in sorted({role for role, _ in self.groups}):
            for enough in (4, 3, 2):
                for key in self.groups:
                    if key[0] == role:
                        self._move_to_valid(key, share, enough)
                if any(self._count(key)["valid"] for key in self.groups if key[0] == role):
                    break

    def _move_to_valid(self, key: Key, share: float, enough: int) -> None:
        in_train = self._count(key)["train"]
        wanted = _target(in_train, share) if in_train >= enough else 0
        for group in self.groups[key]:
            if self._count(key)["valid"] >= wanted:
                return
            leaves_enough = all(self._count(other)["train"] >= enough for other in self.keys[group])
            if self.split.get(group) == "train" and leaves_enough:
                self.split[group] = "valid"

    def divide_the_rest(self, shares: Mapping[str, float]) -> None:
        """Give every group that has no side one."""
        given = set(self.split)
        for names in self.groups.values():
            self._divide(names, shares)
        for side, share in shares.items():
            if share:
                self._ensure_background(side, given)

    def _divide(self, names: list[str], shares: Mapping[str, float]) -> None:
        free = [name for name in names if name not in self.split]
        have = Counter(self.split[name] for name in names if name in self.split)
        sides = [side for side, enough in (("test", 2), ("valid", 3)) if shares[side] and len(names) >= enough]
        targets = {side: _target(len(names), shares[side]) for side in sides}
        for wanted in ({"train": 1}, dict.fromkeys(sides, 1), targets):  # one for each side, then the shares
            for side, count in wanted.items():
                while free and have[side] < count:
                    self.split[free.pop(0)] = side
                    have[side] += 1
        self.split.update(dict.fromkeys(free, "train"))

    def _ensure_background(self, side: str, given: set[str]) -> None:
        """Move one background to a side without any: no soundscape of that side could be made otherwise.

        Its label need not be known from training, unlike a foreground's.
        """
        labels = {key: names for key, names in self.groups.items() if key[0] == "background"}
        sides = Counter(self.split[name] for name in {name for names in labels.values() for name in names})
        if sides[side]:
            return
        candidates = []
        for key, names in labels.items():
            in_train = self._count(key)["train"]
            for place, name in enumerate(names):
                if name not in given and sides[self.split[name]] > 1 and len(self.keys[name]) == 1:
                    spare = self.split[name] == "train" and in_train > 1
                    cost = 0 if spare else min(len(names), 2)  # a label's only group rather than one of its two
                    candidates.append((cost, -in_train, place, key, name))
        if candidates:
            self.split[min(candidates)[-1]] = side

    def _count(self, key: Key) -> Counter[str]:
        return Counter(self.split[group] for group in self.groups[key] if group in self.split)


def _target(num_groups: int, share: float) -> int:
    return max(1, round(share * num_groups)) if share else 0
