"""RUN/model/README.md and training.json: what a model is, for whoever gets it without its run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from manifests.errors import FlamError
from manifests.store import read_json, replacing, write_json
from training.checkpoint import ModelCard
from training.config import TrainConfig
from training.soundscapes import SoundscapeSet, WeightedSets

_TOLD = {"name", "soundscapes", "captions", "fresh", "licences"}  # of each dataset, in the card's table
_MEASURED = {
    "auroc_all": "frame AUROC, all frames",
    "auroc_active": "frame AUROC, frames with sound",
    "segment_f1": "1-s F1, mean of labels",
}


@dataclass(frozen=True, kw_only=True)
class Start:
    """The run whose model another one began with."""

    card: ModelCard
    data: list[dict[str, Any]]  # it was trained on, as its training.json describes that; and what came before it

    @classmethod
    def of(cls, run: Path, card: ModelCard) -> "Start":
        """Of a run with this card; raises FlamError if its training.json is damaged."""
        path = run / "model" / "training.json"
        told = read_json(path) if path.exists() else {}
        data: list[dict[str, Any]] = []
        for name in ("before", "data"):
            part = told.get(name, []) if isinstance(told, dict) else None
            if not isinstance(part, list) or not all(isinstance(one, dict) and one.keys() >= _TOLD for one in part):
                raise FlamError(f"{path} does not tell what the model was trained on; restore it, or remove it")
            data += part
        return cls(card=card, data=data)


def write_card(
    model: Path,
    card: ModelCard,
    config: TrainConfig,
    sources: WeightedSets,
    best: Mapping[str, Any],
    start: Start | None = None,
) -> None:
    """Write both files beside the weights.

    Args:
        model: RUN/model.
        card: what the model may be asked.
        config: how it was trained.
        sources: what it was trained on.
        best: what was measured on validation data, and at which step.
        start: the run that it began with.
    """
    heard_out = sources.heard_out(best["step"] * config.batch_size)
    data = [_described(source, went_on=more) for source, more in zip(sources.sets, heard_out, strict=True)]
    before = start.data if start else []
    write_json(
        model / "training.json",
        {"config": config.model_dump(mode="json"), "data": data, "before": before, "measured": dict(best)},
    )
    with replacing(model / "README.md") as temporary:
        temporary.write_text("\n".join(_lines(card, config, [*before, *data], best)) + "\n", "utf-8")


def _described(source: SoundscapeSet, *, went_on: bool) -> dict[str, Any]:
    """A dataset; `went_on`: the model heard more than its own soundscapes once each."""
    info = source.folder.info_path
    licences = source.rows["licences"].combine_chunks().flatten()
    return {
        "name": source.folder.root.resolve().name,
        "fingerprint": source.fingerprint(),
        "soundscapes": len(source),
        "captions": source.caption_set,
        "fresh": source.fresh is not None and went_on,
        "licences": sorted(pc.unique(licences).to_pylist()),
        "dataset": read_json(info) if info.exists() else {},
    }


def _lines(
    card: ModelCard, config: TrainConfig, data: Sequence[Mapping[str, Any]], best: Mapping[str, Any]
) -> list[str]:
    hop = round(card.model.hop * 1000)
    lines = [
        "# A sound event detector for free text",
        "",
        f"Made by `flam-cli train`: says for any text when it happens in a recording, every {hop} ms.",
        "",
        "```python",
        "from training import Detector",
        "",
        'for found in Detector.load("RUN").detect("recording.wav", ["a dog barks"]):  # RUN/model is this folder',
        "    print(found.phrase, found.onset, found.offset, found.probability)",
        "```",
        "",
        f"- Step {best['step']} of {config.steps}, {config.batch_size} clips each; all settings are in training.json.",
        f"- Probabilities are {'calibrated' if 'score' in best else 'not calibrated: there was no validation data'}; "
        f"detections are above {card.threshold:.3g}.",
        "",
        "| trained on | soundscapes | captions | licences of its sounds |",
        "| --- | --- | --- | --- |",
    ]
    for one in data:
        amount = f"{one['soundscapes']}{', then fresh ones of its recipe' if one['fresh'] else ''}"
        lines.append(f"| {one['name']} | {amount} | {one['captions']} | {', '.join(one['licences']) or 'not stated'} |")
    shown = [(title, best[name]) for name, title in _MEASURED.items() if best.get(name) is not None]
    if shown:
        lines += ["", "| on validation soundscapes | |", "| --- | --- |"]
        lines += [f"| {title} | {value:.3f} |" for title, value in shown]
    lines += [
        "",
        f"## The {len(card.trained_clusters)} sounds that it was trained with",
        "",
        ", ".join(name.replace("_", " ") for name in card.trained_clusters) or "none: captions only",
    ]
    return lines
