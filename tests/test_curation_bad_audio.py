"""What becomes of damaged, odd and hostile audio files: used, or rejected with a reason; never a crash."""

import os
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from curation.prepare import PEAK_DBFS, RejectError, prepare
from curation.source_clip import SourceFile
from curation.sources import list_sources
from curation.sources.folders import read as read_folders
from manifests.errors import FlamError

RATE = 16_000


def prepared(path: Path, *, role="foreground", sample_rate=RATE):
    file = SourceFile(path=path, origin=path.name, role=role, label="dog", cluster="dog", group="g")
    return prepare(file, sample_rate=sample_rate, seed=0)[:2]


def tone(seconds: float = 0.5, *, rate: int = RATE, amplitude: float = 0.5, hz: float = 440.0) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


def written(path: Path, samples: np.ndarray, rate: int = RATE, subtype: str = "FLOAT") -> Path:
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def wav_bytes(samples: np.ndarray, *, rate: int = RATE, data_size: int | None = None, riff_size: int = 36) -> bytes:
    data = (samples * 32767).astype("<i2").tobytes()
    size = len(data) if data_size is None else data_size
    head = struct.pack(
        "<4sI4s4sIHHIIHH", b"RIFF", riff_size, b"WAVE", b"fmt ", 16, 1, 1, rate, rate * 2 & 0xFFFFFFFF, 2, 16
    )
    return head + struct.pack("<4sI", b"data", size) + data


WAV = wav_bytes(tone())
UNREADABLE = {
    "empty.wav": b"",
    "header.wav": WAV[:20],
    "header_and_no_data.wav": WAV[:44],
    "random.wav": np.random.default_rng(0).bytes(5000),
    "text.wav": b"not audio at all\n" * 50,
    "page.wav": b"<!DOCTYPE html><html><body>404</body></html>",
    "image.wav": b"\x89PNG\r\n\x1a\n" + bytes(200),
    "pointer.wav": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1234\n",
    "rate_0.wav": wav_bytes(tone(), rate=0),
    "rate_1.wav": wav_bytes(tone(), rate=1),
    "rate_max.wav": wav_bytes(tone(), rate=2**31 - 1),
    "huge_chunk.wav": WAV[:36] + struct.pack("<4sI", b"LIST", 2**31 - 8) + b"INFO",
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_no_audio_is_rejected_with_a_reason(tmp_path, name):
    (tmp_path / name).write_bytes(UNREADABLE[name])
    with pytest.raises(RejectError) as caught:
        prepared(tmp_path / name)
    assert caught.value.reason
    assert str(tmp_path) not in caught.value.reason + caught.value.detail


def test_a_sparse_file_of_three_gigabytes_is_rejected_without_being_read(tmp_path):
    for name, head in (("zeros.wav", b""), ("claims.wav", wav_bytes(tone(), data_size=3 * 2**30 - 100))):
        with (tmp_path / name).open("wb") as file:
            file.write(head)
            file.truncate(3 * 2**30)
        with pytest.raises(RejectError):
            prepared(tmp_path / name)


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (np.zeros(8000), "silent or constant"),
        (np.full(8000, 0.25), "silent or constant"),
        (np.tile([0.1, -0.1], (8000, 1)), "silent or constant"),
        (np.array([0.5]), "shorter than 20 ms"),
        (np.where(np.arange(8000) == 77, np.nan, 0.1), "holds samples that are no number or infinite"),
        (np.where(np.arange(8000) == 77, -np.inf, 0.1), "holds samples that are no number or infinite"),
        (np.random.default_rng(0).integers(-1, 2, 8000) / 32768, "too quiet (peak below -80 dBFS)"),
    ],
)
def test_sounds_without_a_sound_are_rejected(tmp_path, samples, reason):
    with pytest.raises(RejectError) as caught:
        prepared(written(tmp_path / "a.wav", samples))
    assert caught.value.reason == reason


def test_what_only_a_meter_hears_is_rejected(tmp_path):
    path = written(tmp_path / "a.wav", tone(20, hz=0.1))
    for role in ("foreground", "background"):
        with pytest.raises(RejectError) as caught:
            prepared(path, role=role)
        assert caught.value.reason == "inaudible"
    prepared(written(tmp_path / "click.wav", np.where(np.arange(40_000) == 20_000, 0.9, 0.0)))


def test_the_noise_of_the_last_bits_is_rejected_in_any_format(tmp_path):
    noise = np.random.default_rng(0).integers(-1, 2, 40_000)
    for subtype, step in (("PCM_16", 2**-15), ("PCM_24", 2**-23), ("FLOAT", 2**-20)):
        with pytest.raises(RejectError, match="too quiet"):
            prepared(written(tmp_path / "a.wav", noise * step, subtype=subtype), role="background")


def test_a_background_is_active_where_it_sounds_and_not_in_the_digital_silence_between(tmp_path):
    rng = np.random.default_rng(0)
    parts = [rng.uniform(-0.3, 0.3, round(seconds * RATE)) for seconds in (2.5, 1.0)]
    clip, pcm = prepared(
        written(tmp_path / "a.wav", np.concatenate([parts[0], np.zeros(20 * RATE), parts[1]])), role="background"
    )
    assert [(stretch.onset, stretch.offset) for stretch in clip.activity] == [
        (pytest.approx(0, abs=0.03), pytest.approx(2.5, abs=0.03)),
        (pytest.approx(22.5, abs=0.03), pytest.approx(23.5, abs=0.03)),
    ]
    assert len(pcm) == pytest.approx(23.5 * RATE, abs=0.03 * RATE)
    assert -20 < clip.lufs < 0  # of what sounds: silence is gated


def test_half_an_hour_is_the_limit(tmp_path):
    with pytest.raises(RejectError, match="longer than 1800 s"):
        prepared(written(tmp_path / "a.wav", np.zeros(1801 * 1000), 1000, "PCM_U8"))


def test_a_background_must_last_two_seconds(tmp_path):
    prepared(written(tmp_path / "long.wav", tone(2.1)), role="background")
    with pytest.raises(RejectError, match="too short for a background"):
        prepared(written(tmp_path / "short.wav", tone(1.9)), role="background")


def test_what_is_no_regular_file_is_rejected_and_nothing_waits_for_it(tmp_path):
    os.mkfifo(tmp_path / "fifo.wav")
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "dangling.wav").symlink_to(tmp_path / "nothing")
    for name, reason in (("fifo", "not a regular file"), ("folder", "not a regular"), ("dangling", "no such file")):
        with pytest.raises(RejectError, match=reason):
            prepared(tmp_path / f"{name}.wav")


@pytest.fixture
def folder_of_another_user() -> Iterator[Path]:
    """A bank whose dog/secret.wav and locked/ may not be read. Root may read all, so become nobody for the test."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        root = Path(name)
        for path in ("foreground/dog/secret.wav", "foreground/dog/open.wav", "locked/a.wav"):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            written(root / path, tone())
            (root / path).chmod(0o644)
        for path in (root, root / "foreground", root / "foreground/dog"):
            path.chmod(0o755)
        (root / "foreground/dog/secret.wav").chmod(0)
        (root / "locked").chmod(0)
        user = os.geteuid()
        os.seteuid(65534 if user == 0 else user)
        try:
            yield root
        finally:
            os.seteuid(user)
            (root / "locked").chmod(0o755)


def test_a_file_that_may_not_be_read_is_rejected_and_the_others_are_used(folder_of_another_user):
    (folder_of_another_user / "foreground/dog/open.wav").read_bytes()
    open_file, secret = read_folders(folder_of_another_user).files
    prepare(open_file, sample_rate=RATE, seed=0)
    for path in (secret.path, folder_of_another_user / "locked/a.wav"):
        with pytest.raises(RejectError, match="not readable") as caught:
            prepared(path)
        assert str(folder_of_another_user) not in caught.value.reason + caught.value.detail


def test_a_folder_that_may_not_be_read_is_named(folder_of_another_user):
    for source in ("locked", "locked/t.csv"):
        with pytest.raises(FlamError, match=r"cannot read .*locked"):
            list_sources([str(folder_of_another_user / source)])


@pytest.mark.parametrize(("data_size", "riff_size"), [(0xFFFFFFFF, 36), (0xFFFFFFFF, 0xFFFFFFFF), (None, 0)])
def test_a_wrong_size_in_the_header_does_not_matter(tmp_path, data_size, riff_size):
    (tmp_path / "a.wav").write_bytes(wav_bytes(tone(), data_size=data_size, riff_size=riff_size))
    clip, _ = prepared(tmp_path / "a.wav")
    assert clip.duration == pytest.approx(0.5, abs=0.01)


def test_a_cut_file_is_used_as_far_as_it_goes(tmp_path):
    (tmp_path / "a.wav").write_bytes(WAV[: len(WAV) // 2])
    clip, _ = prepared(tmp_path / "a.wav")
    assert clip.duration == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAW", "ULAW"])
@pytest.mark.parametrize("container", ["WAV", "WAVEX"])
def test_every_sample_format_is_used(tmp_path, subtype, container):
    soundfile.write(tmp_path / "a.wav", tone(), RATE, subtype=subtype, format=container)
    clip, pcm = prepared(tmp_path / "a.wav")
    assert clip.num_samples == len(pcm) == pytest.approx(8000, abs=200)
    assert clip.gain_db == pytest.approx(PEAK_DBFS + 6.0, abs=0.3)


@pytest.mark.parametrize("rate", [8_000, 44_101, 192_000])
@pytest.mark.parametrize("channels", [1, 6, 64])
def test_any_rate_and_any_number_of_channels_is_used(tmp_path, rate, channels):
    samples = np.repeat(tone(0.5, rate=rate)[:, np.newaxis], channels, axis=1)
    clip, pcm = prepared(written(tmp_path / "a.wav", samples, rate))
    assert (clip.origin_sample_rate, clip.origin_channels, clip.warnings) == (rate, channels, [])
    assert clip.duration == pytest.approx(0.5, abs=0.01)
    spectrum = np.abs(np.fft.rfft(pcm))
    assert spectrum.argmax() / clip.duration == pytest.approx(440, abs=5)


@pytest.mark.parametrize(
    ("samples", "warnings"),
    [
        (tone() + 0.2, ["dc_offset"]),
        (np.clip(tone(amplitude=3.0), -1, 1), ["clipped"]),
        (tone(amplitude=20.0), ["above_full_scale"]),
        (tone(amplitude=0.001), ["very_quiet"]),
        (np.stack([tone(), -tone()], axis=1), ["antiphase"]),
        (np.stack([tone(), np.zeros(8000)], axis=1), ["silent_channel"]),
        (np.stack([tone(), np.full(8000, 0.3)], axis=1), ["dc_offset", "silent_channel"]),
        (tone(), []),
        (np.random.default_rng(0).uniform(-0.9, 0.9, 8000), []),
    ],
)
def test_odd_sounds_are_used_at_full_level_with_a_warning(tmp_path, samples, warnings):
    clip, pcm = prepared(written(tmp_path / "a.wav", samples))
    assert clip.warnings == warnings
    assert 20 * np.log10(np.abs(pcm.astype(float)).max() / 32768) == pytest.approx(PEAK_DBFS, abs=0.01)
    assert clip.lufs > -30
    assert sum(stretch.offset - stretch.onset for stretch in clip.activity) == pytest.approx(0.5, abs=0.06)


def test_silence_at_both_ends_is_cut_and_the_place_in_the_original_is_kept(tmp_path):
    quiet = 1e-5 * np.random.default_rng(0).standard_normal(24_000)
    samples = np.concatenate([np.zeros(48_000), quiet, tone(1.0, rate=48_000), quiet, np.zeros(48_000)])
    clip, pcm = prepared(written(tmp_path / "a.wav", samples, 48_000), sample_rate=16_000)
    assert clip.origin_start == pytest.approx(72_000, abs=0.04 * 48_000)
    assert clip.duration == pytest.approx(1.0, abs=0.08)
    prepared_onset = int(np.flatnonzero(np.abs(pcm.astype(int)) > 1000)[0])
    assert clip.origin_start + 3 * prepared_onset == pytest.approx(72_000, abs=12)


NAMES = [
    "a b.wav", "caf\u00e9.wav", "cafe\u0301.wav", "狗.wav", "🐕.wav", "a\nb.wav", "a\tb.wav", "it's \"q\".wav",
    "a,b.wav", "a\\b.wav", "-rf.wav", "{0}%s.wav", "$(touch X).wav", "\u202ertl.wav", "x" * 240 + ".wav", "noending",
]  # fmt: skip


def test_any_name_works_and_nothing_in_it_is_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "foreground" / "$(touch X) 狗\n"
    folder.mkdir(parents=True)
    for name in NAMES:
        soundfile.write(folder / name, tone(), RATE, format="WAV")
    (folder / os.fsdecode(b"\xff.wav")).write_bytes(WAV)
    listing = read_folders(tmp_path)
    assert {prepare(file, sample_rate=RATE, seed=0)[0].origin for file in listing.files} == {
        f"foreground/{folder.name}/{name}" for name in NAMES
    }
    assert [(reject.origin[-10:], reject.reason) for reject in listing.rejects] == [
        ("\\udcff.wav", "name is not Unicode")
    ]
    assert not (tmp_path / "X").exists()
