"""The stand-in for soxbindings, alone and under Scaper, where there is no `sox` program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxbindings

SCAPER_WITHOUT_SOX = """
import json, logging, shutil, sys, warnings
import numpy as np
assert shutil.which("sox") is None
warnings.simplefilter("ignore")
logging.disable(logging.WARNING)
np.Inf = np.inf
import scaper
assert scaper.core.sox.__name__ == "soxbindings"
folder = sys.argv[1]
mixer = scaper.Scaper(4.0, f"{folder}/fg", f"{folder}/bg", random_state=0)
mixer.sr = 16000
mixer.fade_in_len = mixer.fade_out_len = 0.05
mixer.add_background(("const", "hum"), ("choose", []), ("const", 0))
for time in (0.5, 2.0):
    mixer.add_event(("const", "beep"), ("choose", []), ("const", 0), ("const", time),
                    ("const", 1.0), ("const", 15), ("const", 2.0), ("const", 1.25))
mixer.generate(f"{folder}/out.wav", f"{folder}/out.jams", reverb=0.2)
files = [f"{folder}/{name}" for name in ("out.wav", "out.jams", "cut.wav", "cut.jams")]
scaper.trim(*files, 1.0, 3.0)
"""


@pytest.mark.parametrize(("rate_in", "rate_out"), [(44100, 16000), (8000, 32000), (48000, 48000)])
def test_resampling_rounds_the_length_to_the_nearest_sample(rate_in: int, rate_out: int) -> None:
    tone = np.sin(np.arange(12345) / 20)
    transformer = soxbindings.Transformer()
    transformer.convert(samplerate=rate_out, n_channels=1)
    transformer.set_output_format(rate=rate_out, channels=1)
    out = transformer.build_array(input_array=tone, sample_rate_in=rate_in)
    assert out.shape == (int(12345 * rate_out / rate_in + 0.5), 1)
    assert out.dtype == np.float64


def test_samples_beyond_full_scale_are_clipped_and_do_not_wrap_round() -> None:
    samples = np.array([0.0, 1.0, 1.5, -1.0, -1.5])
    out = soxbindings.Transformer().build_array(input_array=samples, sample_rate_in=16000)
    np.testing.assert_allclose(out[:, 0], [0, 1, 1, -1, -1], atol=1e-9)


def test_an_array_comes_back_as_it_went_channel_by_channel() -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, (1000, 2))
    out = soxbindings.Transformer().build_array(input_array=samples, sample_rate_in=16000)
    np.testing.assert_allclose(out, samples, atol=2**-31)


def test_pitch_shift_keeps_the_length_and_moves_the_tone() -> None:
    rate = 16000
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    transformer = soxbindings.Transformer()
    transformer.pitch(12)
    out = transformer.build_array(input_array=tone, sample_rate_in=rate)[:, 0]
    assert len(out) == len(tone)
    assert np.abs(np.fft.rfft(out)).argmax() == pytest.approx(880, abs=3)


def test_time_stretch_changes_the_length_and_keeps_the_tone() -> None:
    rate = 16000
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    transformer = soxbindings.Transformer()
    transformer.tempo(0.5, audio_type="s")
    out = transformer.build_array(input_array=tone, sample_rate_in=rate)[:, 0]
    assert len(out) == pytest.approx(2 * rate, abs=10)
    assert np.abs(np.fft.rfft(out)).argmax() / 2 == pytest.approx(440, abs=3)


def test_reverb_keeps_one_channel_one() -> None:
    transformer = soxbindings.Transformer()
    transformer.reverb(reverberance=50)
    out = transformer.build_array(input_array=np.ones((1000, 1)) / 4, sample_rate_in=16000)
    assert out.shape == (1000, 1)


def test_trim_cuts_a_file_to_the_sample_and_keeps_its_encoding(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, 16000)
    soundfile.write(tmp_path / "in.wav", samples, 16000, subtype="PCM_24")
    transformer = soxbindings.Transformer()
    transformer.trim(0.25, 0.75)
    assert transformer.build(tmp_path / "in.wav", tmp_path / "out.wav")
    whole, _ = soundfile.read(tmp_path / "in.wav")
    cut, rate = soundfile.read(tmp_path / "out.wav")
    assert rate == 16000
    np.testing.assert_array_equal(cut, whole[4000:12000])
    assert soundfile.info(tmp_path / "out.wav").subtype == "PCM_24"


def test_a_file_that_is_no_audio_is_named_in_the_error(tmp_path: Path) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"RIFF....WAVEgarbage")
    with pytest.raises(soxbindings.SoxError, match=r"bad\.wav: not an audio file that libsox"):
        soxbindings.Transformer().build_array(bad)


def test_a_missing_file_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.wav"):
        soxbindings.Transformer().build_array(tmp_path / "none.wav")


def test_an_output_format_that_cannot_be_set_is_refused() -> None:
    transformer = soxbindings.Transformer()
    transformer.set_output_format(encoding="a-law")
    with pytest.raises(NotImplementedError, match="encoding"):
        transformer.build_array(input_array=np.zeros(10), sample_rate_in=16000)


def test_scaper_generates_and_trims_a_soundscape_without_the_sox_program(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "fg" / "beep").mkdir(parents=True)
    (tmp_path / "bg" / "hum").mkdir(parents=True)
    tone = 0.5 * np.sin(2 * np.pi * 880 * np.arange(44100 * 2) / 44100)
    soundfile.write(tmp_path / "fg" / "beep" / "tone.wav", tone, 44100)
    soundfile.write(tmp_path / "bg" / "hum" / "noise.wav", 0.01 * rng.normal(size=22050 * 6), 22050)
    command = [sys.executable, "-c", SCAPER_WITHOUT_SOX, str(tmp_path)]
    nowhere = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run(command, env=nowhere, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    audio, rate = soundfile.read(tmp_path / "out.wav")
    assert (rate, len(audio)) == (16000, 64000)
    quiet, loud = np.std(audio[:6400]), np.std(audio[9600:24000])
    assert loud > 3 * quiet
    assert soundfile.info(tmp_path / "cut.wav").frames == 32000
    assert (tmp_path / "out.jams").is_file()
