"""Sounds on top of each other, tile by tile, and how loud they can get."""

import numpy as np
import pytest

from curation import kernels, layers
from curation.bands import step_length, step_peaks
from curation.layers import Layer, Layers
from curation.measures import quarter_sine


@pytest.mark.parametrize("tile", [100, 777, 1 << 17])
def test_tiles_are_parts_of_the_sum_of_all(monkeypatch: pytest.MonkeyPatch, tile: int) -> None:
    monkeypatch.setattr(layers, "_TILE", tile)
    rng = np.random.default_rng(0)
    made, expected = Layers(3000), np.zeros(3000)
    for start, length in ((0, 1200), (1200, 1800)):
        pcm = rng.integers(-9000, 9000, length).astype(np.int16)
        made.behind.append(Layer(start, pcm, 1e-5))
        expected[start : start + length] = pcm * 1e-5
    for start, length, num_fade in ((0, 500, 0), (90, 2000, 1000), (2500, 500, 33)):
        sound, fade = rng.normal(0, 0.1, length).astype(np.float32), quarter_sine(num_fade)
        made.events.append((Layer(start, sound, 2.0), fade))
        shape = np.concatenate([fade, np.ones(length - 2 * num_fade), fade[::-1]])
        expected[start : start + length] += 2.0 * sound * shape
    for start, stop in ((0, 3000), (150, 1234), (2999, 3000)):
        assert made.peak(start, stop) == pytest.approx(np.abs(expected[start:stop]).max(), rel=1e-5)
    out = np.empty(3000, np.int16)
    made.mix_into(out, 0.5)
    assert np.abs(out - np.rint(0.5 * expected * 32768)).max() <= 1
    with pytest.raises(ValueError, match="2999 samples for a mixture of 3000"):
        made.mix_into(out[1:], 0.5)


@pytest.mark.parametrize("rate", [16000, 22050, 11025])
def test_no_sum_is_above_that_of_the_peaks_of_its_steps(rate: int) -> None:
    rng, step = np.random.default_rng(1), step_length(rate)
    for _ in range(100):
        mixed = np.zeros(rate)
        total = np.zeros(rate // step + 1)
        for _ in range(4):
            length = int(rng.integers(1, rate))
            start = int(rng.integers(rate - length + 1))
            sound = (rng.normal(0, 1, length) * (rng.random(length) < 0.01)).astype(np.float32)
            mixed[start : start + length] += np.abs(0.7 * sound)
            kernels.add_peaks(total, start // step, step_peaks(sound, rate), 0.7)
        assert (mixed <= np.repeat(total, step)[:rate] + 1e-6).all()
        assert total.max() < 4 * 0.7 * 5
