"""Activity against a slow computation of the same definition, made another way."""

from pathlib import Path

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.activity import HOP, a_weighted, a_weighted_dbfs, active_runs, active_stretches, stretches_of
from manifests import audio

REAL = Path(__file__).parents[2] / "shared" / "data" / "esc50" / "audio"


def slow_stretches(samples: np.ndarray, rate: int, threshold_dbfs: float) -> list[tuple[float, float]]:
    """A-weighting of the whole signal at once, then each window and each rule in a loop."""
    padded = np.concatenate([np.zeros(rate), samples, np.zeros(rate)])
    frequencies = np.fft.rfftfreq(len(padded), 1 / rate)
    # the analogue filter of the standard
    poles = -2 * np.pi * np.array([20.598997, 20.598997, 107.65265, 737.86223, 12194.217, 12194.217])
    _, response = scipy.signal.freqs_zpk([0] * 4, poles, 1.0, 2 * np.pi * np.append(frequencies, 1000.0))
    gain = np.abs(response[:-1]) / np.abs(response[-1])
    weighted = np.fft.irfft(np.fft.rfft(padded) * gain, len(padded))[rate : rate + len(samples)]
    active = []
    for place in range(int(np.ceil(len(samples) / rate / 0.005))):
        centre = (place + 0.5) * 0.005
        first, last = round((centre - 0.025) * rate), round((centre + 0.025) * rate)
        power = sum(float(x) ** 2 for x in weighted[max(0, first) : last]) / (0.05 * rate)
        active.append(10 * np.log10(power + 1e-20) > threshold_dbfs)
    spans: list[list[float]] = []
    for place, is_active in enumerate(active):
        if is_active and spans and place * 0.005 - spans[-1][1] < 0.2 - 1e-9:
            spans[-1][1] = (place + 1) * 0.005
        elif is_active:
            spans.append([place * 0.005, (place + 1) * 0.005])
    long = [span for span in spans if span[1] - span[0] > 0.04 - 1e-9]
    if not long and spans:
        long = [max(spans, key=lambda span: span[1] - span[0])]
    return [(onset, min(offset, len(samples) / rate)) for onset, offset in long]


def assert_agree(samples: np.ndarray, rate: int, threshold_dbfs: float) -> None:
    found = active_stretches(samples, rate, threshold_dbfs=threshold_dbfs)
    expected = slow_stretches(samples, rate, threshold_dbfs)
    assert len(found) == len(expected)
    for stretch, (onset, offset) in zip(found, expected, strict=True):
        assert stretch.onset == pytest.approx(onset, abs=0.01)
        assert stretch.offset == pytest.approx(offset, abs=0.01)


def bursts(rate: int) -> np.ndarray:
    """Noise bursts, gaps around 200 ms, lengths around 40 ms, and a hum below the weighting."""
    rng = np.random.default_rng(rate)
    samples = 0.02 * np.sin(2 * np.pi * 30 * np.arange(4 * rate) / rate)
    for onset, offset in (
        (0.3, 0.8),
        (0.95, 1.2),
        (1.6, 1.9),
        (2.5, 2.503),
        (3.1, 3.11),
        (3.7, 4.0),
    ):
        first, last = round(onset * rate), round(offset * rate)
        samples[first:last] += rng.normal(0, 0.1, last - first)
    return samples


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 32000, 44100])
@pytest.mark.parametrize("threshold_dbfs", [-60.0, -45.0, -30.0])
def test_synthetic_bursts_agree_with_the_slow_computation(rate: int, threshold_dbfs: float) -> None:
    assert_agree(bursts(rate), rate, threshold_dbfs)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"needs the recordings of {REAL}")
def test_real_events_agree_with_the_slow_computation() -> None:
    for path in sorted(REAL.glob("*.ogg"))[::100]:
        assert_agree(audio.read(path, 16000), 16000, -50.0)


def test_the_weighting_has_iec_61672s_table_values() -> None:
    table = {63: -26.2, 125: -16.1, 250: -8.6, 500: -3.2, 1000: 0.0, 2000: 1.2, 4000: 1.0}
    for hertz, expected_db in table.items():
        sine = np.sin(2 * np.pi * hertz * np.arange(32000) / 16000)
        level = 10 * np.log10(np.mean(a_weighted(sine, 16000)[8000:24000] ** 2) * 2)
        assert level == pytest.approx(expected_db, abs=0.1)


def test_full_scale_is_a_square_wave() -> None:
    sine = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    assert a_weighted_dbfs(sine, 16000)[100] == pytest.approx(-3.01, abs=0.01)


def test_an_abrupt_onset_far_above_the_threshold_is_at_most_half_a_window_early() -> None:
    samples = np.concatenate([np.zeros(16000), np.full(16000, 0.5) * (-1) ** (np.arange(16000) // 8), np.zeros(16000)])
    (stretch,) = active_stretches(samples, 16000, threshold_dbfs=-60)
    assert 0.97 <= stretch.onset <= 1.0
    assert 2.0 <= stretch.offset <= 2.03


def test_nothing_above_the_threshold_is_no_stretch() -> None:
    assert active_stretches(np.zeros(16000), 16000, threshold_dbfs=-60) == []
    assert active_stretches(np.zeros(0), 16000, threshold_dbfs=-60) == []


def levels(pattern: str) -> np.ndarray:
    """One level of 5 ms for each character; # is above the threshold."""
    return np.array([0.0 if mark == "#" else -100.0 for mark in pattern])


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("#" * 8, [(0, 8)]),
        ("." + "#" * 8 + "." * 39 + "#" * 8, [(1, 56)]),
        ("." + "#" * 8 + "." * 40 + "#" * 8, [(1, 9), (49, 57)]),
        ("#" * 7 + "." * 50 + "#" * 8, [(57, 65)]),
        ("#" * 3 + "." * 50 + "#" * 5 + "." * 50, [(53, 58)]),
        ("#" * 3 + "." * 39 + "#" * 3 + "." * 50, [(0, 45)]),
        ("." * 50, []),
    ],
)
def test_gaps_under_200_ms_are_filled_then_blips_under_40_ms_dropped(
    pattern: str, expected: list[tuple[int, int]]
) -> None:
    found = stretches_of(active_runs(levels(pattern), threshold_dbfs=-50), duration=len(pattern) * HOP)
    assert [(round(s.onset / HOP), round(s.offset / HOP)) for s in found] == expected


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 40000),
    st.sampled_from([8000, 16000, 22050, 44100]),
    st.floats(-90, 0),
    st.integers(0, 9),
)
def test_stretches_are_in_order_apart_and_inside_the_signal(
    num_samples: int, rate: int, threshold_dbfs: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    samples = rng.normal(0, 0.1, num_samples) * (rng.random(num_samples // 500 + 1).repeat(500)[:num_samples] > 0.7)
    found = active_stretches(samples, rate, threshold_dbfs=threshold_dbfs)
    above = bool((a_weighted_dbfs(samples, rate) > threshold_dbfs).any())
    assert bool(found) == above
    edges = [edge for stretch in found for edge in (stretch.onset, stretch.offset)]
    assert edges == sorted(edges)
    assert all(0 <= edge <= num_samples / rate for edge in edges)
    assert all(stretch.onset < stretch.offset for stretch in found)
