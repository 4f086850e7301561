"""What a recording is used as, by its role and its length."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from curation.bank import build_bank
from curation.lengths import ANY_LENGTH, Lengths
from curation.source_clip import FileRole
from manifests.errors import FlamError

NARROW = Lengths(foreground=(0.5, 2.0), background=4.0)


@pytest.mark.parametrize(
    ("lengths", "role", "seconds", "expected"),
    [
        (ANY_LENGTH, "foreground", 0.03, "foreground"),
        (ANY_LENGTH, "background", 900, "background"),
        (ANY_LENGTH, "either", 0.99, None),
        (ANY_LENGTH, "either", 1.0, "foreground"),
        (ANY_LENGTH, "either", 7.5, "foreground"),
        (ANY_LENGTH, "either", 7.51, None),
        (ANY_LENGTH, "either", 10.0, "background"),
        (NARROW, "foreground", 0.4, None),
        (NARROW, "foreground", 2.0, "foreground"),
        (NARROW, "background", 3.9, None),
        (NARROW, "either", 3.0, None),
        (NARROW, "either", 4.0, "background"),
        (Lengths(foreground=(0, 30)), "either", 12.0, "foreground"),
        (Lengths(foreground=(0, 30)), "background", 3.0, "background"),
    ],
)
def test_a_length_decides_where_the_role_does_not(
    lengths: Lengths, role: FileRole, seconds: float, expected: str | None
) -> None:
    assert lengths.role_of(role, seconds) == expected


@pytest.mark.parametrize("wrong", [{"foreground": (3.0, 1.0)}, {"foreground": (-1.0, 1.0)}, {"background": -2.0},
    {"background": float("nan")}, {"foreground": (0.0, float("inf"))}])  # fmt: skip
def test_limits_that_nothing_can_meet_are_an_error(wrong: dict[str, object]) -> None:
    with pytest.raises(FlamError, match="give numbers from 0 up, the smaller one first"):
        Lengths(**wrong)  # type: ignore[arg-type]


def test_a_bank_counts_what_is_too_long_or_too_short(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, seconds in (("foreground/a/1", 0.3), ("foreground/a/2", 1.0), ("background/b/1", 5.0)):
        path = tmp_path / "sounds" / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, rng.normal(0, 0.1, round(seconds * 16000)), 16000)
    source, bank = [str(tmp_path / "sounds")], tmp_path / "bank"
    report = build_bank(source, bank, sample_rate=16000, workers=1, lengths=Lengths(foreground=(0.5, 2)))
    assert [(reject.origin, reject.reason, reject.detail) for reject in report.rejects] == [
        ("foreground/a/1.wav", "too long or too short", "0.30 s")
    ]
    again = Lengths(foreground=(0.5, 3))
    with pytest.raises(FlamError, match="foreground_seconds"):
        build_bank(source, bank, sample_rate=16000, workers=1, lengths=again)
