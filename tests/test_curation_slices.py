"""Measures of a slice from those of its clip are those of the slice itself."""

from pathlib import Path

import numpy as np
import pytest
from small_bank import Sound, noise, tone, write_bank

from curation.loudness import integrated_lufs
from curation.measures import fade_ends, measure_event, quarter_sine
from curation.slices import measured_slice


@pytest.mark.parametrize("rate", [16000, 22050, 44100])
@pytest.mark.parametrize("fade", [0.01, 0.0, 0.1])
def test_only_the_ends_are_measured_anew(tmp_path: Path, rate: int, fade: float) -> None:
    drift = 0.3 * np.sin(2 * np.pi * 5 * np.arange(6 * rate) / rate)  # what a filter forgets slowly
    sound = noise(6, 1, rate=rate) * np.linspace(0.02, 1, 6 * rate) + drift + tone(6, 3000, rate=rate) * 0.1
    sounds = [Sound(samples=noise(3, 2, rate=rate), role="background", label="wind"), Sound(samples=sound)]
    bank = write_bank(tmp_path / "bank", sounds, rate=rate)
    clip = bank.clips[1]
    for start, num in ((0, 15), (20, 12), (37, 23), (45, 15)):
        first, count = start * rate // 10, num * rate // 10
        samples = bank.samples(clip, first, count) / np.float32(32768)
        shape = quarter_sine(int(fade * rate))
        found = measured_slice(samples, bank.measures(clip), first, fade=shape, sample_rate=rate)
        assert found is not None
        lufs, measures = found
        faded = samples.astype(np.float64)
        fade_ends(faded, shape)
        expected = measure_event(faded, rate)
        assert lufs == pytest.approx(integrated_lufs(samples, rate), abs=1e-5)
        np.testing.assert_allclose(measures.powers, expected.powers, rtol=1e-6)
        np.testing.assert_allclose(measures.levels_dbfs, expected.levels_dbfs, atol=2e-3)
        np.testing.assert_allclose(measures.bands, expected.bands, rtol=2e-3, atol=1e-7)
        assert (measures.peaks >= expected.peaks).all()  # without fades they are higher
        np.testing.assert_array_equal(measures.peaks[20:-20], expected.peaks[20:-20])


def test_a_slice_off_the_grid_or_too_short_is_measured_as_a_whole(tmp_path: Path) -> None:
    sounds = [Sound(samples=noise(3, 2), role="background", label="wind"), Sound(samples=noise(6, 1))]
    bank = write_bank(tmp_path / "bank", sounds)
    clip, fade = bank.clips[1], quarter_sine(160)
    for start, num in ((1601, 32000), (1600, 32001), (1600, 16000)):
        samples = bank.samples(clip, start, num) / np.float32(32768)
        assert measured_slice(samples, bank.measures(clip), start, fade=fade, sample_rate=16000) is None
