"""Pitch and duration against sox, as Scaper calls it, and against loops that anyone can read."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxbindings

from curation.effects import EventEffects, processed, processed_length
from curation.wsola import Splicing, splicing_for_tempo, stretched

RATE = 16000
BANK = Path(__file__).parents[2] / "shared" / "data" / "bank" / "foreground"
RNG = np.random.default_rng(0)


def noise(num_samples: int) -> np.ndarray:
    """On the grid of 16 bits, which sox's integers hold exactly."""
    return (RNG.integers(-8000, 8000, num_samples) / 32768).astype(np.float32)


def by_sox(samples: np.ndarray, effects: EventEffects, rate: int) -> np.ndarray:
    """What Scaper gets: its calls, in its order."""
    transformer = soxbindings.Transformer()
    transformer.set_output_format(rate=rate, channels=1)
    if effects.pitch_semitones:
        transformer.pitch(effects.pitch_semitones)
    if effects.time_stretch != 1:
        transformer.tempo(1.0 / effects.time_stretch, audio_type="s")
    return np.asarray(transformer.build_array(input_array=samples, sample_rate_in=rate))[:, 0]


def agreement_db(found: np.ndarray, expected: np.ndarray) -> float:
    """Signal over difference; lengths may differ by a sample or two."""
    assert abs(len(found) - len(expected)) <= 2
    num_samples = min(len(found), len(expected))
    difference = found[:num_samples].astype(np.float64) - expected[:num_samples]
    power = np.square(expected).sum()
    return float(10 * np.log10(max(power, 1e-30) / max(np.square(difference).sum(), 1e-30)))


@pytest.mark.parametrize("num_samples", [1, 2, 300, 1111, 5000, 30000])
@pytest.mark.parametrize("factor", [0.25, 0.5, 0.8, 0.97, 1.03, 1.2, 2.0, 4.0])
def test_a_stretched_signal_is_soxs_sample_for_sample(num_samples: int, factor: float) -> None:
    samples, effects = noise(num_samples), EventEffects(time_stretch=factor)
    found, expected = processed(samples, effects, RATE), by_sox(samples, effects, RATE)
    assert len(found) == len(expected) == processed_length(num_samples, effects)
    np.testing.assert_allclose(found, expected, atol=2.0**-30)


@pytest.mark.parametrize("rate", [8000, 22050, 32000, 44100, 48000])
def test_at_any_rate_segments_are_as_long_as_soxs(rate: int) -> None:
    samples = noise(rate)
    for factor in (0.71, 0.8, 1.25, 1.9):
        effects = EventEffects(time_stretch=factor)
        np.testing.assert_allclose(processed(samples, effects, rate), by_sox(samples, effects, rate), atol=2.0**-30)


@pytest.mark.parametrize("semitones", [-24.0, -12.0, 24.0])
@pytest.mark.parametrize("factor", [0.25, 0.5, 4.0])
def test_at_a_low_rate_extreme_effects_are_soxs_too(semitones: float, factor: float) -> None:
    dull = np.convolve(noise(10000), np.hanning(16) / 8, "same")  # nothing where resamplers differ
    samples = (np.rint(dull * 32768) / 32768).astype(np.float32)
    effects = EventEffects(pitch_semitones=semitones, time_stretch=factor)
    assert agreement_db(processed(samples, effects, 4000), by_sox(samples, effects, 4000)) > 50


@pytest.mark.skipif(not BANK.exists(), reason="needs the real recordings in ../shared/data")
@pytest.mark.parametrize("semitones", [-3.0, -0.21, 1.37, 3.0, 12.0])
@pytest.mark.parametrize("factor", [1.0, 0.8, 1.25])
def test_real_recordings_agree_with_sox(semitones: float, factor: float) -> None:
    effects = EventEffects(pitch_semitones=semitones, time_stretch=factor)
    for path in sorted(BANK.glob("*/*.flac"))[::120]:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        heard = (np.rint(samples.mean(1)[: 2 * rate] * 16384) / 32768).astype(np.float32)  # half: sox would clip
        assert agreement_db(processed(heard, effects, rate), by_sox(heard, effects, rate)) > 70, path.name


def by_hand(samples: np.ndarray, tempo: float, lengths: Splicing) -> np.ndarray:
    """WSOLA as it is described: each start is tried, each overlap is summed in float32, one sample after the other."""
    step = lengths.segment - lengths.overlap
    num_out = int(len(samples) / tempo + 0.5)
    padded = np.concatenate([np.zeros(lengths.search // 2), samples, np.zeros(4 * lengths.segment + num_out)])
    padded = padded.astype(np.float32)
    start = lengths.search // 2
    out = padded[start : start + lengths.segment].copy()
    while len(out) < num_out + lengths.segment:
        due = int((len(out) - lengths.overlap) // step * (tempo * step) + 0.5)
        last = padded[start + step : start + step + lengths.overlap]
        sums = np.zeros(lengths.search, np.float32)
        for i in range(lengths.overlap):
            sums += np.square(last[i] - padded[due + i : due + i + lengths.search])
        start = due + int(np.argmin(sums))
        rise = (np.float32(1) / np.float32(lengths.overlap)) * np.arange(lengths.overlap, dtype=np.float32)
        new = padded[start : start + lengths.segment]
        out[-lengths.overlap :] = last * (1 - rise) + new[: lengths.overlap] * rise
        out = np.concatenate([out, new[lengths.overlap :]])
    return out[:num_out]


def hard_signals() -> dict[str, np.ndarray]:
    """Where starts are equally good, or nearly, or sums over boxes are of no help."""
    t = np.arange(12000)
    return {
        "silence": np.zeros(12000),
        "constant": np.full(12000, 0.3),
        "sine": 0.5 * np.sin(2 * np.pi * 440 * t / RATE),
        "period": np.tile(noise(50), 240),
        "alternating": noise(12000) * (-1.0) ** t,
        "offset": 0.9 + noise(12000) / 1000,
        "faint on an offset": 0.9 + np.repeat(noise(200), 60) / 2**20,
        "three levels": RNG.integers(-1, 2, 12000) / 2,
        "quiet after loud": np.concatenate([noise(6000), noise(6000) / 10000]),
        "silence inside": np.where((t // 2000) % 2, 0.0, noise(12000)),
        "impulses": np.where(t % 777 == 0, 1.0, 0.0),
    }


@pytest.mark.parametrize("name", hard_signals())
@pytest.mark.parametrize("tempo", [0.6, 0.8, 1.25, 2.0])
def test_the_quick_search_finds_what_a_full_search_finds(name: str, tempo: float) -> None:
    samples = hard_signals()[name].astype(np.float32)
    lengths = splicing_for_tempo(tempo, RATE)
    np.testing.assert_array_equal(stretched(samples, tempo, lengths), by_hand(samples, tempo, lengths))


@pytest.mark.parametrize("semitones", [3.7, -3.7, 12.0, -12.0, 0.5])
def test_a_shifted_sine_has_the_pitch_asked_for(semitones: float) -> None:
    rate = 32000
    tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate)).astype(np.float32)
    out = processed(tone, EventEffects(pitch_semitones=semitones), rate)
    assert len(out) == len(tone)
    spectrum = np.abs(np.fft.rfft(out * np.hanning(len(out)), 64 * rate))
    cents = 1200 * np.log2(spectrum.argmax() / 64 / 440)
    assert cents == pytest.approx(100 * semitones, abs=2)


def span(samples: np.ndarray) -> float:
    """Seconds from the first loud sample to the last, at 32 kHz."""
    loud = np.flatnonzero(np.abs(samples) > 0.1 * np.abs(samples).max())
    return float(loud[-1] - loud[0]) / 32000


@pytest.mark.parametrize("semitones", [-3.0, 0.0, 3.0])
@pytest.mark.parametrize("factor", [0.5, 0.8, 1.0, 1.25, 2.0])
def test_a_train_of_sounds_lasts_as_long_as_asked_for(semitones: float, factor: float) -> None:
    burst = np.hanning(3202)[1:-1] * np.sin(2 * np.pi * 900 * np.arange(3200) / 32000)
    train = np.zeros(64000)
    for start in range(8000, 60000, 9600):
        train[start : start + 3200] = burst
    effects = EventEffects(pitch_semitones=semitones, time_stretch=factor)
    out = processed(train.astype(np.float32), effects, 32000)
    # a segment may be moved by half a search, at either end of the train
    moved = 0.0147 * factor * (semitones != 0) + 0.0164 * (factor != 1)
    assert span(out) == pytest.approx(span(train) * factor, abs=0.001 + moved)


def test_a_click_in_silence_may_be_left_out_but_then_sox_leaves_it_out_too() -> None:
    clicks = np.zeros(64000, np.float32)
    clicks[8000:60000:9600] = 0.9
    for semitones in (-3.0, 3.0):
        effects = EventEffects(pitch_semitones=semitones)
        found, expected = processed(clicks, effects, 32000), by_sox(clicks, effects, 32000)
        assert agreement_db(found, expected) > 40  # clicks go up to half the sample rate, where resamplers differ
        assert (span(found) < 1.4) == (semitones < 0)


@pytest.mark.parametrize("num_samples", [0, 1, 7, 320, 5000])
def test_no_effect_changes_nothing(num_samples: int) -> None:
    samples = noise(num_samples)
    out = processed(samples, EventEffects(), RATE)
    assert out is not samples
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, samples)
    assert processed_length(num_samples, EventEffects()) == num_samples


@pytest.mark.parametrize("num_samples", [0, 1, 7, 320, 5000])
@pytest.mark.parametrize("semitones", [-12.0, 0.0, 12.0])
@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_any_length_has_the_length_foretold_and_finite_samples(
    num_samples: int, semitones: float, factor: float
) -> None:
    effects = EventEffects(pitch_semitones=semitones, time_stretch=factor, tilt_db=-3)
    for samples in (noise(num_samples), np.zeros(num_samples, np.float32)):
        out = processed(samples, effects, RATE)
        assert len(out) == processed_length(num_samples, effects) == int(num_samples * factor + 0.5)
        assert out.dtype == np.float32
        assert np.isfinite(out).all()
        assert samples.any() or not out.any()


def test_samples_that_cannot_be_written_to_are_not_written_to() -> None:
    samples = noise(5000)
    samples.setflags(write=False)
    effects = EventEffects(pitch_semitones=2, time_stretch=1.1, tilt_db=1)
    np.testing.assert_array_equal(processed(samples, effects, RATE), processed(samples.copy(), effects, RATE))


@pytest.mark.parametrize(
    ("name", "value"), [("pitch_semitones", 25.0), ("time_stretch", 0.0), ("time_stretch", np.nan), ("tilt_db", -13.0)]
)
def test_a_value_out_of_range_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"{name} is .*; it must be between"):
        EventEffects(**{name: value})


def test_a_rate_too_low_for_segments_is_refused() -> None:
    with pytest.raises(ValueError, match="sample_rate is 3999; it must be at least 4000"):
        processed(noise(100), EventEffects(), 3999)
