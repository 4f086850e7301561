"""Loudness against pyloudnorm and Scaper, and against EBU's reference signal."""

import numpy as np
import pyloudnorm
import pytest

from curation.loudness import block_powers, gated_lufs, integrated_lufs
from curation.scaper_engine import scaper

RATES = (8000, 16000, 22050, 44100, 48000, 192000)


def decaying_noise(seconds: float, rate: int) -> np.ndarray:
    num_samples = max(1, int(seconds * rate))
    noise = np.random.default_rng(num_samples).normal(0, 0.1, num_samples)
    return noise * np.exp(-np.linspace(0, 6, num_samples))


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("seconds", [0.5, 0.555, 1.234, 3.333, 10.0])
def test_it_is_pyloudnorms_value(rate: int, seconds: float) -> None:
    samples = decaying_noise(seconds, rate)
    assert integrated_lufs(samples, rate) == pytest.approx(
        pyloudnorm.Meter(rate).integrated_loudness(samples), abs=1e-9
    )


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("seconds", [0.001, 0.05, 0.2, 0.39, 0.45, 0.5, 2.0])
@pytest.mark.parametrize("level", [1.0, 1e-3, 1e-5, 0.0])
def test_it_is_scapers_value_for_short_and_quiet_sounds_too(rate: int, seconds: float, level: float) -> None:
    samples = level * decaying_noise(seconds, rate)
    expected = scaper.audio.get_integrated_lufs(samples[:, np.newaxis], rate)
    assert integrated_lufs(samples, rate) == pytest.approx(expected, abs=1e-9)


def test_a_1_khz_sine_at_minus_23_dbfs_in_one_channel_has_ebus_loudness() -> None:
    # EBU Tech 3341, case 1, is this in both channels at -23.0 LUFS; one alone is 3.01 LU less.
    time = np.arange(20 * 48000) / 48000
    samples = 10 ** (-23 / 20) * np.sin(2 * np.pi * 1000 * time)
    assert integrated_lufs(samples, 48000) == pytest.approx(-26.01, abs=0.1)


@pytest.mark.parametrize("num_samples", [0, 1, 100, 16000])
def test_silence_is_at_the_floor(num_samples: int) -> None:
    assert integrated_lufs(np.zeros(num_samples), 16000) == -70.0


def test_the_powers_of_an_amplified_sound_are_scaled_powers() -> None:
    samples = decaying_noise(3.0, 16000)
    for gain in (30.0, 0.1, 0.003):
        scaled = gated_lufs(block_powers(samples, 16000) * gain**2)
        assert scaled == pytest.approx(integrated_lufs(samples * gain, 16000), abs=1e-9)


def test_float32_samples_give_the_same_value() -> None:
    samples = decaying_noise(2.0, 16000).astype(np.float32)
    expected = integrated_lufs(samples.astype(np.float64), 16000)
    assert integrated_lufs(samples, 16000) == expected
