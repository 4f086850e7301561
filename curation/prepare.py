"""One recording -> the mono int16 clip that soundscapes are mixed from, measured once."""

import dataclasses
import hashlib
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curation.activity import HOP, a_weighted_dbfs, active_stretches
from curation.impulse_response import cut_response
from curation.lengths import ANY_LENGTH, Lengths
from curation.loudness import FLOOR_LUFS, integrated_lufs
from curation.measures import Measures, measure_clip
from curation.source_clip import Role, SourceClip, SourceFile
from curation.sources import builtin_bank
from manifests.audio import AudioError, probe, read_channels, resample, to_int16
from manifests.schema import Stretch

PEAK_DBFS = -1.0
MAX_DURATION = 1800.0
MIN_DURATION = 0.02
MIN_BACKGROUND = 2.0
ACTIVE_DB = -40.0  # below a clip's own loudest moment
_TRIM_DB = -50.0  # below the same; what is quieter at either end is cut
_MARGIN = 0.01  # seconds left around what is kept
_MAX_VALUES = 200_000_000  # half an hour of 48-kHz stereo: many channels must not fill the memory
_SILENT_DBFS = -80.0  # a peak below this is the noise of the last bits, or dither
_VERY_QUIET_DBFS = -50.0
_CANCELLED_DB = -20.0  # the mean of the channels against the loudest of them
_OVER_FULL_SCALE = 1.5  # lossy files decode to a little over 1.0, which is no fault
_DC_NOTABLE, _DC_NOTABLE_SHARE = 0.01, 0.25  # of full scale, of the RMS around it
_CLIPPED_RUN, _CLIPPED_RUNS = 3, 10  # so many samples in a row at the peak, so many times

Audio = npt.NDArray[np.float32]


class RejectError(Exception):
    """A recording that cannot be used. `reason` is one of few, `detail` says the rest; see `Reject` for `bad`."""

    def __init__(self, reason: str, detail: str = "", *, bad: bool = True) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail, self.bad = reason, detail, bad


@dataclass(frozen=True, kw_only=True, slots=True)
class _Mono:
    """A recording on its way: where it starts, in samples of the original file at its own rate, and what was odd."""

    samples: Audio
    sample_rate: int
    start: int
    warnings: tuple[str, ...]


def prepare(
    file: SourceFile, *, sample_rate: int, seed: int, lengths: Lengths = ANY_LENGTH
) -> tuple[SourceClip, npt.NDArray[np.int16], Measures]:
    """The clip's row, not placed in a shard or split yet, its samples at the bank's rate, and what they measure.

    Raises RejectError.
    """
    channels, origin_rate = _load(file, sample_rate=sample_rate, seed=seed)
    is_sound = file.role != "impulse_response"
    if is_sound:
        mono = _sound(channels, origin_rate, sample_rate, start=round(file.onset * origin_rate))
        role = _role(file, lengths, len(mono.samples) / sample_rate)
    else:
        mono, role = _response(channels, origin_rate, sample_rate), "impulse_response"
    gain = 10 ** (PEAK_DBFS / 20) / float(np.abs(mono.samples).max())
    pcm = to_int16(mono.samples * np.float32(gain))
    samples = pcm.astype(np.float32) / np.float32(32768)
    lufs, activity = _measured(samples, sample_rate)
    if is_sound and lufs <= FLOOR_LUFS:  # infrasound: no gain makes it heard, and its label would be wrong
        raise RejectError("inaudible", f"{FLOOR_LUFS:g} LUFS or less at full level")
    measures = measure_clip(samples if is_sound else samples[:0], role, sample_rate)
    clip = SourceClip(
        source_id=_source_id(role, pcm),
        role=role,
        label=file.label,
        cluster=file.cluster,
        contains=list(file.contains),
        content_known=file.content_known,
        group=file.group,
        split=file.split or "",
        licence=file.licence,
        author=file.author,
        audioset_id=file.audioset_id,
        origin=file.origin,
        origin_sample_rate=origin_rate,
        origin_channels=channels.shape[1],
        origin_start=mono.start,
        pcm_shard=0,
        pcm_start=0,
        measures_start=0,
        measures_sizes=[part.size for part in measures.parts()],
        num_samples=len(pcm),
        duration=len(pcm) / sample_rate,
        gain_db=20 * math.log10(gain),
        lufs=lufs,
        activity=activity if is_sound else [],
        warnings=sorted(mono.warnings),
    )
    return clip, pcm, measures


def _measured(samples: Audio, sample_rate: int) -> tuple[float, list[Stretch]]:
    """LUFS and the active stretches, of what will be mixed."""
    threshold_dbfs = float(a_weighted_dbfs(samples, sample_rate).max()) + ACTIVE_DB
    activity = active_stretches(samples, sample_rate, threshold_dbfs=threshold_dbfs)
    return float(integrated_lufs(samples, sample_rate)), activity


def _source_id(role: Role, pcm: npt.NDArray[np.int16]) -> str:
    """f, b or i, and a hash of the sound itself: it stays when sources are added, and tells identical sounds."""
    return role[0] + hashlib.blake2b(pcm.astype("<i2").tobytes(), digest_size=8).hexdigest()


def _load(file: SourceFile, *, sample_rate: int, seed: int) -> tuple[Audio, int]:
    if builtin_bank.is_builtin(file):
        return builtin_bank.render(file, seed=seed, sample_rate=sample_rate)[:, np.newaxis], sample_rate
    try:
        rate, num_channels, _ = probe(file.path)
        longest = min(MAX_DURATION, _MAX_VALUES / (rate * num_channels))
        channels, rate = read_channels(file.path, max_duration=longest, onset=file.onset, offset=file.offset)
    except AudioError as error:
        reason, _, detail = error.reason.partition(" (")
        raise RejectError(reason, detail.removesuffix(")")) from None
    except OSError as error:  # a folder above it that may not be entered
        raise RejectError("not readable as audio", error.strerror or "") from None
    if not channels.size:
        raise RejectError("empty" if not file.onset else "ends before its event begins")
    if not np.isfinite(channels).all():
        raise RejectError("holds samples that are no number or infinite")
    return channels, rate


def _sound(channels: Audio, origin_rate: int, sample_rate: int, *, start: int) -> _Mono:
    if len(channels) < MIN_DURATION * origin_rate:
        raise RejectError(f"shorter than {MIN_DURATION * 1000:g} ms")
    return _trimmed(_without_dc(_without_zeros(_mixed_down(channels, origin_rate, start=start))), sample_rate)


def _response(channels: Audio, origin_rate: int, sample_rate: int) -> _Mono:
    samples, start = cut_response(channels, origin_rate, sample_rate)
    if not len(samples):
        raise RejectError("silent or constant")
    return _Mono(samples=samples, sample_rate=sample_rate, start=start, warnings=())


def _role(file: SourceFile, lengths: Lengths, seconds: float) -> Role:
    role = lengths.role_of(file.role, seconds)
    if role is None:
        raise RejectError("too long or too short", f"{seconds:.2f} s", bad=False)
    if role == "background" and seconds < MIN_BACKGROUND:
        raise RejectError(f"too short for a background (under {MIN_BACKGROUND:g} s)")
    return role


def _mixed_down(channels: Audio, sample_rate: int, *, start: int) -> _Mono:
    """The mean of the channels, or the loudest of them where they cancel each other out."""
    # channel by channel: along an axis as short as theirs NumPy is ten times as slow
    if not any(np.ptp(channel) for channel in channels.T):
        raise RejectError("silent or constant")
    warnings = []
    if float(np.abs(channels).max()) > _OVER_FULL_SCALE:
        warnings.append("above_full_scale")
    if _is_clipped(channels):
        warnings.append("clipped")
    mean = (sum(channel.astype(np.float64) for channel in channels.T) / channels.shape[1]).astype(np.float32)
    if channels.shape[1] == 1:
        return _Mono(samples=mean, sample_rate=sample_rate, start=start, warnings=tuple(warnings))
    levels = np.array([_ac_rms(channel) for channel in channels.T])
    if (levels < levels.max() * 10 ** (_SILENT_DBFS / 20)).any():
        warnings.append("silent_channel")
    if _ac_rms(mean) <= levels.max() * 10 ** (_CANCELLED_DB / 20):
        warnings.append("antiphase")
        mean = np.ascontiguousarray(channels[:, int(levels.argmax())])
    return _Mono(samples=mean, sample_rate=sample_rate, start=start, warnings=tuple(warnings))


def _ac_rms(samples: Audio) -> float:
    return float(samples.std(dtype=np.float64))


def _is_clipped(channels: Audio) -> bool:
    peak = float(np.abs(channels).max())
    at_peak = np.logical_or.reduce([np.abs(channel) >= peak * (1 - 1e-4) for channel in channels.T]) & (peak >= 0.5)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], at_peak, [False]]).astype(np.int8)))
    return int((edges[1::2] - edges[::2] >= _CLIPPED_RUN).sum()) >= _CLIPPED_RUNS


def _without_zeros(mono: _Mono) -> _Mono:
    """Without the digital silence at both ends, before any filter smears it."""
    sounding = np.flatnonzero(mono.samples)
    margin = round(_MARGIN * mono.sample_rate)
    start = max(0, int(sounding[0]) - margin)
    stop = int(sounding[-1]) + 1 + margin
    return dataclasses.replace(mono, samples=mono.samples[start:stop], start=mono.start + start)


def _without_dc(mono: _Mono) -> _Mono:
    offset = float(mono.samples.mean(dtype=np.float64))
    if abs(offset) <= min(_DC_NOTABLE, _DC_NOTABLE_SHARE * _ac_rms(mono.samples)):
        return mono
    samples = mono.samples - np.float32(offset)
    return dataclasses.replace(mono, samples=samples, warnings=(*mono.warnings, "dc_offset"))


def _trimmed(mono: _Mono, sample_rate: int) -> _Mono:
    """At the bank's rate, without what lies far below the loudest moment at either end."""
    samples = resample(mono.samples, mono.sample_rate, sample_rate)
    warnings = _level_warnings(samples)
    levels = a_weighted_dbfs(samples, sample_rate)
    audible = np.flatnonzero(levels >= levels.max() + _TRIM_DB)
    start = max(0, round((int(audible[0]) * HOP - _MARGIN) * sample_rate))
    stop = round((int(audible[-1] + 1) * HOP + _MARGIN) * sample_rate)
    return _Mono(
        samples=samples[start:stop],
        sample_rate=sample_rate,
        start=mono.start + round(start * mono.sample_rate / sample_rate),
        warnings=(*mono.warnings, *warnings),
    )


def _level_warnings(samples: Audio) -> list[str]:
    peak_dbfs = 20 * math.log10(max(float(np.abs(samples).max(initial=0.0)), 1e-12))
    if peak_dbfs < _SILENT_DBFS:
        raise RejectError(f"too quiet (peak below {_SILENT_DBFS:g} dBFS)", f"{peak_dbfs:.0f} dBFS")
    return ["very_quiet"] if peak_dbfs < _VERY_QUIET_DBFS else []
