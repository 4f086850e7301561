"""Synthetic rooms: what is measured of their impulse responses, by an independent loop, is what was asked for."""

import numpy as np
import pytest
import scipy.signal

from curation.rooms import reverberated, synthetic_room


def decay_time(response: np.ndarray, low_hz: float, high_hz: float, rate: int, *, to_db: float) -> float:
    """T20 or T30 of ISO 3382-1: the slope of Schroeder's integral below -5 dB, in seconds to -60 dB."""
    sections = scipy.signal.butter(3, [low_hz, high_hz], "bandpass", output="sos", fs=rate)
    band = scipy.signal.sosfilt(sections, np.append(response, np.zeros(rate // 5)))
    energy, decays = 0.0, []
    for sample in band[::-1].tolist():
        energy += sample * sample
        decays.append(energy)
    levels = 10 * np.log10(np.array(decays[::-1]) / energy + 1e-30)
    inside = np.flatnonzero((levels <= -5) & (levels >= to_db))
    return float(-60 / np.polyfit(inside / rate, levels[inside], 1)[0])


def without_direct_sound(response: np.ndarray) -> np.ndarray:
    return np.append(0.0, response[1:].astype(np.float64))


@pytest.mark.parametrize("rt60", [0.1, 0.2, 0.5, 1.0, 2.5])
@pytest.mark.parametrize("rate", [16000, 32000])
def test_the_middle_frequencies_decay_as_asked_for_and_high_ones_faster(rt60: float, rate: int) -> None:
    for seed in range(4):
        tail = without_direct_sound(synthetic_room(seed, rt60=rt60, direct_db=0, sample_rate=rate))
        for to_db in (-25, -35):
            assert decay_time(tail, 500, 1000, rate, to_db=to_db) == pytest.approx(rt60, rel=0.1)
        assert decay_time(tail, 4000, 7500, rate, to_db=-35) < 0.8 * rt60


@pytest.mark.parametrize("direct_db", [-20.0, 0.0, 7.3, 30.0])
@pytest.mark.parametrize("rt60", [0.05, 0.4, 10.0])
def test_the_direct_sound_is_1_and_as_much_above_the_rest_as_asked_for(direct_db: float, rt60: float) -> None:
    response = synthetic_room(5, rt60=rt60, direct_db=direct_db, sample_rate=8000)
    assert response.dtype == np.float32
    assert response[0] == 1
    assert not response[1:8].any()  # the first reflection comes a millisecond later
    rest = np.sum(np.square(without_direct_sound(response)))
    assert -10 * np.log10(rest) == pytest.approx(direct_db, abs=1e-3)
    assert len(response) == int(np.ceil(rt60 * 8000)) + 1
    assert np.isfinite(response).all()


def test_at_its_end_a_response_has_faded_by_60_db() -> None:
    response = synthetic_room(1, rt60=0.8, direct_db=0, sample_rate=16000).astype(np.float64)
    early, late = (np.mean(np.square(response[place : place + 800])) for place in (400, len(response) - 800))
    assert -68 < 10 * np.log10(late / early) < -54


def test_a_few_reflections_stand_out_of_the_noise() -> None:
    for seed in range(10):
        response = without_direct_sound(synthetic_room(seed, rt60=0.6, direct_db=0, sample_rate=32000))
        first = int(np.flatnonzero(response)[0])
        assert 0.001 < first / 32000 < 0.010
        noise = np.sqrt(np.mean(np.square(response[first + 1 : 2 * first])))
        assert abs(response[first]) > 3 * noise


def test_a_seed_gives_the_same_room_again_and_another_seed_another() -> None:
    one, again, other = (synthetic_room(seed, rt60=0.3, direct_db=5, sample_rate=16000) for seed in (7, 7, 8))
    np.testing.assert_array_equal(one, again)
    assert np.corrcoef(one[1:], other[1:])[0, 1] < 0.2


def test_a_room_is_the_same_on_every_machine_to_the_last_digits() -> None:
    response = synthetic_room(0, rt60=0.2, direct_db=0, sample_rate=8000)
    found = [float(response[place]) for place in GOLDEN]
    np.testing.assert_allclose(found, list(GOLDEN.values()), rtol=1e-4)


GOLDEN = {
    35: 0.121751,
    60: -0.09016,
    100: -0.0279909,
    200: -0.0421397,
    400: 7.72726e-05,
    800: 0.00452041,
    1200: -0.000750577,
}


@pytest.mark.parametrize("num_samples", [0, 1, 320, 20000])
def test_a_sound_in_a_room_is_its_convolution(num_samples: int) -> None:
    response = synthetic_room(0, rt60=0.2, direct_db=3, sample_rate=16000)
    samples = np.random.default_rng(0).standard_normal(num_samples).astype(np.float32)
    out = reverberated(samples, response)
    assert out.dtype == np.float32
    if not num_samples:
        assert not len(out)
        return
    assert len(out) == num_samples + len(response) - 1
    np.testing.assert_allclose(out, np.convolve(samples.astype(np.float64), response), atol=1e-5)
    np.testing.assert_array_equal(out, reverberated(samples.copy(), response.copy()))


def test_silence_stays_silent_in_a_room() -> None:
    response = synthetic_room(0, rt60=0.2, direct_db=3, sample_rate=16000)
    assert not reverberated(np.zeros(5000, np.float32), response).any()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rt60", 0.04),
        ("rt60", 11.0),
        ("rt60", np.nan),
        ("direct_db", 41.0),
        ("direct_db", np.nan),
        ("sample_rate", 3999),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name: str, value: float) -> None:
    given = {"rt60": 0.5, "direct_db": 0.0, "sample_rate": 16000} | {name: value}
    with pytest.raises(ValueError, match=rf"^{name} is .*; it must be"):
        synthetic_room(0, **given)
