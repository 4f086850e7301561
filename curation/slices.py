"""Measures of a slice of a foreground clip, from those of the whole: only its ends have to be measured anew.

A slice starts on a tenth of a second of its clip and lasts a whole number of them, so that its loudness blocks, levels
and band energies lie on the clip's. Near its ends its fades, and the silence before and after it, make a difference.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from curation.activity import HOP, a_weighted_dbfs
from curation.bands import STEP, band_energies
from curation.loudness import gated_lufs, step_energies, step_powers, step_samples
from curation.measures import Measures

Floats = npt.NDArray[np.floating[Any]]

_NEW_STEPS = 2  # of the clip's measures at either end are replaced: fade, windows and filters reach less far
_END_STEPS = 3  # are measured for that; what a cut does to the last of these is left out
_SHORTEST_STEPS = 4 * _END_STEPS
_PEAKS_A_STEP = round(0.1 / STEP)
_NONE = np.zeros(0, np.float32)


def measured_slice(
    samples: Floats, whole: Measures, source_start: int, *, fade: Floats, sample_rate: int
) -> tuple[float, Measures] | None:
    """LUFS of a slice before its fades, and its measures after them; None if it has to be measured as a whole.

    Args:
        samples: of the slice, full scale 1.0.
        whole: of its clip.
        source_start: where it starts in its clip.
        fade: of its start, and of its end backwards.
        sample_rate: Hz.
    """
    step = step_samples(sample_rate)
    num_steps = len(samples) // step
    on_grid = step * 10 == sample_rate and not (source_start % step or len(samples) % step)
    if not on_grid or num_steps < _SHORTEST_STEPS or len(fade) > step or not len(whole.energies):
        return None
    first = source_start // step
    energies = whole.energies[first : first + num_steps].astype(np.float64)
    energies[0] = whole.starts[first]
    lufs = gated_lufs(step_powers(energies, sample_rate))
    head, tail = samples[: _END_STEPS * step].copy(), samples[-_END_STEPS * step :].copy()
    head[: len(fade)] *= fade
    tail[len(tail) - len(fade) :] *= fade[::-1]
    energies[:_NEW_STEPS] = step_energies(head, sample_rate)[:_NEW_STEPS]
    energies[-1] = step_energies(tail, sample_rate)[-1]
    levels = [a_weighted_dbfs(part, sample_rate) for part in (head, tail)]
    bands = [band_energies(part, sample_rate) for part in (head, tail)]
    return lufs, Measures(
        powers=step_powers(energies, sample_rate),
        levels_dbfs=_spliced(whole.levels_dbfs, (levels[0], levels[1]), first, num_steps, round(0.1 / HOP)),
        energies=_NONE,
        starts=_NONE,
        loop_energies=_NONE,
        loop_starts=_NONE,
        peaks=whole.peaks[first * _PEAKS_A_STEP : (first + num_steps) * _PEAKS_A_STEP],
        bands=_spliced(whole.bands, (bands[0], bands[1]), first, num_steps, _PEAKS_A_STEP),
    )


def _spliced(whole: Floats, new: tuple[Floats, Floats], first: int, num_steps: int, per_step: int) -> Floats:
    """Values of the whole clip, but for those measured anew at either end; `per_step` of them are in a step."""
    num_new = _NEW_STEPS * per_step
    middle = whole[first * per_step : (first + num_steps) * per_step][num_new:-num_new]
    return np.concatenate([new[0][:num_new], middle, new[1][-num_new:]])
