"""Checkpoints and finished models on disk: safetensors and JSON, written whole or not at all, nothing unpickled."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import model_validator
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from evaluation.post_processing import PostProcessing
from evaluation.queries import Trained
from manifests.errors import FlamError
from manifests.store import read_json, replacing, write_json
from training.config import FORMAT_VERSION, ModelConfig, Strict, parse
from training.model import FlamModel
from training.text_encoder import TokenWords


class DamagedError(FlamError):
    """A file of tensors that does not hold what was written to it."""


class ModelCard(Strict):
    """RUN/model/config.json: how to build the model, and what it may be asked."""

    format_version: int = FORMAT_VERSION
    model: ModelConfig
    trained_clusters: tuple[str, ...]
    trained_phrases: tuple[str, ...] = ()  # by which these were asked in training
    threshold: float  # on probabilities, best on validation data; 0.5 if there was none
    # probability = sigmoid(scale * logit + bias + prior @ text vector), fitted on validation data
    calibration_scale: float = 1.0
    calibration_bias: float = 0.0
    calibration_prior: tuple[float, ...] = ()  # empty: none
    post_processing: PostProcessing = PostProcessing()  # chosen on validation data
    word_trust: float = 0.0  # training.text_encoder.Trust's power
    words: str = ""  # name and version of the frozen word vectors
    words_digest: str = ""  # of these; empty: not checked

    @model_validator(mode="after")
    def _fits(self) -> "ModelCard":
        if len(self.calibration_prior) not in (0, self.model.embed_dim):
            raise ValueError(f"calibration_prior must have {self.model.embed_dim} numbers, or none")
        post = self.post_processing
        if post.median < 1 or post.median % 2 == 0 or post.max_gap < 0 or post.min_duration < 0:
            raise ValueError("post_processing: median must be odd and above 0, max_gap and min_duration not below 0")
        return self

    def trained(self) -> Trained:
        """For evaluation: what is known, held out, and an unseen wording."""
        return Trained(
            clusters=self.trained_clusters,
            phrases=self.trained_phrases,
            threshold=self.threshold,
            post=self.post_processing,
        )


def device_of(name: str) -> torch.device:
    """The device called `cpu`, `cuda`, `cuda:1` or `mps`; raises FlamError if it is not there."""
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # `meta` would make it, but holds no numbers
    except (RuntimeError, AssertionError, ValueError):  # torch has an error of its own for each way to be absent
        raise FlamError(f"no device {name!r} here; try --device cpu") from None
    return device


def save_tensors(path: Path, tensors: Mapping[str, Tensor], note: Mapping[str, Any]) -> None:
    """Write tensors and a JSON note to one file. It takes the old file's place only when it is whole."""
    content = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with replacing(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode  # which safetensors, with a temporary file of its own, does not keep
        try:
            save_file(content, str(temporary), metadata={"note": json.dumps(note)})
            temporary.chmod(mode)
        except SafetensorError as error:  # it wraps what the system said of the disk
            raise FlamError(f"cannot write {path}: {error}; what was finished before is kept") from None


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the note of a file by `save_tensors`; raises FlamError if it is cut or something else."""
    if not path.is_file():
        raise FlamError(f"{path} is missing; train again, or name the folder that `flam-cli train --out` wrote")
    if not os.access(path, os.R_OK):
        raise FlamError(f"{path} may not be read by you; ask its owner for `chmod a+r`")
    try:
        with safe_open(str(path), framework="pt") as file:
            note = json.loads((file.metadata() or {}).get("note", "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, note  # noqa: SIM118 (not a mapping)
    except OSError as error:
        raise FlamError(f"{path} cannot be read: {error.strerror or error}") from None
    except (SafetensorError, ValueError) as error:
        raise DamagedError(f"{path} is damaged or no safetensors file ({error}); run `flam-cli train` again") from None


class Checkpoints:
    """RUN/checkpoints: the last few by their step, newest first, and that of the best validation."""

    def __init__(self, folder: Path, *, keep: int) -> None:
        self.folder, self.keep = folder, keep
        self.best = folder / "best.safetensors"

    def _by_step(self) -> list[Path]:
        return sorted(self.folder.glob("step-[0-9]*.safetensors"), reverse=True)

    def last(self) -> Path | None:
        """The newest, or if there is none that of the best validation; None if there is none at all."""
        return next(iter(self._all()), None)

    def _all(self) -> list[Path]:
        return [*self._by_step(), *([self.best] if self.best.exists() else [])]

    def mend(self) -> list[str]:
        """Remove what killed writes left, and set damaged checkpoints aside; returns what there is to say of these.

        Raises FlamError if no other is left: a run that began anew would put its first model in the place of the best.
        """
        for folder in (self.folder, self.folder.parent / "model"):
            for path in [*folder.glob(".*.tmp"), *folder.glob(".tmp*")]:  # ours, and those of safetensors
                path.unlink()
        damaged: dict[Path, DamagedError] = {}
        for path in self._all():
            try:
                load_tensors(path)
                break
            except DamagedError as error:
                damaged[path] = error
        else:
            if damaged:
                first = next(iter(damaged.values()))
                raise FlamError(f"{first}, after deleting {self.folder}: no other checkpoint there is whole")
        said = []
        for path, reason in damaged.items():
            aside = path.with_name(f"damaged-{path.name}")
            path.replace(aside)
            said.append(f"{reason}; it is called {aside.name} now, and the run goes on from an earlier checkpoint")
        return said

    def next(self, step: int) -> Path:
        """Where that of a step belongs."""
        return self.folder / f"step-{step:09d}.safetensors"

    def tidy(self) -> None:
        """Remove all but the newest `keep`."""
        for path in self._by_step()[self.keep :]:
            path.unlink()


def save_model(run: Path, model: FlamModel, card: ModelCard) -> None:
    """Write RUN/model: the weights, then the card, whose presence says that both are there."""
    save_tensors(run / "model" / "weights.safetensors", model.state_dict(), {})
    if isinstance(words := model.text.words, TokenWords):
        card = card.model_copy(update={"words": words.table.name, "words_digest": words.table.digest})
    write_json(run / "model" / "config.json", card.model_dump())


def load_card(run: Path) -> ModelCard:
    """What a run's model is; raises FlamError if there is none, or it is of another version."""
    path = run / "model" / "config.json"
    if not path.exists():
        raise FlamError(f"no model in {run}: {path} is missing; make one with `flam-cli train DATA --out {run}`")
    content = read_json(path)
    version = content.get("format_version", FORMAT_VERSION) if isinstance(content, dict) else FORMAT_VERSION
    if version != FORMAT_VERSION:
        raise FlamError(
            f"{path}: format_version {version}, this flam-cli reads {FORMAT_VERSION}; install a flam-cli that reads it"
        )
    return parse(ModelCard, content, path)


def load_model(run: Path) -> tuple[FlamModel, ModelCard]:
    """The finished model of a run, ready for use; raises FlamError that says what is wrong with it."""
    card = load_card(run)
    model = FlamModel(card.model, run / "model")
    words = model.text.words
    if card.words_digest and isinstance(words, TokenWords) and words.table.digest != card.words_digest:
        raise FlamError(
            f"{run} was trained with the word vectors of {card.words}; those of {words.table.name} here are others; "
            f"pip install '{card.words.replace(' ', '==')}'"
        )
    weights, _ = load_tensors(run / "model" / "weights.safetensors")
    load_weights(model, weights, run / "model" / "weights.safetensors")
    return model.eval(), card


def digest_of(model: nn.Module) -> str:
    """Of its weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Fill a model; raises FlamError for the weights of another model and for weights that are not finite."""
    wanted = model.state_dict()
    for name in [*wanted, *weights]:
        if name not in weights or name not in wanted or weights[name].shape != wanted[name].shape:
            raise FlamError(f"{path} holds another model: {name} does not fit its config; train again")
        if not torch.isfinite(weights[name]).all():
            raise FlamError(f"{path}: {name} holds NaN or infinite weights; train again")
    model.load_state_dict(dict(weights))
