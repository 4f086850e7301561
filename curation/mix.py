"""Plan -> waveform and measured labels, straight from the bank: the fast engine.

It computes what Scaper 1.6.5 computes, in the same order (scaper_engine hands Scaper the same plan,
and a test holds the two together): the gain of a sound follows from the LUFS of the slice that is
used, an event's SNR refers to the background's target LUFS, quarter-sine fades come after the gain,
and a sum that leaves [-1, 1] is scaled to just touch it. It adds in 32-bit floats, Scaper in 64: a
sample may differ by 1 of 32,768.

Labels come first, from what the bank knows of its clips; audio is mixed when it is asked for, or where only the
mixture itself tells whether it would clip.
"""

import math

import numpy as np
import numpy.typing as npt

from curation import kernels
from curation.activity import active_runs
from curation.backgrounds import Backgrounds, Behind
from curation.bands import step_length
from curation.bank import Bank
from curation.config import Recipe
from curation.events import Events, Heard, event_pcm
from curation.layers import Layer, Layers
from curation.loudness import gated_lufs
from curation.measures import Measures, quarter_sine
from curation.plan import Plan
from curation.rendered import Measured, Mixture, Rendered, finished

Pcm = npt.NDArray[np.int16]

_TO_FLOAT = 1 / 32768  # a power of two: exact
_PER_DB = math.log(10) / 20
_CLIPPING_MARGIN = 1e-10  # Scaper's
_SURELY_BELOW = 0.999  # a sum of peaks under this does not reach 1 by rounding
_NO_RUNS = np.zeros((0, 2), np.int64)


class Mixer:
    """Renders plans from one bank by one recipe."""

    def __init__(self, bank: Bank, recipe: Recipe) -> None:
        self.bank, self.recipe = bank, recipe
        self._backgrounds, self._events = Backgrounds(bank), Events(bank)

    def mix(self, plan: Plan) -> Mixture:
        """A plan's soundscape, rounded once to int16 where its samples are asked for, and labels of what is in it."""
        return finished(plan, self.bank, self.recipe, self._render)

    def _render(self, plan: Plan) -> Rendered:
        behind = self._backgrounds.behind(plan)
        behind_db = plan.background.lufs - gated_lufs(behind.powers)
        heard = [self._events.heard(event, plan) for event in plan.events]
        gains_db = [
            plan.background.lufs + event.snr_db - sound.lufs for event, sound in zip(plan.events, heard, strict=True)
        ]
        gains = [from_db(gain_db) for gain_db in gains_db]
        mix_gain = 1.0
        if loud := self._loud_span(plan, from_db(behind_db) * behind.peak, gains, heard):
            peak = self._layers(plan, behind, from_db(behind_db), heard, gains).peak(*loud)
            mix_gain = 1.0 if peak <= 1 else 1.0 / (peak + _CLIPPING_MARGIN)

        def fill(out: Pcm) -> None:
            self._layers(plan, behind, from_db(behind_db), heard, gains).mix_into(out, mix_gain)

        factor = mix_gain * from_db(behind_db)
        return Rendered(
            fill=fill,
            mix_gain=mix_gain,
            background=Measured(
                gain_db=behind_db,
                lufs=gated_lufs(behind.powers, factor),
                runs=_NO_RUNS,
                bands=behind.bands,
                factor=factor,
            ),
            events=[
                self._amplified(sound.measures, gain_db, mix_gain * gain)
                for sound, gain_db, gain in zip(heard, gains_db, gains, strict=True)
            ],
        )

    def _layers(self, plan: Plan, behind: Behind, behind_gain: float, heard: list[Heard], gains: list[float]) -> Layers:
        layers = Layers(plan.num_samples)
        if behind.samples is not None:
            layers.behind.append(Layer(0, behind.samples, behind_gain))
        else:
            position = 0
            for piece in self._backgrounds.pieces(plan):
                layers.behind.append(Layer(position, piece, behind_gain * _TO_FLOAT))
                position += len(piece)
        for event, sound, gain in zip(plan.events, heard, gains, strict=True):
            fade = quarter_sine(event.fade)
            if sound.samples is not None:
                layers.events.append((Layer(event.start, sound.samples, gain), fade))
            else:
                layers.events.append((Layer(event.start, event_pcm(event, self.bank), gain * _TO_FLOAT), fade))
        return layers

    def _loud_span(self, plan: Plan, behind: float, gains: list[float], heard: list[Heard]) -> tuple[int, int] | None:
        """The samples between which the mixture might clip, by the peaks of each sound's steps."""
        step = step_length(self.bank.sample_rate)
        total = np.full(-(-plan.num_samples // step), behind)
        for event, gain, sound in zip(plan.events, gains, heard, strict=True):
            kernels.add_peaks(total, event.start // step, sound.measures.peaks, gain)
        loud = np.flatnonzero(total > _SURELY_BELOW)
        return (int(loud[0]) * step, min(int(loud[-1] + 1) * step, plan.num_samples)) if len(loud) else None

    def _amplified(self, measures: Measures, gain_db: float, factor: float) -> Measured:
        threshold_dbfs = self.recipe.activity_dbfs - 20 * math.log10(factor)
        return Measured(
            gain_db=gain_db,
            lufs=gated_lufs(measures.powers, factor),
            runs=active_runs(measures.levels_dbfs, threshold_dbfs=threshold_dbfs),
            bands=measures.bands,
            factor=factor,
        )


def from_db(gain_db: float) -> float:
    """A gain in dB as a factor."""
    return math.exp(gain_db * _PER_DB)
