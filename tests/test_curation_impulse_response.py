"""Impulse responses of rooms in a bank: cut to what they are, and no room on two sides."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from curation.bank import build_bank
from curation.config import Recipe
from curation.plan import Catalogue, plan
from curation.prepare import RejectError, prepare
from curation.source_clip import SourceClip, SourceFile

RATE = 16_000


def response(seed: int, *, decay: float = 0.1, delay: float = 0.05, rate: int = RATE) -> np.ndarray:
    """Noise that fades by 60 dB in 7 times `decay` seconds, after a direct sound `delay` seconds in."""
    rng, length = np.random.default_rng(seed), round((delay + 12 * decay) * rate)
    sound = 1e-5 * rng.standard_normal(length)
    start = round(delay * rate)
    t = np.arange(length - start) / rate
    sound[start:] += 0.3 * rng.uniform(-1, 1, len(t)) * np.exp(-t / decay)
    sound[start] = 0.5
    return sound


def prepared(path: Path, samples: np.ndarray, rate: int = RATE) -> tuple[SourceClip, np.ndarray]:
    soundfile.write(path, samples, rate, subtype="FLOAT")
    file = SourceFile(path=path, origin="r.wav", role="impulse_response", label="hall", cluster="hall", group="hall")
    clip, pcm, measures = prepare(file, sample_rate=RATE, seed=0)
    assert sum(clip.measures_sizes) == sum(part.size for part in measures.parts()) == 0
    return clip, pcm / 32768


def test_a_response_begins_just_before_the_direct_sound_and_ends_where_it_has_faded(tmp_path):
    clip, samples = prepared(tmp_path / "r.wav", response(1))
    assert clip.origin_start == 0.049 * RATE
    assert int(np.abs(samples).argmax()) == 0.001 * RATE
    assert np.abs(samples).max() == pytest.approx(10 ** (-1 / 20), abs=1e-3)
    assert clip.duration == pytest.approx(0.64, abs=0.06)  # 0.3 / 0.5 of the peak to a thousandth of it
    assert (clip.role, clip.activity, clip.warnings, clip.source_id[0]) == ("impulse_response", [], [], "i")


def test_a_response_that_never_fades_ends_after_four_seconds(tmp_path):
    clip, _ = prepared(tmp_path / "r.wav", np.concatenate([response(1), np.full(6 * RATE, 0.01)]))
    assert clip.duration == pytest.approx(4.001, abs=0.001)


def test_the_first_channel_is_used_and_places_are_those_of_the_file_at_any_rate(tmp_path):
    one, other = response(1, rate=48_000), response(2, rate=48_000, delay=0.0)
    other = np.pad(other, (0, len(one) - len(other)))
    clip, samples = prepared(tmp_path / "r.wav", np.stack([one, other], axis=1), 48_000)
    alone, expected = prepared(tmp_path / "one.wav", one, 48_000)
    np.testing.assert_array_equal(samples, expected)
    assert (clip.origin_channels, alone.origin_channels) == (2, 1)
    assert clip.origin_start == pytest.approx(0.049 * 48_000, abs=3)


def test_a_single_impulse_is_a_response_and_silence_is_none(tmp_path):
    clip, samples = prepared(tmp_path / "r.wav", np.eye(1, 50)[0])
    assert (clip.num_samples, samples.tolist()) == (1, [pytest.approx(10 ** (-1 / 20), abs=1e-3)])
    with pytest.raises(RejectError, match="silent or constant"):
        prepared(tmp_path / "s.wav", np.zeros(1000))


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """Sounds of two labels, backgrounds, and ten rooms with two responses each."""
    root = tmp_path / "sounds"
    rng = np.random.default_rng(0)
    content = {f"foreground/{'dog' if n % 2 else 'cat'}/{n}.wav": rng.normal(0, 0.1, 8000) for n in range(8)}
    content |= {f"background/park/{n}.wav": rng.normal(0, 0.1, 3 * RATE) for n in range(4)}
    content |= {f"impulse_response/room {n // 2}/{n}.wav": response(n) for n in range(20)}
    for name, samples in content.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / name, samples, RATE)
    return root


def rooms_by_side(clips: list[SourceClip]) -> dict[str, set[str]]:
    responses = [clip for clip in clips if clip.role == "impulse_response"]
    return {side: {clip.label for clip in responses if clip.split == side} for side in ("train", "valid", "test")}


def test_rooms_are_divided_and_none_is_heard_on_two_sides(sounds, tmp_path):
    bank = build_bank([str(sounds)], tmp_path / "bank", sample_rate=RATE, workers=1).bank
    rooms = rooms_by_side(bank.clips)
    assert [len(rooms[side]) for side in ("train", "valid", "test")] == [8, 1, 1]
    assert len(set.union(*rooms.values())) == 10
    rows = ["path,role,label"] + [
        f"{path},{path.parts[0]},{path.parts[1]}"
        for path in sorted(p.relative_to(sounds) for p in sounds.rglob("*.wav"))
    ]
    (sounds / "t.csv").write_text("\n".join(rows))
    rooms = rooms_by_side(build_bank([str(sounds / "t.csv")], tmp_path / "b", sample_rate=RATE, workers=1).bank.clips)
    assert [len(rooms[side]) for side in ("train", "valid", "test")] == [8, 1, 1]


def test_no_soundscape_is_planned_with_a_response_as_a_sound(sounds, tmp_path):
    bank = build_bank([str(sounds)], tmp_path / "bank", sample_rate=RATE, workers=1).bank
    recipe = Recipe(name="short", duration=2.0)
    catalogue = Catalogue(bank.clips, sample_rate=RATE, recipe=recipe)
    drawn = [plan(index, catalogue=catalogue, recipe=recipe, seed=0) for index in range(40)]
    used = {bank.clips[event.clip].role for one in drawn for event in one.events}
    assert used == {"foreground"}
    assert {bank.clips[one.background.clip].role for one in drawn} == {"background"}
    assert catalogue.num_too_short == 0
