"""A recording's spectrogram with what was detected in it, and what is there."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from evaluation.figures import CURVE, DETECTED, LIMIT, TRUTH, save_figure
from evaluation.post_processing import PostProcessing
from evaluation.truth import Span
from manifests.frames import frame_spans, merged

_WIDTH_INCHES, _ROW_INCHES, _TOP_INCHES, _FRAME_INCHES = 10.0, 0.62, 2.0, 0.95
_DYNAMIC_RANGE_DB = 80.0
_MAX_COLUMNS = 1200  # of the spectrogram; the picture is no wider, and an hour of audio must not fill memory
_ROWS = 160
_FREQUENCY_TICKS_HZ = (250, 1000, 2000, 4000, 8000, 16000, 32000)
_LABEL_CHARACTERS, _LABEL_LINES = 24, 2
_TRUTH_TOP = 0.16  # truth is a strip below the curve, so that neither hides the other


def plot_detections(  # noqa: PLR0913 - all that is in the picture
    path: Path,
    *,
    samples: Float[np.ndarray, " sample"],
    sample_rate: int,
    activations: Float[np.ndarray, "frame phrase"],
    phrases: Sequence[str],
    hop: float,
    threshold: float,
    post: PostProcessing,
    truth: Mapping[str, Sequence[Span]] | None = None,
    score: str = "probability",
) -> None:
    """A PNG with the recording's spectrogram and below it each phrase's probability, detections and, if known, truth.

    Args:
        path: where to write.
        samples: the recording, mono.
        sample_rate: in Hz.
        activations: probabilities; frame i covers [i * hop, (i + 1) * hop) seconds.
        phrases: one per column of `activations`.
        hop: in seconds.
        threshold: a frame is detected if its probability is above it.
        post: what else makes detections.
        truth: by phrase, the (onset, offset) in seconds at which it really sounds.
        score: what the activations are called.
    """
    duration = max(len(samples) / sample_rate, hop)
    height = _TOP_INCHES + _FRAME_INCHES + _ROW_INCHES * len(phrases)
    layout = ConstrainedLayoutEngine(h_pad=0.03, hspace=0.0, w_pad=0.08)
    figure = Figure(figsize=(_WIDTH_INCHES, height), layout=layout)
    ratios = [_TOP_INCHES, *[_ROW_INCHES] * len(phrases)]
    axes = figure.subplots(len(phrases) + 1, 1, sharex=True, squeeze=False, height_ratios=ratios)[:, 0]
    _draw_spectrogram(axes[0], samples, sample_rate)
    for row, phrase in enumerate(phrases):
        spans = truth.get(phrase, []) if truth is not None else []
        _draw_phrase(axes[row + 1], phrase, activations[:, row], hop=hop, threshold=threshold, post=post, truth=spans)
    axes[-1].set_xlim(0, duration)
    axes[-1].set_xlabel("time (s)")
    axes[-1].tick_params(bottom=True, labelbottom=True)
    figure.legend(
        handles=_legend(threshold, score, with_truth=truth is not None),
        loc="outside upper right",
        ncols=4,
        frameon=False,
    )
    save_figure(figure, path)


def _draw_spectrogram(axes: Axes, samples: Float[np.ndarray, " sample"], sample_rate: int) -> None:
    decibels = _spectrogram(samples, sample_rate)
    extent = (0, max(len(samples) / sample_rate, 1e-3), 0, float(_mel(sample_rate / 2)))
    top = float(decibels.max())
    image = axes.imshow(decibels, origin="lower", aspect="auto", extent=extent, cmap="magma", interpolation="nearest")
    image.set_clim(top - _DYNAMIC_RANGE_DB, top)
    ticks = [hertz for hertz in _FREQUENCY_TICKS_HZ if hertz <= sample_rate / 2]
    axes.set_yticks([float(_mel(hertz)) for hertz in ticks], [f"{hertz / 1000:g}" for hertz in ticks])
    axes.set_ylabel("kHz")
    axes.tick_params(bottom=False, labelbottom=False)


def _spectrogram(samples: Float[np.ndarray, " sample"], sample_rate: int) -> Float[np.ndarray, "row column"]:
    """Power in dB, rows evenly spaced in mel; a column is the mean over the windows that fall into it."""
    size = 1 << max(6, int(np.log2(0.032 * sample_rate)))
    step = size // 2
    padded = np.pad(samples.astype(np.float32), (step, size))
    starts = np.arange(0, max(len(samples), 1), step)
    groups = np.array_split(starts, min(len(starts), _MAX_COLUMNS))
    window = np.hanning(size).astype(np.float32)
    columns = []
    for group in groups:
        # at most 8 windows a column: enough for a picture, and quick for hours of audio
        chosen = group[:: max(1, -(-len(group) // 8))]
        frames = np.stack([padded[start : start + size] for start in chosen]) * window
        columns.append((np.abs(np.fft.rfft(frames, axis=1)) ** 2).mean(axis=0))
    power = np.stack(columns, axis=1)
    bins = np.interp(
        np.linspace(0, _mel(sample_rate / 2), _ROWS), _mel(np.fft.rfftfreq(size, 1 / sample_rate)), range(len(power))
    )
    below = np.minimum(bins.astype(int), len(power) - 2)
    share = (bins - below)[:, None]
    decibels: Float[np.ndarray, "row column"] = 10 * np.log10(
        np.maximum(power[below] * (1 - share) + power[below + 1] * share, 1e-10)
    )
    return decibels


def _mel(hertz: Any) -> Any:
    return 2595 * np.log10(1 + np.asarray(hertz) / 700)


def _draw_phrase(
    axes: Axes,
    phrase: str,
    probability: Float[np.ndarray, " frame"],
    *,
    hop: float,
    threshold: float,
    post: PostProcessing,
    truth: Sequence[Span],
) -> None:
    joined = merged(frame_spans(probability > threshold, hop=hop), gap=post.max_gap + 1e-6)
    detected = [span for span in joined if span[1] - span[0] >= post.min_duration - 1e-6]
    axes.broken_barh(_bars(detected), (0, 1), facecolor=DETECTED, alpha=0.4, linewidth=0)
    axes.broken_barh(_bars(merged(truth)), (0, _TRUTH_TOP), facecolor=TRUTH, linewidth=0)
    axes.axhline(threshold, color=LIMIT, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.stairs(probability, np.arange(len(probability) + 1) * hop, color=CURVE, linewidth=1.3, baseline=None)
    axes.set_ylim(0, 1.02)
    axes.set_yticks([0, 1])
    axes.tick_params(axis="y", labelsize=7, length=2, color=LIMIT)
    axes.tick_params(bottom=False, labelbottom=False)
    axes.set_ylabel(_label(phrase), rotation=0, ha="right", va="center", fontsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _bars(spans: Sequence[Span]) -> list[Span]:
    return [(onset, offset - onset) for onset, offset in spans]


def _label(phrase: str) -> str:
    """A phrase in at most two short lines, with `$` as itself rather than as mathematics."""
    lines = textwrap.wrap(phrase, _LABEL_CHARACTERS, max_lines=_LABEL_LINES, placeholder="…") or [phrase]
    return "\n".join(lines).replace("$", r"\$")


def _legend(threshold: float, score: str, *, with_truth: bool) -> list[Any]:
    handles: list[Any] = [
        Line2D([], [], color=CURVE, label=score),
        Line2D([], [], color=LIMIT, linewidth=0.8, linestyle=(0, (4, 3)), label=f"threshold {threshold:.2g}"),
        Patch(facecolor=DETECTED, alpha=0.4, label="detected"),
    ]
    return [*handles, Patch(facecolor=TRUTH, label="ground truth")] if with_truth else handles
