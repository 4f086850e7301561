"""The zero-phase filters: gains measured with sines, delays with impulses, convolution against NumPy's."""

import numpy as np
import pytest

from curation.filters import band_limited, convolved, tilted

RATE = 32000
RNG = np.random.default_rng(0)


def impulse(rate: int) -> np.ndarray:
    out = np.zeros(2 * rate + 1, np.float32)
    out[rate] = 1
    return out


def gain_db(filtered_impulse: np.ndarray, frequency_hz: float, rate: int) -> float:
    t = np.arange(len(filtered_impulse)) / rate
    return float(20 * np.log10(np.abs(np.sum(filtered_impulse * np.exp(-2j * np.pi * frequency_hz * t))) + 1e-9))


def first_above(samples: np.ndarray, level_db: float, rate: int) -> float:
    """Seconds before the impulse at which something is louder than that, relative to the impulse."""
    loud = np.flatnonzero(np.abs(samples) > 10 ** (level_db / 20))
    return float(rate - loud[0]) / rate


@pytest.mark.parametrize("tilt_db", [-12.0, -6.0, -1.5, 0.5, 3.0, 6.0, 12.0])
@pytest.mark.parametrize("frequency_hz", [125, 250, 500, 1000, 2000, 4000, 8000])
def test_a_tilted_sine_is_on_the_line(tilt_db: float, frequency_hz: int) -> None:
    sine = (0.5 * np.sin(2 * np.pi * frequency_hz * np.arange(RATE) / RATE)).astype(np.float32)
    out = tilted(sine, tilt_db, RATE)
    assert len(out) == len(sine)
    middle = slice(RATE // 4, -RATE // 4)
    measured = 10 * np.log10(np.mean(np.square(out[middle])) / np.mean(np.square(sine[middle])))
    assert measured == pytest.approx(tilt_db * np.log2(frequency_hz / 1000), abs=0.2)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_a_tilt_has_no_gain_below_50_hz_and_goes_on_to_the_nyquist_frequency(rate: int) -> None:
    out = tilted(impulse(rate), -6.0, rate)
    assert gain_db(out, 5, rate) == pytest.approx(gain_db(out, 20, rate), abs=0.3)
    assert gain_db(out, 0.49 * rate, rate) == pytest.approx(-6 * np.log2(0.49 * rate / 1000), abs=0.3)


@pytest.mark.parametrize("tilt_db", [-6.0, 6.0])
def test_a_tilt_does_not_move_an_impulse(tilt_db: float) -> None:
    out = tilted(impulse(RATE), tilt_db, RATE)
    assert np.abs(out).argmax() == RATE
    np.testing.assert_allclose(out, out[::-1], atol=1e-6)  # zero phase
    assert first_above(out, -50, RATE) < 0.010


@pytest.mark.parametrize("rate", [8000, 16000, 32000, 44100])
@pytest.mark.parametrize(("low_hz", "high_hz"), [(30, 3400), (80, 3000), (300, 3400), (1000, 1500), (100, 300)])
def test_a_pass_band_is_3_db_down_at_its_edges_and_40_an_octave_beyond(low_hz: int, high_hz: int, rate: int) -> None:
    out = band_limited(impulse(rate), low_hz=low_hz, high_hz=high_hz, sample_rate=rate)
    both = 3.0 if high_hz < 2 * low_hz else 0.1  # dB that the other edge may add
    assert gain_db(out, low_hz, rate) == pytest.approx(-3, abs=both)
    assert gain_db(out, high_hz, rate) == pytest.approx(-3, abs=both)
    assert gain_db(out, low_hz / 2, rate) < -40
    if 2 * high_hz < rate / 2:
        assert gain_db(out, 2 * high_hz, rate) < -40
    if 4 * high_hz < rate / 2:
        assert gain_db(out, 4 * high_hz, rate) < -80
    if high_hz > 8 * low_hz:
        assert gain_db(out, (low_hz * high_hz) ** 0.5, rate) == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("rate", [16000, 32000, 44100])
@pytest.mark.parametrize(("low_hz", "high_hz"), [(0, 3400), (20, 99999), (50, 8000), (80, 3000), (300, 3400)])
def test_a_pass_band_does_not_move_an_impulse_and_is_hardly_heard_before_it(
    low_hz: int, high_hz: int, rate: int
) -> None:
    out = band_limited(impulse(rate), low_hz=low_hz, high_hz=high_hz, sample_rate=rate)
    assert np.abs(out).argmax() == rate
    assert first_above(out, -50, rate) <= 0.010


@pytest.mark.parametrize("num_samples", [0, 1, 100, 5000])
def test_nothing_to_cut_or_to_tilt_changes_nothing(num_samples: int) -> None:
    samples = RNG.standard_normal(num_samples).astype(np.float32)
    for out in (
        band_limited(samples, low_hz=0, high_hz=RATE / 2, sample_rate=RATE),
        band_limited(samples, low_hz=0.0, high_hz=1e9, sample_rate=RATE),
        tilted(samples, 0.0, RATE),
    ):
        assert out is not samples
        np.testing.assert_array_equal(out, samples)


@pytest.mark.parametrize("num_samples", [0, 1, 2, 640, 20000])
def test_any_length_keeps_its_length_and_is_finite(num_samples: int) -> None:
    for samples in (RNG.standard_normal(num_samples).astype(np.float32), np.zeros(num_samples, np.float32)):
        for out in (
            band_limited(samples, low_hz=50, high_hz=6000, sample_rate=RATE),
            tilted(samples, 4.0, RATE),
        ):
            assert (out.dtype, len(out)) == (np.float32, num_samples)
            assert np.isfinite(out).all()
            assert samples.any() or not out.any()


def test_a_slice_far_from_the_ends_is_filtered_as_in_the_whole() -> None:
    samples = RNG.standard_normal(50000).astype(np.float32)
    whole = band_limited(samples, low_hz=100, high_hz=6000, sample_rate=RATE)
    part = band_limited(samples[10000:30000], low_hz=100, high_hz=6000, sample_rate=RATE)
    np.testing.assert_allclose(part[5000:-5000], whole[15000:25000], atol=1e-5)


@pytest.mark.parametrize(("one", "two"), [(1, 1), (10, 3), (3, 10), (5000, 777), (100, 100000)])
def test_convolution_is_numpys(one: int, two: int) -> None:
    left, right = RNG.standard_normal(one).astype(np.float32), RNG.standard_normal(two).astype(np.float32)
    out = convolved(left, right)
    assert out.dtype == np.float32
    expected = np.convolve(left.astype(np.float64), right)
    np.testing.assert_allclose(out, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("low_hz", "high_hz", "name"),
    [(-1, 8000, "low_hz"), (5, 8000, "low_hz"), (16000, 20000, "low_hz"), (np.nan, 8000, "low_hz"),
     (0, 5, "high_hz"), (300, 300, "high_hz"), (0, np.nan, "high_hz")],
)  # fmt: skip
def test_an_edge_out_of_range_is_refused_by_name(low_hz: float, high_hz: float, name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} is .*; it must be"):
        band_limited(np.zeros(10, np.float32), low_hz=low_hz, high_hz=high_hz, sample_rate=RATE)
