"""Training recipes: TOML files of settings, those of training/recipes or a user's own."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from manifests.errors import FlamError
from training.checkpoint import load_card
from training.config import LOOSE, SIZES, ModelConfig, TrainConfig, parse

_FOLDER = Path(__file__).parent / "recipes"
BUILT_IN = tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def recipe_path(name: str) -> Path:
    """The file of a built-in recipe, or the one that is named; raises FlamError if there is neither."""
    path = _FOLDER / f"{name}.toml" if name in BUILT_IN else Path(name)
    if not os.path.isfile(path):  # noqa: PTH113 - pathlib's raises for a name that is too long (Python 3.11)
        raise FlamError(f"no training recipe {name!r}: built in are {', '.join(BUILT_IN)}; else name a .toml file")
    return path


def read_recipe(name: str) -> dict[str, Any]:
    """What a recipe's file holds; raises FlamError if there is none or it is no TOML."""
    path = recipe_path(name)
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise FlamError(f"{path}: {error}; `flam-cli train --show-recipe finelap` prints one that works") from None


def load_config(
    name: str,
    *,
    init: Path | None = None,
    size: str | None = None,
    hop_ms: int | None = None,
    audio: str | None = None,
    text: str | None = None,
    **given: Any,
) -> TrainConfig:
    """A recipe's settings, less those that are given otherwise; raises FlamError that names file and entry.

    Args:
        name: of a built-in recipe, or a path.
        init: a run: the model is of its settings, of which a user's file may change those of `LOOSE`.
        size: of the audio encoder, one of SIZES; None: as in the file.
        hop_ms: of frames, 40 or 160; None: as in the file.
        audio: a pretrained audio encoder, at whose sample rate the model then hears; None: as in the file.
        text: a pretrained text encoder; None: as in the file.
        given: other settings; those that are None are as in the file.
    """
    path, content = recipe_path(name), read_recipe(name)
    model = content.get("model", {})
    if not isinstance(model, Mapping):
        raise FlamError(f"{path}: model: not a table; write [model] above its settings")
    if init is not None:
        if size or hop_ms or audio or text:
            raise FlamError(f"size, hop and encoders of a model that begins with {init} are that one's; leave them out")
        model = _as_begun(init, path, {} if name in BUILT_IN else model)
        if content.get("prior_weight") and model["frame_scale"] != "text":
            raise FlamError(f"{name} trains a bias of each text, and that of {init} has one for all; choose another")
    chosen = {**model, **(SIZES[size] if size else {})}
    if audio:
        from training.pretrained import sample_rate_of

        chosen |= {"audio": audio, "sample_rate": sample_rate_of(audio)}
    if hop_ms:
        chosen["frame_mels"] = hop_ms // 10
    rate = chosen.get("sample_rate", ModelConfig().sample_rate)
    if (audio or hop_ms) and isinstance(rate, int):
        chosen["mel_hop_samples"] = rate // 100
    if text:
        chosen["text"] = text
    settings = {name: value for name, value in given.items() if value is not None}
    return parse(TrainConfig, {**content, **settings, "model": chosen}, path)


def _as_begun(init: Path, path: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run's model, less those of `asked` that may change; raises FlamError for another model's."""
    begun = load_card(init).model.model_dump(mode="json")
    for key, value in asked.items():
        if key not in LOOSE and key in begun and begun[key] != value:
            raise FlamError(
                f"{path}: model.{key}: the model of {init} has {begun[key]}, which cannot change; leave it out"
            )
    return {**begun, **asked}
