"""Plan -> Scaper -> soundscape: the reference engine, and the only module that imports scaper.

Slow (a temporary WAV and a sox process of work for every sound), and there to be compared with:
mix.py must give the same samples and labels. Labels are measured from the event signals that Scaper
itself returns.
"""

import contextlib
import logging
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from curation.activity import a_weighted_dbfs, active_runs
from curation.backgrounds import Floats, background_pieces
from curation.bands import band_energies
from curation.bank import Bank
from curation.config import Recipe
from curation.effects import EventEffects, tempo_of
from curation.events import event_pcm
from curation.loudness import integrated_lufs
from curation.plan import Plan, PlannedEvent
from curation.rendered import Measured, Mixture, Rendered, finished
from manifests.audio import to_int16
from manifests.errors import FlamError


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Hide what pysox and the shell say when it looks for the sox program, at its import.

    None is needed: the soxbindings stand-in brings libsox.
    """
    sys.stderr.flush()
    with Path(os.devnull).open("w") as devnull:
        saved = os.dup(2)
        os.dup2(devnull.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)


if not hasattr(np, "Inf"):
    # Scaper 1.6.5 reads np.Inf, which NumPy 2 removed, and has had no release since.
    np.Inf = np.inf  # type: ignore[attr-defined]  # noqa: NPY201
with _quiet_stderr(), warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its dependencies, about themselves
    logging.getLogger("sox").setLevel(logging.CRITICAL)
    import scaper

_LONGEST_NAME = 60  # letters; a disk takes 255 bytes


class ScaperMixer:
    """Renders plans with Scaper: the same interface as `curation.mix.Mixer`."""

    def __init__(self, bank: Bank, recipe: Recipe) -> None:
        self.bank, self.recipe = bank, recipe

    def mix(self, plan: Plan) -> Mixture:
        """A plan's soundscape by Scaper, rounded once to int16; raises FlamError for effects that it does not have."""
        fades = {event.fade for event in plan.events}
        if plan.room or plan.microphone or len(fades) > 1 or any(event.effects.tilt_db for event in plan.events):
            raise FlamError(
                f"recipe {self.recipe.name}: Scaper has no tilt, no microphone, no such rooms and one fade for all "
                "events; use --engine mix"
            )
        return finished(plan, self.bank, self.recipe, self._render)

    def _render(self, plan: Plan) -> Rendered:
        with tempfile.TemporaryDirectory(prefix="flam-scaper-") as folder:
            levels = [1.0, *(_sox_level(event) for event in plan.events)]
            mixer = self._specified(plan, Path(folder), levels)
            with _contained(), _measuring(levels) as lufs:
                samples, jam, _, signals = mixer.generate(fix_clipping=True, disable_instantiation_warnings=True)
        mix_gain = float(jam.annotations[0].sandbox.scaper.peak_normalization_scale_factor)
        return Rendered(
            fill=lambda out: np.copyto(out, to_int16(samples[:, 0])),
            mix_gain=mix_gain,
            background=self._measured_background(plan, signals[0][:, 0], lufs[0]),
            events=[
                self._measured_event(plan, event, signal[:, 0], source)
                for event, signal, source in zip(plan.events, signals[1:], lufs[1:], strict=True)
            ],
        )

    def write_jams(self, plan: Plan, folder: Path) -> Path:
        """Write a plan's soundscape as a JAMS file of Scaper's, with the sounds that it needs as WAV; the file's path.

        `scaper.generate_from_jams` makes its audio: that of `mix`, unless sox clips what it shifts (docs/effects.md).
        In another place it needs the folders `foreground` and `background` as `fg_path` and `bg_path`.

        Args:
            plan: events of it that cannot be heard are left out.
            folder: new or empty.
        """
        heard = self.mix(plan).plan
        mixer = self._specified(heard, folder.resolve(), [1.0] * (1 + len(heard.events)))
        path = folder / f"{plan.index:08d}.jams"
        with _contained():
            mixer.generate(jams_path=str(path), no_audio=True, fix_clipping=True, disable_instantiation_warnings=True)
        return path

    def _specified(self, plan: Plan, folder: Path, levels: Sequence[float]) -> Any:
        """A Scaper with the plan's sounds as files of just the slices that are used.

        Scaper truncates seconds to samples, shifts an event that ends after the soundscape, and
        loses the last sample of a whole file now and then. So every time it gets is a fraction of a
        sample late, the soundscape ends later still (a stretched event lasts up to half a sample
        longer for Scaper than it has samples), and each file is one sample longer than used.
        """
        rate = self.bank.sample_rate
        sounds = [np.concatenate(background_pieces(plan, self.bank))]
        sounds += [event_pcm(event, self.bank) for event in plan.events]
        clips = [plan.background.clip, *(event.clip for event in plan.events)]
        labels = [_folder_name(self.bank.clips[clip].label) for clip in clips]
        paths = [
            _write(folder, label, index, sound / 32768 * level, rate)
            for index, (label, sound, level) in enumerate(zip(labels, sounds, levels, strict=True))
        ]
        mixer = scaper.Scaper((plan.num_samples + 0.9) / rate, str(folder / "foreground"), str(folder / "background"))
        mixer.sr, mixer.ref_db, mixer.n_channels = rate, plan.background.lufs, 1
        fade = plan.events[0].fade if plan.events else 0
        mixer.fade_in_len = mixer.fade_out_len = (fade + 0.5) / rate if fade else 0
        mixer.add_background(("const", labels[0]), ("const", paths[0]), ("const", 0))
        for event, label, path in zip(plan.events, labels[1:], paths[1:], strict=True):
            mixer.add_event(
                label=("const", label),
                source_file=("const", path),
                source_time=("const", 0),
                event_time=("const", (event.start + 0.05) / rate),
                event_duration=("const", (event.source_samples + 0.05) / rate),
                snr=("const", event.snr_db),
                pitch_shift=_constant(event.effects.pitch_semitones, neutral=0.0),
                time_stretch=_constant(1 / tempo_of(event.effects), neutral=1.0),
            )
        return mixer

    def _measured_background(self, plan: Plan, signal: Floats, source: float) -> Measured:
        return Measured(
            gain_db=plan.background.lufs - source,
            lufs=integrated_lufs(signal, self.bank.sample_rate),
            runs=np.zeros((0, 2), np.int64),
            bands=band_energies(signal[: plan.num_samples], self.bank.sample_rate),
            factor=1.0,
        )

    def _measured_event(self, plan: Plan, event: PlannedEvent, signal: Floats, source: float) -> Measured:
        """Measured as it is, but for its gain; `source` is the LUFS from which that followed."""
        rate = self.bank.sample_rate
        heard = signal[event.start : event.start + event.num_samples]
        return Measured(
            gain_db=plan.background.lufs + event.snr_db - source,
            lufs=integrated_lufs(heard, rate),
            runs=active_runs(a_weighted_dbfs(heard, rate), threshold_dbfs=self.recipe.activity_dbfs),
            bands=band_energies(heard, rate),
            factor=1.0,
        )


def _sox_level(event: PlannedEvent) -> float:
    """By what a sound is multiplied on its way to sox, which clips what its effects raise above full scale."""
    return 1.0 if event.effects == EventEffects() else 0.25


def _constant(value: float, *, neutral: float) -> tuple[str, float] | None:
    """An effect as Scaper takes it; without any, its own way is shorter."""
    return ("const", value) if value != neutral else None


def _folder_name(label: str) -> str:
    """A label as Scaper takes it: the name of a folder that is not hidden."""
    return re.sub(r"[^\w -]", "_", label)[:_LONGEST_NAME].strip() or "_"


def _write(folder: Path, label: str, index: int, samples: Floats, sample_rate: int) -> str:
    """A sound in Scaper's layout; 64-bit floats keep its samples exactly."""
    role = "foreground" if index else "background"
    path = folder / role / label / f"{index}.wav"
    path.parent.mkdir(parents=True, exist_ok=True)
    (folder / "foreground").mkdir(exist_ok=True)  # Scaper wants it even if there is no event
    soundfile.write(str(path), np.append(samples, 0.0), sample_rate, subtype="DOUBLE")
    return str(path)


@contextlib.contextmanager
def _measuring(levels: Sequence[float]) -> Iterator[list[float]]:
    """Step in where Scaper measures each sound, its effects done and its gain still to come: the only such place.

    Sounds are brought back to their own level, in place, from those at which sox had them. What Scaper measures is
    noted, for each gain follows from it and Scaper tells neither.
    """
    noted: list[float] = []
    measure = scaper.core.get_integrated_lufs

    def measured(samples: Floats, sample_rate: int) -> float:
        samples /= levels[len(noted)]
        noted.append(float(measure(samples, sample_rate)))
        return noted[-1]

    scaper.core.get_integrated_lufs = measured
    try:
        yield noted
    finally:
        scaper.core.get_integrated_lufs = measure


@contextlib.contextmanager
def _contained() -> Iterator[None]:
    """Undo what `generate` does to the process.

    An exception inside leaves the root logger at CRITICAL. Clipping is warned about, but it is
    fixed and recorded as mix_gain_db; jams warns about its own use of jsonschema.
    """
    root = logging.getLogger()
    level = root.level
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", scaper.scaper_warnings.ScaperWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        root.setLevel(level)
