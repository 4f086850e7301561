"""How far an event stands above everything else, against a computation of its own."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.fft
import scipy.signal

from curation.activity import HOP, Runs
from curation.bands import NUM_BANDS, STEP, Scene, band_energies

RATE = 16000
EDGES_HZ = (0, 200, 400, 630, 920, 1270, 1720, 2320, 3150, 4400, 6400, 9500, np.inf)  # docs/data.md
POLES_HZ = (20.598997, 107.65265, 737.86223, 12194.217)  # IEC 61672-1
CENTRES_HZ = [
    np.sqrt(max(low, 100) * min(high, RATE / 2)) for low, high in itertools.pairwise(EDGES_HZ) if low < RATE / 2
]


def tone(hertz: float, seconds: float, rate: int = RATE) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def noise(seconds: float, seed: int, rate: int = RATE) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, round(seconds * rate))


def a_weights(frequencies_hz: np.ndarray) -> np.ndarray:
    """Gain of the A-weighting, from its poles and zeros, 1.0 at 1 kHz."""
    low, mid_1, mid_2, high = (-2 * np.pi * pole for pole in POLES_HZ)
    at = 2 * np.pi * np.append(np.maximum(frequencies_hz, 1e-6), 1000.0)
    _, response = scipy.signal.freqs_zpk([0] * 4, [low, low, mid_1, mid_2, high, high], 1.0, worN=at)
    return np.abs(response[:-1]) / np.abs(response[-1])


def energies_by_hand(samples: np.ndarray, rate: int = RATE) -> np.ndarray:
    """A-weighted energy in each band, by one transform of all of it."""
    spectrum = scipy.fft.fft(samples)
    frequencies = np.abs(scipy.fft.fftfreq(len(samples), 1 / rate))
    powers = np.abs(spectrum * a_weights(frequencies)) ** 2 / len(samples)
    return np.array(
        [powers[(low <= frequencies) & (frequencies < high)].sum() for low, high in itertools.pairwise(EDGES_HZ)]
    )


def runs(*spans: tuple[float, float]) -> Runs:
    return np.array([[round(onset / HOP), round(offset / HOP)] for onset, offset in spans])


def audible_db(event: np.ndarray, start: float, others: np.ndarray, gain: float, rate: int = RATE) -> float:
    """Of an event in the middle of others, while it lasts."""
    scene, place = Scene(len(others), rate), round(start * rate)
    bands = band_energies(event, rate)
    scene.add(band_energies(others, rate), 0, 1.0)
    scene.add(bands, place, gain)
    (decibels,) = scene.audible_db(bands, place, gain, runs((0, len(event) / rate)))
    return decibels


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 32000, 44100])
@pytest.mark.parametrize(("seconds", "slack"), [(0.03, 0.05), (0.5, 0.01), (3.21, 0.01)])
def test_all_bands_together_hold_the_a_weighted_energy(rate: int, seconds: float, slack: float) -> None:
    """Within 1 %, but for a click: the windows at both ends miss the energy of up to 2 ms each."""
    fade = np.minimum(1, np.minimum(np.arange(round(seconds * rate)), np.arange(round(seconds * rate))[::-1]) / 100)
    for samples in (noise(seconds, 1, rate) * fade, tone(1000, seconds, rate) * fade, tone(300, seconds, rate) * fade):
        found = band_energies(samples, rate).sum()
        padded = np.pad(samples, rate // 10)
        assert found == pytest.approx(energies_by_hand(padded, rate).sum(), rel=slack)


@pytest.mark.parametrize("seed", range(3))
def test_each_band_holds_what_lies_between_its_edges(seed: int) -> None:
    samples = noise(5, seed)
    found, expected = band_energies(samples, RATE).sum(axis=0), energies_by_hand(samples)
    assert found.shape == (NUM_BANDS,)
    there = expected > 0
    # a window of 40 ms spreads what is near an edge to both sides of it, and below 200 Hz the weighting is steep
    apart = 10 * np.log10(found[there] / expected[there])
    assert apart[0] == pytest.approx(0, abs=1.5)
    np.testing.assert_allclose(apart[1:], 0, atol=0.6)
    assert (found[~there] == 0).all()


@pytest.mark.parametrize("hertz", CENTRES_HZ)
@pytest.mark.parametrize("snr_db", [-30, -8, 0, 12, 30])
def test_a_tone_in_noise_stands_out_as_computed_by_hand(hertz: float, snr_db: float) -> None:
    others, event = 0.01 * noise(6, 7), tone(hertz, 2.5)
    own, heard = energies_by_hand(event), energies_by_hand(others[round(2.1 * RATE) : round(4.6 * RATE)])
    band = int(np.argmax(own))
    gain = np.sqrt(10 ** (snr_db / 10) * heard[band] / own[band])
    assert audible_db(event, 2.1, others, gain) == pytest.approx(snr_db, abs=1)


def test_the_band_in_which_a_sound_stands_out_most_counts_if_it_is_its_own() -> None:
    others = 0.01 * noise(4, 1)
    both = tone(500, 2) + 0.5 * tone(3600, 2)  # a fifth of its energy
    own, heard = energies_by_hand(both), energies_by_hand(others[RATE : 3 * RATE])
    low, high = (int(np.searchsorted(EDGES_HZ, hertz, side="right")) - 1 for hertz in (500, 3600))
    expected = 10 * np.log10(max(own[low] / heard[low], own[high] / heard[high]))
    assert audible_db(both, 1, others, 1.0) == pytest.approx(expected, abs=1)
    little = tone(500, 2) + 0.1 * tone(3600, 2)  # a hundredth: no band of its own
    own = energies_by_hand(little)
    assert own[high] < 0.1 * own.sum()
    masked = others + 100 * tone(500, 4)
    heard = energies_by_hand(masked[RATE : 3 * RATE])
    assert own[high] / heard[high] > 100 * own[low] / heard[low]
    assert audible_db(little, 1, masked, 1.0) == pytest.approx(10 * np.log10(own[low] / heard[low]), abs=1)


def test_an_event_is_masked_by_a_louder_one_in_its_band_and_not_in_another() -> None:
    event, background = 0.01 * tone(1000, 1), 1e-4 * noise(3, 2)
    assert audible_db(event, 1, background + 0.1 * tone(1050, 3), 1.0) == pytest.approx(-20, abs=1)
    assert audible_db(event, 1, background + 0.1 * tone(4000, 3), 1.0) > 20
    assert audible_db(event, 1, background, 1.0) > 20


def test_what_sounds_before_and_after_an_event_does_not_mask_it() -> None:
    event = 0.01 * tone(1000, 1)
    others = 1e-4 * noise(4, 2) + 0.1 * tone(1000, 4)
    others[RATE : 3 * RATE] = 1e-4 * noise(2, 3)
    assert audible_db(event, 1.5, others, 1.0) > 20
    assert audible_db(event, 0, others, 1.0) == pytest.approx(-20, abs=1)


def test_each_run_has_a_value_of_its_own() -> None:
    event, others = 0.01 * tone(1000, 2), 1e-4 * noise(4, 2)
    others[2 * RATE :] += 0.1 * tone(1000, 2)
    scene, bands = Scene(len(others), RATE), band_energies(event, RATE)
    scene.add(band_energies(others, RATE), 0, 1.0)
    scene.add(bands, RATE, 1.0)
    clear, masked = scene.audible_db(bands, RATE, 1.0, runs((0, 0.9), (1.1, 2)))
    assert clear > 20
    assert masked == pytest.approx(-20, abs=1)


def test_what_is_alone_is_limited_by_the_noise_of_16_bits_and_the_largest_value() -> None:
    silence = np.zeros(2 * RATE)
    assert audible_db(tone(1000, 1), 0.5, silence, 1.0) == 60
    # -100 dBFS in all 12 bands together
    faint = audible_db(tone(1000, 1), 0.5, silence, 10 ** (-90 / 20))
    assert faint == pytest.approx(-90 - 3 + 100 + 10 * np.log10(12), abs=0.5)
    assert audible_db(tone(1000, 1), 0.5, tone(1000, 2), 1e-9) == -60


def test_a_sound_starts_at_the_nearest_step() -> None:
    assert round(STEP * RATE) == 320
    event, others = 0.1 * tone(1000, 1), 0.01 * noise(3, 4)
    values = [audible_db(event, 1 + shift / RATE, others, 1.0) for shift in range(-160, 161, 40)]
    np.testing.assert_allclose(values, values[0], atol=1)


MEASURED = """
import hashlib
import numpy as np
from curation.bands import band_energies
from curation.loudness import integrated_lufs

digest = hashlib.sha256()
for rate in (16_000, 22_050, 44_100, 48_000):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 2 * rate).astype(np.float32)
    digest.update(band_energies(noise, rate).tobytes())
    digest.update(repr(integrated_lufs(noise, rate)).encode())
print(digest.hexdigest())
"""


def test_another_processor_measures_the_same() -> None:
    """OpenBLAS has other kernels for other processors, which add in another order; it can be told which to take."""
    digests = [
        subprocess.run(
            [sys.executable, "-c", MEASURED],
            cwd=Path(__file__).parents[1],
            env={**os.environ, **kernels},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
        for kernels in ({}, {"OPENBLAS_CORETYPE": "PRESCOTT"})
    ]
    assert digests[0] == digests[1]
