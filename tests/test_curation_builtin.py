"""The built-in bank: the same sounds every time, all usable, each kind unlike the others."""

import itertools

import numpy as np
import pytest

from curation.builtin import KINDS, Kind, synthesise
from curation.synthesis import RATE_HZ, Audio, resample, ring

FOREGROUNDS = [kind for kind in KINDS if kind.role == "foreground"]
BACKGROUNDS = [kind for kind in KINDS if kind.role == "background"]
BAND_EDGES_HZ = np.geomspace(50.0, 8000.0, 25)
BIN_HZ = np.fft.rfftfreq(512, 1 / 16_000)
BAND_BINS = [(low <= BIN_HZ) & (high > BIN_HZ) for low, high in itertools.pairwise(BAND_EDGES_HZ)]


def powers(wave: Audio) -> np.ndarray:
    """Power by (frame, frequency) of a sound at 16 kHz."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(wave, (0, 512)), 512)[::512]
    return np.abs(np.fft.rfft(frames * np.hanning(512), axis=1)) ** 2


def features(kind: Kind, index: int) -> np.ndarray:
    """Mean and spread over time of the band levels, and how they move: 72 numbers, in dB."""
    wave = synthesise(kind, index, seed=0, sample_rate=16_000)[: 3 * 16_000]
    power = powers(wave)
    bands = np.stack([power[:, bins].sum(axis=1) for bins in BAND_BINS], axis=1)
    level = 10 * np.log10(bands / bands.max() + 1e-6)
    moves = np.abs(np.diff(level, axis=0)).mean(axis=0)
    return np.concatenate([level.mean(axis=0), level.std(axis=0), moves])


def test_there_are_enough_kinds_with_labels_like_folder_names():
    labels = [kind.label for kind in KINDS]
    assert len(set(labels)) == len(labels)
    assert all(label.replace("_", "").isalpha() and label.islower() for label in labels)
    assert len(FOREGROUNDS) >= 12
    assert len(BACKGROUNDS) >= 4


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.label)
def test_every_sound_is_fit_for_a_bank(kind: Kind):
    for index in range(1 if kind.role == "background" else 4):
        wave = synthesise(kind, index, seed=3, sample_rate=RATE_HZ)
        assert wave.dtype == np.float32
        assert wave.ndim == 1
        assert np.isfinite(wave).all()
        assert 0.5 < np.abs(wave).max() <= 0.9
        assert abs(float(wave.mean())) < 2e-3
        assert max(abs(wave[0]), abs(wave[-1])) < 1e-3
        low, high = (15.0, 25.0) if kind.role == "background" else (0.3, 6.0)
        assert low <= len(wave) / RATE_HZ <= high


@pytest.mark.parametrize("kind", FOREGROUNDS[::3], ids=lambda kind: kind.label)
def test_a_sound_is_the_same_at_every_rate(kind: Kind):
    reference = synthesise(kind, 0, seed=0, sample_rate=RATE_HZ)
    for sample_rate in (8_000, 16_000, 44_100):
        wave = synthesise(kind, 0, seed=0, sample_rate=sample_rate)
        assert_same_sound(wave, reference, sample_rate)


def assert_same_sound(wave: Audio, reference: Audio, sample_rate: int) -> None:
    assert len(wave) / sample_rate == pytest.approx(len(reference) / RATE_HZ, abs=1e-3)
    assert np.abs(wave).max() <= 0.9
    length = 1 << (max(len(wave) * RATE_HZ // sample_rate, len(reference)) - 1).bit_length()
    top_hz = 0.42 * min(sample_rate, RATE_HZ)  # under the resampler's transition band
    num_bins = int(top_hz / RATE_HZ * length)
    theirs = np.abs(np.fft.rfft(reference, length)[:num_bins])
    bin_hz = np.arange(num_bins) * RATE_HZ / length
    own_hz = np.fft.rfftfreq(len(wave) * 4, 1 / sample_rate)
    ours = np.interp(bin_hz, own_hz, np.abs(np.fft.rfft(wave, len(wave) * 4)))
    assert np.corrcoef(ours, theirs)[0, 1] > 0.95


def test_nothing_folds_back_over_the_nyquist_frequency():
    tone = ring(6_000.0, 100.0, 1.0, 1.0)
    steady = resample(tone, 8_000)[1_000:-1_000]
    assert np.abs(steady).max() < 1e-3
    for kind in FOREGROUNDS:
        wave = synthesise(kind, 0, seed=0, sample_rate=48_000)
        power = np.abs(np.fft.rfft(wave)) ** 2
        above = np.fft.rfftfreq(len(wave), 1 / 48_000) > 16_500.0
        assert power[above].sum() < 1e-4 * power.sum(), kind.label


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.label)
def test_a_sound_depends_on_its_seed_and_index_alone(kind: Kind):
    first = synthesise(kind, 5, seed=1, sample_rate=8_000)
    others = [synthesise(kind, 4, seed=1, sample_rate=8_000)]
    if kind.role == "foreground":
        others.append(synthesise(kind, 5, seed=2, sample_rate=8_000))
    np.testing.assert_array_equal(first, synthesise(kind, 5, seed=1, sample_rate=8_000))
    for other in others:
        assert len(other) != len(first) or np.abs(other - first).max() > 0.1


@pytest.mark.parametrize("kind", FOREGROUNDS, ids=lambda kind: kind.label)
def test_no_two_sounds_of_a_kind_are_near_copies(kind: Kind):
    waves = [synthesise(kind, index, seed=0, sample_rate=8_000) for index in range(3)]
    spectra = [np.fft.rfft(wave / np.linalg.norm(wave), 1 << 17) for wave in waves]
    for one, other in itertools.combinations(spectra, 2):
        assert np.abs(np.fft.irfft(one * other.conj())).max() < 0.8  # 1 is a copy, at any shift


def test_a_nearest_centroid_tells_new_sounds_of_each_kind_apart():
    feature_table = np.array([[features(kind, index) for index in range(6)] for kind in FOREGROUNDS])
    train, test = feature_table[:, :4], feature_table[:, 4:]
    flat = train.reshape(-1, train.shape[-1])
    scale = flat.std(axis=0) + 1.0
    centroids = train.mean(axis=1) / scale
    distances = np.linalg.norm(test[:, :, None] / scale - centroids, axis=-1)
    right = distances.argmin(axis=-1) == np.arange(len(FOREGROUNDS))[:, None]
    assert right.mean() > 0.6  # chance is 1 in 18
