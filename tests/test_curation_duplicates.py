"""Copies of a sound are found whatever was done to them, and nothing that only sounds alike."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from curation import bank_shards, duplicates
from curation.bank import Bank, build_bank
from curation.duplicates import ANCHOR, likeness, same_sounds
from curation.fingerprint import RATE, fingerprint

BANK_RATE = 16_000


def lively(seed: int, *, seconds: float = 4.0, rate: int = BANK_RATE) -> np.ndarray:
    """Bursts of coloured noise and of gliding tones at random moments, over soft noise."""
    rng = np.random.default_rng(seed)
    sound = 0.003 * rng.standard_normal(round(seconds * rate))
    for _ in range(round(3 * seconds)):
        length = round(rng.uniform(0.1, 0.5) * rate)
        start = int(rng.integers(0, max(1, len(sound) - length)))
        t = np.arange(min(length, len(sound) - start)) / rate
        tone = np.sin(2 * np.pi * (rng.uniform(200, 3000) * t + rng.uniform(-2000, 2000) * t**2))
        burst = tone if rng.random() < 0.5 else np.convolve(rng.standard_normal(len(t)), rng.standard_normal(8), "same")
        sound[start : start + len(t)] += 0.2 * burst * np.exp(-t * rng.uniform(2, 12))
    return (0.9 * sound / np.abs(sound).max()).astype(np.float32)


def coded(sound: np.ndarray, form: str, subtype: str) -> np.ndarray:
    file = io.BytesIO()
    soundfile.write(file, sound, BANK_RATE, format=form, subtype=subtype)
    file.seek(0)
    return soundfile.read(file, dtype="float32")[0]


def pairs_among(sounds: list[np.ndarray]) -> list[tuple[int, int]]:
    parts = []
    for place, sound in enumerate(sounds):
        found = fingerprint(sound, BANK_RATE)
        part = np.zeros(len(found.frames), ANCHOR)
        part["clip"], part["frame"], part["descriptor"] = place, found.frames, found.descriptors
        parts.append(part)

    def excerpt(place: int, start: float, stop: float) -> tuple[np.ndarray, int]:
        return sounds[place][round(start * BANK_RATE) : round(stop * BANK_RATE)], BANK_RATE

    return list(same_sounds(np.concatenate(parts), excerpt, skip=lambda _one, _other: False))


CHANGES = {
    "gain": lambda sound: 0.01 * sound,
    "upside down": lambda sound: -sound,
    "ogg": lambda sound: coded(sound, "OGG", "VORBIS"),
    "mp3": lambda sound: coded(sound, "MP3", "MPEG_LAYER_III"),
    "8 kHz": lambda sound: soxr.resample(soxr.resample(sound, BANK_RATE, 8000), 8000, BANK_RATE),
    "noise": lambda sound: sound + 0.004 * np.random.default_rng(9).standard_normal(len(sound)).astype(np.float32),
    "second half": lambda sound: sound[len(sound) // 2 + 7 :],
    "a second, softer, as mp3": lambda sound: 0.1 * coded(sound[20_011:36_011], "MP3", "MPEG_LAYER_III"),
    "inside another": lambda sound: np.concatenate([lively(70), sound, lively(71)]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_copy_is_found_among_other_sounds(change):
    sounds = [lively(seed) for seed in range(12)]
    assert pairs_among([*sounds, CHANGES[change](sounds[4])]) == [(4, 12)]


def hum(seed: int) -> np.ndarray:
    rng, t = np.random.default_rng(seed), np.arange(4 * BANK_RATE) / BANK_RATE
    tones = [rng.uniform(0.2, 1) / k * np.sin(2 * np.pi * 50 * k * t + rng.uniform(0, 7)) for k in range(1, 20)]
    return (0.05 * sum(tones) + 1e-4 * rng.standard_normal(len(t))).astype(np.float32)


def ticks(seed: int, *, spacing: float = 0.25) -> np.ndarray:
    """A clock of its own: one tick again and again."""
    rng, sound = np.random.default_rng(seed), np.zeros(4 * BANK_RATE, np.float32)
    tick = rng.standard_normal(400) * np.exp(-np.arange(400) / rng.uniform(20, 80))
    for start in np.arange(0.1, 3.9, spacing):
        sound[round(start * BANK_RATE) :][:400] += tick
    return 0.2 * sound + 1e-4 * rng.standard_normal(len(sound)).astype(np.float32)


def click(seed: int) -> np.ndarray:
    """A few short resonances, struck once."""
    rng, sound = np.random.default_rng(seed), np.zeros(BANK_RATE, np.float32)
    t = np.arange(800)
    for _ in range(3):
        sound[2000:2800] += rng.uniform(0.1, 0.3) * np.sin(rng.uniform(0.1, 2) * t) * np.exp(-t / rng.uniform(5, 60))
    return sound + 1e-5 * rng.standard_normal(len(sound)).astype(np.float32)


def noise(seed: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(4 * BANK_RATE)).astype(np.float32)


@pytest.mark.parametrize("kind", [hum, ticks, click, noise, lively])
def test_sounds_that_are_only_alike_are_no_copies(kind):
    assert pairs_among([kind(seed) for seed in range(12)]) == []


def test_silence_and_a_single_sample_have_no_fingerprint_and_are_like_nothing():
    for sound in (np.zeros(BANK_RATE), np.zeros(0), np.ones(1), np.zeros(20)):
        assert len(fingerprint(sound, BANK_RATE).frames) == 0
    nothing = likeness(np.zeros(4000), np.zeros(4000), 2000, 2000)
    assert nothing.score < 1
    assert likeness(np.zeros(10), np.zeros(4000), 5, 5).score == 0


def test_phases_and_spectra_of_a_few_frequencies_prove_nothing():
    t = np.arange(2 * RATE) / RATE
    rng = np.random.default_rng(0)
    one, other = (np.sin(2 * np.pi * 200 * t) + 1e-4 * rng.standard_normal(len(t)) for _ in range(2))
    found = likeness(one, other, RATE, RATE)
    assert found.phases > duplicates.MIN_PHASES
    assert found.spectra > duplicates.MIN_SPECTRA
    assert found.score < 1


def test_a_lag_between_the_anchors_is_found():
    sound = lively(3, rate=RATE)
    assert likeness(sound, sound[500:], 9000, 8500).score > 1.5
    assert likeness(sound, sound[500:], 9000, 8500 + 117).score > 1.5
    assert likeness(sound, sound[500:], 9000, 8500 - 250).score > 1.5
    assert likeness(sound, sound[500:], 9000, 8500 + 900).score < 1


def test_many_copies_are_found_in_little_memory_and_in_the_same_pairs(monkeypatch):
    sounds = [lively(seed, seconds=1.0) for seed in range(3)]
    copies = [(0.1 + 0.01 * number) * sounds[number % 3] for number in range(30)]
    expected = [(one, other) for one in range(30) for other in range(one + 1, 30) if (other - one) % 3 == 0]
    assert pairs_among(copies) == expected
    monkeypatch.setattr(duplicates, "_ROWS_AT_ONCE", 50)
    assert pairs_among(copies) == expected


# --- in a bank --------------------------------------------------------------------------------------------------


@pytest.fixture
def sounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six foregrounds of two labels and three backgrounds, and a changed part of two of them elsewhere."""
    monkeypatch.setattr(bank_shards, "SHARD_SIZE", 4)
    root = tmp_path / "sounds"
    for name, sound in {
        **{f"foreground/{'dog' if seed % 2 else 'cat'}/{seed}.wav": lively(seed) for seed in range(6)},
        **{f"background/park/{seed}.wav": lively(seed, seconds=6) for seed in range(10, 13)},
        "foreground/wolf/part.ogg": lively(1)[16_000:40_000],
        "foreground/bird/of park.wav": 0.3 * lively(11, seconds=6)[30_000:60_000],
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / name, sound, BANK_RATE)
    return root


def test_parts_of_one_recording_are_on_one_side_and_know_of_each_others_labels(sounds, tmp_path):
    report = build_bank([str(sounds)], tmp_path / "bank", sample_rate=BANK_RATE, workers=1)
    clips = {clip.origin: clip for clip in report.bank.clips}
    assert len(clips) == 11
    for one, other in (("dog/1.wav", "wolf/part.ogg"), ("bird/of park.wav", "../background/park/11.wav")):
        names = [str(Path("foreground", name)) for name in (one, other)]
        a, b = (clips[name.replace("foreground/../", "")] for name in names)
        assert (a.group, a.split) == (b.group, b.split)
        assert (a.contains, b.contains) == ([b.cluster], [a.cluster])
    assert sum(bool(clip.contains) for clip in clips.values()) == 4
    assert report.notes == ["2 pairs of recordings share a sound; groups joined to others for it: 2"]


def test_copies_that_their_sources_put_on_two_sides_stay_there_and_are_counted(sounds, tmp_path):
    rows = ["path,role,label,group,split"]
    for path in sorted(path.relative_to(sounds) for path in sounds.rglob("*.*")):
        split = {"part.ogg": "test", "1.wav": "train", "11.wav": "valid", "of park.wav": "valid"}.get(path.name, "")
        rows.append(f"{path},{path.parts[0]},{path.parts[1]},{path.stem},{split}")
    (sounds / "t.csv").write_text("\n".join(rows))
    report = build_bank([str(sounds / "t.csv")], tmp_path / "bank", sample_rate=BANK_RATE, workers=1)
    clips = {Path(clip.origin).name: clip for clip in report.bank.clips}
    assert (clips["1.wav"].split, clips["part.ogg"].split) == ("train", "test")
    assert clips["1.wav"].contains == ["wolf"]
    assert clips["11.wav"].group == clips["of park.wav"].group
    assert report.notes[-1] == (
        "2 pairs of recordings share a sound; groups joined to others for it: 1; pairs that stay on two sides, where "
        "their sources put them: 1"
    )


def test_parts_of_one_recording_in_one_group_know_of_each_others_labels_too(sounds, tmp_path):
    rows = [f"{path},{path.parts[0]},{path.parts[1]},one" for path in sorted(
        path.relative_to(sounds) for path in sounds.rglob("*.*"))]  # fmt: skip
    (sounds / "t.csv").write_text("\n".join(["path,role,label,group", *rows]))
    settings = {"sample_rate": BANK_RATE, "workers": 1, "valid_share": 0, "test_share": 0}
    clips = build_bank([str(sounds / "t.csv")], tmp_path / "bank", **settings).bank.clips
    assert {Path(clip.origin).name: clip.contains for clip in clips if clip.contains} == {
        "1.wav": ["wolf"], "part.ogg": ["dog"], "of park.wav": ["park"], "11.wav": ["bird"],
    }  # fmt: skip


def test_an_interrupted_bank_finds_the_same_copies(sounds, tmp_path):
    build_bank([str(sounds)], tmp_path / "bank", sample_rate=BANK_RATE, workers=1)
    before = Bank.open(tmp_path / "bank").clips
    for name in ("sources.parquet", "fingerprints/00000.anchors"):
        (tmp_path / "bank" / name).unlink()
    build_bank([str(sounds)], tmp_path / "bank", sample_rate=BANK_RATE, workers=1)
    assert Bank.open(tmp_path / "bank").clips == before
