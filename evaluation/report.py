"""index.html beside an evaluation's metrics: to look at and listen to where the model is wrong."""

import base64
import html
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from evaluation.detection_plot import plot_detections
from evaluation.metric_plot import plot_metrics
from evaluation.results import DEFAULT_THRESHOLD, Evaluation, shown, table_rows
from evaluation.robustness import COLUMNS, curve_rows
from manifests import audio
from manifests.progress import progress
from manifests.schema import Soundscape
from manifests.store import DatasetFolder, replacing

Columns = Mapping[str, Mapping[str, float | None]]

_NUM_CLIPS = 12
_MOST_FALSE = 4  # labels that aren't there, in a clip's picture
_RATE = 16_000  # Hz, of what is listened to
_STYLE = """body{font:15px/1.5 sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse}td{padding:.1em 1em .1em 0}td+td{text-align:right;font-variant-numeric:tabular-nums}
img{max-width:100%}audio{width:100%}h2{margin-top:2em}"""


def write_report(folder: Path, evaluation: Evaluation, data: DatasetFolder, *, beside: Columns | None = None) -> Path:
    """Write metrics.png and index.html, which needs nothing beside it but that picture; returns its path.

    Args:
        folder: for both.
        evaluation: what was measured.
        data: the dataset.
        beside: metrics of baselines and other models, by name.
    """
    plot_metrics(folder / "metrics.png", evaluation)
    path = folder / "index.html"
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for part in _parts(evaluation, data, beside or {}):
            file.write(part + "\n")
    return path


def worst_clips(evaluation: Evaluation, *, num: int = _NUM_CLIPS) -> list[tuple[int, float]]:
    """Positions of the clips with the highest mean squared error of the probabilities, and that."""
    errors, counts = evaluation.calibration.squares.T
    scores = np.where(counts > 0, errors / np.maximum(counts, 1), -1.0)
    order = np.argsort(-scores, kind="stable")[:num]
    return [(int(clip), float(scores[clip])) for clip in order if scores[clip] >= 0]


def _parts(evaluation: Evaluation, data: DatasetFolder, beside: Columns) -> Iterator[str]:
    name = html.escape(f"{data.root.name}, {evaluation.split}")
    yield f"<!doctype html><meta charset=utf-8><title>{name}</title><style>{_STYLE}</style><h1>{name}</h1>"
    counts = f"{evaluation.num_soundscapes} soundscapes, {evaluation.num_labels} labels"
    yield f"<p>{counts}. Intervals hold 95 %, over soundscapes.</p>"
    yield "<table>"
    if beside:
        yield _row(("", "value", "95 % interval", *beside))
    for name, row in zip(evaluation.metrics, table_rows(evaluation), strict=True):
        yield _row((*row, *(shown(values.get(name)) for values in beside.values())))
    yield "</table><p><img src=metrics.png alt='PSD ROC, labels, reliability, F1 by threshold'></p>"
    if evaluation.robustness:
        yield "<h2>Curves</h2><table>"
        for cells in (COLUMNS, *curve_rows(evaluation.robustness)):
            yield f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>"
        yield "</table>"
    clips = worst_clips(evaluation)
    yield f"<h2>The {len(clips)} soundscapes with the largest mean squared error</h2>"
    wanted = {evaluation.scored.scores.clips[clip] for clip, _ in clips}
    rows = {row.soundscape_id: row for row in data.soundscapes() if row.soundscape_id in wanted}
    with progress("worst soundscapes", len(clips)) as advance, tempfile.TemporaryDirectory() as work:
        for clip, error in clips:
            soundscape = rows[evaluation.scored.scores.clips[clip]]
            yield f"<h3>{html.escape(soundscape.soundscape_id)}: {error:.4f}</h3>"
            yield from _clip(evaluation, data, soundscape, clip, Path(work))
            advance()


def _row(cells: Iterable[str]) -> str:
    return f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>"


def _clip(evaluation: Evaluation, data: DatasetFolder, soundscape: Soundscape, clip: int, work: Path) -> Iterator[str]:
    """Its sound, and the scores of the labels that are there and of those that are most wrongly heard."""
    scored = evaluation.scored
    spans = scored.truth.by_clip[clip]
    known = np.flatnonzero(scored.truth.known[clip] & ~np.isin(np.arange(scored.truth.num_labels), list(spans)))
    highest = {int(label): float(scored.scores.of(clip, int(label)).max()) for label in known}
    false = sorted(highest, key=lambda label: -highest[label])[:_MOST_FALSE]
    shown = [*sorted(spans), *false]
    samples = audio.read(data.audio(soundscape), _RATE)
    edges = scored.scores.edges_of(clip)
    plot_detections(
        work / "clip.png",
        samples=samples,
        sample_rate=_RATE,
        activations=np.stack([scored.scores.of(clip, label) for label in shown], axis=1),
        phrases=[scored.labels[label].phrase for label in shown],
        hop=float(edges[1] - edges[0]),
        threshold=DEFAULT_THRESHOLD if evaluation.threshold is None else evaluation.threshold,
        post=evaluation.post,
        truth={scored.labels[label].phrase: found for label, found in spans.items()},
    )
    audio.write(work / "clip.wav", audio.to_int16(samples), _RATE)
    yield f"<audio controls preload=none src=data:audio/wav;base64,{_encoded(work / 'clip.wav')}></audio>"
    yield f"<img alt='spectrogram, scores and truth' src=data:image/png;base64,{_encoded(work / 'clip.png')}>"


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode("ascii")
