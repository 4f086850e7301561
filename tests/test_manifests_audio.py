"""Whatever soundfile reads is read with its real length, in constant memory, and resampled well."""

import os
import struct
import threading

import numpy as np
import pytest
import soundfile
import soxr

from manifests import audio
from manifests.audio import AudioError, probe, read, read_channels, resample, stream, to_int16, write
from manifests.errors import FlamError


def chirp(rate, seconds=1.0, top=0.4):
    """A sweep to `top` of the rate: what a resampler may keep."""
    t = np.arange(round(rate * seconds)) / rate
    return (0.4 * np.sin(np.pi * top * rate * t**2 / seconds)).astype(np.float32)


FORMATS = [
    ("WAV", "PCM_U8", 2 / 256), ("WAV", "PCM_16", 1e-4), ("WAV", "PCM_24", 1e-6), ("WAV", "PCM_32", 1e-6),
    ("WAV", "FLOAT", 1e-7), ("WAV", "DOUBLE", 1e-7), ("WAV", "ALAW", 0.02), ("WAV", "ULAW", 0.02),
    ("WAVEX", "PCM_16", 1e-4), ("WAVEX", "PCM_24", 1e-6), ("WAVEX", "FLOAT", 1e-7), ("RF64", "PCM_16", 1e-4),
    ("FLAC", "PCM_16", 1e-4), ("FLAC", "PCM_24", 1e-6), ("AIFF", "PCM_16", 1e-4), ("OGG", "VORBIS", 0.05),
]  # fmt: skip


@pytest.mark.parametrize(("form", "subtype"), [("WAV", "PCM_16"), ("FLAC", "PCM_24"), ("OGG", "VORBIS"),
    ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")])  # fmt: skip
def test_a_span_of_a_file_is_what_the_whole_file_holds_there(tmp_path, form, subtype):
    path = tmp_path / "x.audio"
    soundfile.write(
        path, np.random.default_rng(0).normal(0, 0.1, (48_000 * 25, 2)), 48_000, format=form, subtype=subtype
    )
    whole, rate = read_channels(path, max_duration=30.0)
    span, rate = read_channels(path, max_duration=12.0, onset=11.5, offset=23.125)
    np.testing.assert_array_equal(span, whole[round(11.5 * rate) : round(23.125 * rate)])
    tail, _ = read_channels(path, max_duration=12.0, onset=24.5, offset=40.0)
    np.testing.assert_array_equal(tail, whole[round(24.5 * rate) :])
    assert len(read_channels(path, max_duration=12.0, onset=100.0)[0]) == 0
    with pytest.raises(AudioError, match="longer than 2 s"):
        read_channels(path, max_duration=2.0, onset=1.0, offset=3.5)


@pytest.mark.parametrize(("form", "subtype", "error"), FORMATS)
def test_every_sample_format_is_read_with_its_length(tmp_path, form, subtype, error):
    samples = chirp(16_000, top=0.1)
    path = tmp_path / "x.audio"
    soundfile.write(path, samples, 16_000, format=form, subtype=subtype)
    assert probe(path) == (16_000, 1, 1.0)
    np.testing.assert_allclose(read(path, 16_000), samples, atol=error)


@pytest.mark.parametrize(("at", "value"), [(40, 0xFFFFFFFF), (4, 0), (4, 0xFFFFFFFF)])
def test_a_header_that_lies_about_sizes_does_not_change_the_length(tmp_path, at, value):
    """What streaming writers leave: at byte 4 the size of RIFF, at 40 the size of the data."""
    path, samples = tmp_path / "x.wav", chirp(16_000)
    soundfile.write(path, samples, 16_000, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    assert content[36:40] == b"data"
    content[at : at + 4] = struct.pack("<I", value)
    path.write_bytes(bytes(content))
    np.testing.assert_allclose(read(path, 16_000), samples, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 2, 6, 64])
def test_channels_are_averaged(tmp_path, channels):
    samples = chirp(8_000)[:, None] * np.linspace(0, 1, channels + 1)[1:]
    soundfile.write(tmp_path / "x.wav", samples, 8_000, subtype="FLOAT")
    np.testing.assert_allclose(read(tmp_path / "x.wav", 8_000), samples.mean(axis=1), atol=1e-6)
    every, rate = read_channels(tmp_path / "x.wav", max_duration=2.0)
    assert (every.shape, rate) == ((8_000, channels), 8_000)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 32_000, 44_101, 48_000, 192_000])
def test_odd_rates_are_resampled_to_the_sound_that_they_hold(tmp_path, rate):
    path, highest = tmp_path / "x.wav", min(0.4 * rate, 6_000)
    soundfile.write(path, chirp(rate, seconds=1.5, top=highest / rate), rate, subtype="FLOAT")
    found = read(path, 16_000)
    assert abs(len(found) - 24_000) <= 1
    expected = chirp(16_000, seconds=1.5, top=highest / 16_000)  # the same sweep, made at the target's rate
    np.testing.assert_allclose(found[200:23_500], expected[200:23_500], atol=2e-3)


@pytest.mark.parametrize("rate", [16_000, 44_100, 44_101])
def test_a_stream_of_a_long_file_is_the_whole_file(tmp_path, rate):
    samples = (0.1 * np.random.default_rng(0).standard_normal(round(25.3 * rate))).astype(np.float32)
    soundfile.write(tmp_path / "x.wav", samples, rate, subtype="FLOAT")
    blocks = list(stream(tmp_path / "x.wav", 16_000))
    assert max(len(block) for block in blocks) <= 161_000
    assert all(block.dtype == np.float32 for block in blocks)
    whole = resample(samples, rate, 16_000)
    np.testing.assert_allclose(np.concatenate(blocks)[: len(whole)], whole, atol=1e-4)
    assert abs(sum(map(len, blocks)) - len(whole)) <= 1


def test_resampling_is_soxrs_and_the_same_rate_changes_nothing():
    samples = chirp(44_100)
    np.testing.assert_array_equal(resample(samples, 44_100, 16_000), soxr.resample(samples, 44_100, 16_000, "HQ"))
    assert resample(samples, 44_100, 44_100) is samples


def test_a_tone_above_the_new_half_rate_is_gone_and_one_below_is_kept():
    t = np.arange(48_000) / 48_000
    for hertz, level in ((10_000, 0.0), (5_000, 1.0)):
        out = resample(np.sin(2 * np.pi * hertz * t).astype(np.float32), 48_000, 16_000)
        assert np.abs(out[1000:-1000]).max() == pytest.approx(level, abs=2e-3)


def test_rounding_happens_once_and_full_scale_is_clipped():
    values = np.array([0.0, 1.0, -1.0, 2.0, -2.0, 0.5 / 32768, 1.5 / 32768, 0.3], np.float32)
    assert to_int16(values).tolist() == [0, 32767, -32768, 32767, -32768, 0, 2, 9830]


@pytest.mark.parametrize("name", ["x.wav", "x.flac"])
def test_what_is_written_is_read_back_to_the_bit(tmp_path, name):
    samples = np.array([0, 1, -1, 32767, -32768, 1234], np.int16)
    write(tmp_path / name, samples, 32_000)
    np.testing.assert_array_equal(to_int16(read(tmp_path / name, 32_000)), samples)
    assert probe(tmp_path / name)[0] == 32_000


def test_writing_where_one_cannot_is_one_line(tmp_path):
    with pytest.raises(FlamError, match="cannot write"):
        write(tmp_path / "none" / "x.wav", np.zeros(10, np.int16), 16_000)


JUNK = {
    "empty": b"",
    "text": b"hello",
    "html": b"<html></html>",
    "png": b"\x89PNG\r\n\x1a\n",
    "riff": b"RIFF\0\0\0\0WAVE",
}


@pytest.mark.parametrize("name", JUNK)
def test_what_is_no_audio_is_refused_with_its_name(tmp_path, name):
    path = tmp_path / "x.wav"
    path.write_bytes(JUNK[name])
    with pytest.raises(AudioError, match=r"x\.wav: not readable as audio") as error:
        read(path, 16_000)
    assert str(path) not in error.value.reason


@pytest.mark.parametrize("rate", [1, 2**31 - 1])
def test_rates_that_cannot_be_are_refused(tmp_path, rate):
    path = tmp_path / "x.wav"
    soundfile.write(path, np.zeros(100), 16_000)
    content = bytearray(path.read_bytes())
    content[24:28] = struct.pack("<I", rate)
    path.write_bytes(bytes(content))
    with pytest.raises(AudioError, match=r"not plausible|not readable"):
        probe(path)


def test_folders_fifos_and_dangling_links_are_refused_without_a_hang(tmp_path):
    os.mkfifo(tmp_path / "fifo.wav")
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "link.wav").symlink_to(tmp_path / "none")
    results = []

    def look():
        for name in ("fifo.wav", "folder.wav", "link.wav", "none.wav"):
            with pytest.raises(AudioError) as error:
                read(tmp_path / name, 16_000)
            results.append(error.value.reason)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(timeout=10)
    assert results == ["not a regular file", "not a regular file", "no such file", "no such file"]


def test_a_file_without_samples_is_empty_and_a_long_one_is_refused(tmp_path):
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 16_000)
    assert len(read(tmp_path / "none.wav", 8_000)) == 0
    assert read_channels(tmp_path / "none.wav", max_duration=1.0)[0].shape == (0, 1)
    soundfile.write(tmp_path / "long.wav", np.zeros(32_001), 16_000)
    with pytest.raises(AudioError, match="longer than 2 s"):
        read_channels(tmp_path / "long.wav", max_duration=2.0)


def test_a_claim_of_two_gigabytes_is_never_allocated(tmp_path):
    path = tmp_path / "x.wav"
    soundfile.write(path, chirp(16_000), 16_000, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    content[40:44] = struct.pack("<I", 2**31 - 2)
    path.write_bytes(bytes(content))
    assert len(read_channels(path, max_duration=60.0)[0]) == 16_000
    assert audio.probe(path)[0] == 16_000


@pytest.mark.parametrize("rate", [16000, 22050, 44100])
def test_a_recording_in_memory_reads_as_its_file_does(tmp_path, rate):
    samples = np.random.default_rng(0).integers(-9000, 9000, 25 * 32000 + 7).astype(np.int16)
    audio.write(tmp_path / "a.wav", samples, 32000)
    recording = audio.Recording(samples=samples, sample_rate=32000, name="a")
    np.testing.assert_array_equal(audio.read(recording, rate), audio.read(tmp_path / "a.wav", rate))
    part = {"onset": 3.0, "offset": 23.5}
    np.testing.assert_array_equal(audio.read(recording, rate, **part), audio.read(tmp_path / "a.wav", rate, **part))
    assert str(recording) == "a"


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("a.wav", {}), ("a.flac", {}), ("a.ogg", {}), ("a.mp3", {}),
        ("a.mp3", {"compression_level": 0.99, "bitrate_mode": "CONSTANT"}),  # few bits: frames borrow from many before
        ("a.wav", {"subtype": "G721_32"}), ("a.wav", {"subtype": "GSM610"}),  # no seeking in these
    ],
)  # fmt: skip
@pytest.mark.parametrize("rate", [16_000, 32_000])
def test_a_part_of_a_file_is_that_of_the_whole(tmp_path, name, settings, rate):
    samples = chirp(32_000, seconds=25, top=0.2)
    soundfile.write(tmp_path / name, samples, 32_000, **settings)
    whole = audio.read(tmp_path / name, rate)
    if rate == 32_000:
        np.testing.assert_allclose(whole, soundfile.read(tmp_path / name, dtype="float32")[0], atol=1e-6)
    for onset, offset in ((0.0, 2.0), (2.52, 12.52), (13.0, 24.0), (20.0, None)):
        part = audio.read(tmp_path / name, rate, onset=onset, offset=offset)
        there = whole[round(onset * rate) :][: None if offset is None else round((offset - onset) * rate)]
        edge = 0 if rate == 32_000 else 100  # samples that the resampler's filter reaches past a cut
        assert len(part) == len(there)
        np.testing.assert_allclose(part[edge : len(part) - edge], there[edge : len(there) - edge], atol=2e-4)
    assert not len(audio.read(tmp_path / name, rate, onset=30.0))


@pytest.mark.parametrize("error", [AttributeError(), OSError(38, "Function not implemented")])
def test_flac_is_the_same_where_there_are_no_files_in_memory(tmp_path, monkeypatch, error):
    def memfd_create(_name):
        raise error

    samples = to_int16(chirp(16_000))
    write(tmp_path / "one.flac", samples, 16_000)
    monkeypatch.setattr(os, "memfd_create", memfd_create, raising=False)
    write(tmp_path / "two.flac", samples, 16_000)
    assert (tmp_path / "one.flac").read_bytes() == (tmp_path / "two.flac").read_bytes()
