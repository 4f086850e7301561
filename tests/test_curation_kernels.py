"""The compiled loops against NumPy and against loops that anyone can read."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation import kernels
from curation.measures import quarter_sine

ROOT = Path(__file__).parents[1]
RNG = np.random.default_rng(0)


def pcm_of(num_samples: int) -> np.ndarray:
    return RNG.integers(-32768, 32768, num_samples).astype(np.int16)


def test_a_mixture_is_the_sum_of_its_amplified_and_faded_parts() -> None:
    background, event, fade = pcm_of(1000), pcm_of(300), quarter_sine(40)
    out = np.full(1200, 7, np.float32)
    kernels.fill(out[100:1100], background, np.float32(1e-5))
    for first, last in ((0, 25), (25, 130), (130, 131), (131, 280), (280, 300)):  # in parts, some of them within a fade
        kernels.add(out[250 + first : 250 + last], event[first:last], np.float32(2e-5), fade, first, 300)
    expected = np.full(1200, 7.0)
    expected[100:1100] = background * 1e-5
    shape = np.concatenate([fade, np.ones(220), fade[::-1]])
    expected[250:550] += event * 2e-5 * shape
    np.testing.assert_allclose(out, expected, atol=2e-7)


def test_read_only_samples_of_the_bank_can_be_mixed() -> None:
    event = pcm_of(10)
    event.setflags(write=False)
    out = np.zeros(10, np.float32)
    kernels.fill(out, event, np.float32(1))
    kernels.add(out, event, np.float32(1), quarter_sine(0), 0, 10)
    np.testing.assert_array_equal(out, 2 * event.astype(np.float32))


@pytest.mark.parametrize("values", [[0.0], [-3.0, 2.0], [1e-30, -0.0], [5.0, -5.5, 5.25], [-1.0, np.inf]])
def test_the_peak_is_the_largest_absolute_value(values: list[float]) -> None:
    assert kernels.peak(np.array(values, np.float32)) == np.float32(max(map(abs, values)))


def test_rounding_is_to_the_nearest_to_even_in_the_middle_and_clipped() -> None:
    units = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 0.49, 0.51, 32766.7, 32767.6, 40000, -32768, -32769, -99999, 2.0e9])
    found = np.empty(len(units), np.int16)
    kernels.round_into(found, (units / 32768).astype(np.float32), np.float32(1))
    np.testing.assert_array_equal(found, [0, 2, 2, 0, -2, 0, 1, 32767, 32767, 32767, -32768, -32768, -32768, 32767])
    kernels.round_into(found, np.full(len(units), 0.5, np.float32), np.float32(0.5))
    np.testing.assert_array_equal(found, np.full(len(units), 8192))


def gated_by_hand(powers: list[float], gain: float, absolute: float, relative: float) -> float:
    loud = [power * gain for power in powers if power * gain >= absolute]
    if not loud:
        return 0.0
    gate = relative * sum(loud) / len(loud)
    kept = [power for power in (power * gain for power in powers) if power > gate and power > absolute]
    return sum(kept) / len(kept) if kept else 0.0


@given(st.lists(st.sampled_from([0.0, 0.01, 0.1, 0.5, 1.0, 3.0]), max_size=8), st.sampled_from([0.1, 1.0, 2.0]))
def test_gating_is_that_of_the_standard(powers: list[float], gain: float) -> None:
    found = kernels.gated_power(np.array(powers, np.float64), gain, 0.05, 0.1)
    assert found == pytest.approx(gated_by_hand(powers, gain, 0.05, 0.1), rel=1e-12)


def runs_by_hand(levels: list[float], threshold: float, gap: int, blip: int) -> list[list[int]]:
    above = [level > threshold for level in levels]
    for start in range(len(above)):  # fill gaps
        for end in range(start + 1, min(start + gap, len(above) + 1)):
            inside = start > 0 and end < len(above) and above[start - 1] and above[end]
            if inside and not any(levels[i] > threshold for i in range(start, end)):
                above[start:end] = [True] * (end - start)
    edges = np.flatnonzero(np.diff([False, *above, False]))
    runs = [[int(a), int(b)] for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return [run for run in runs if run[1] - run[0] >= blip] or sorted(runs, key=lambda run: run[0] - run[1])[:1]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.booleans(), max_size=30), st.integers(0, 5), st.integers(0, 5))
def test_runs_have_their_gaps_filled_first_and_then_their_blips_dropped(
    active: list[bool], gap: int, blip: int
) -> None:
    levels = [float(value) for value in active]
    found = kernels.runs_above(np.array(levels, np.float64), 0.5, gap, blip)
    assert found.tolist() == runs_by_hand(levels, 0.5, gap, blip)


def test_where_no_folder_can_keep_compiled_code_it_is_compiled_anew() -> None:
    program = (
        "import numpy as np, numba.core.caching as caching\n"
        "caching.CacheImpl._locator_classes = []\n"  # as in a read-only container
        "from curation import kernels\n"
        "print(kernels.peak(np.array([-2.0], np.float32)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("2.0", "")
