"""Encoders from `transformers`, by the name of a repository or the path of a folder (extra `pretrained`).

What a run needs of them besides weights (their settings, feature extractor and tokenizer) is kept in RUN/model, so that
its model is loaded without a network.
"""

import copy
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from evaluation.yamnet import YamnetFeatures
from manifests.errors import FlamError
from manifests.store import read_json, write_json
from training.audio_encoder import Augment, SequenceLayer
from training.config import ModelConfig
from training.memory import make_room

_AUDIO, _TEXT = "audio_encoder", "text_encoder"  # folders in RUN/model
_MEL_FRAME = 0.01  # seconds, of AST's and EAT's spectrogram
_trusted = False


def trust_remote_code() -> None:
    """Let repositories whose code is not in `transformers` run theirs: of EAT, for one. Only on a user's word."""
    global _trusted
    _trusted = True


def sample_rate_of(name: str) -> int:
    """Of the recordings that an encoder hears, in Hz."""
    if name == "yamnet":
        return YamnetFeatures.sample_rate
    return int(_extractor(name, None).sampling_rate)


class PlacedAudio(nn.Module):
    """Some encoder's vectors, put on the model's frames, and trained layers over these."""

    def __init__(self, config: ModelConfig, *, dim: int, sample_rate: int) -> None:
        super().__init__()
        if sample_rate != config.sample_rate:
            raise FlamError(
                f"{config.audio} hears {sample_rate} Hz, and the model's sample_rate is {config.sample_rate}; "
                "set sample_rate to that"
            )
        self.config = config
        self.project = nn.Linear(dim, config.width)
        self.layers = nn.ModuleList(
            SequenceLayer(config.width, num_heads=config.num_heads, dropout=config.dropout)
            for _ in range(config.num_layers)
        )

    def forward(
        self,
        waveforms: Float[Tensor, "clip sample"],
        augment: Augment | None = None,  # noqa: ARG002 - its features are its own
    ) -> Float[Tensor, "clip frame width"]:
        """Hidden vectors, one for every frame; an encoder of a fixed length hears silence after a shorter clip."""
        hidden, centres = self.heard(waveforms)
        frames = waveforms.shape[1] // self.config.frame_samples
        at = interpolation(centres, (np.arange(frames) + 0.5) * self.config.hop)
        placed: Tensor = self.project(at.to(hidden) @ hidden)
        for layer in self.layers:
            placed = layer(placed)
        return placed

    def heard(
        self, waveforms: Float[Tensor, "clip sample"]
    ) -> tuple[Float[Tensor, "clip step dim"], Float[np.ndarray, " step"]]:
        """The encoder's vectors, and the second at which each has its middle."""
        raise NotImplementedError

    @property
    def longest(self) -> float | None:
        """Seconds that it hears at once; None: any number."""
        return None


class YamnetAudio(PlacedAudio):
    """YAMNet's features (extra `yamnet`), which stay as they are: 8 bits have no gradient."""

    def __init__(self, config: ModelConfig) -> None:
        self._features = YamnetFeatures()
        super().__init__(config, dim=YamnetFeatures.dim, sample_rate=YamnetFeatures.sample_rate)
        if config.audio_layers:
            raise FlamError("yamnet cannot learn: set audio_layers = 0")

    def __deepcopy__(self, memo: dict[int, Any]) -> "YamnetAudio":
        """The network itself is shared: it does not change, and cannot be copied."""
        memo[id(self._features)] = self._features
        copied = self.__class__.__new__(self.__class__)
        memo[id(self)] = copied
        copied.__dict__ = {name: copy.deepcopy(value, memo) for name, value in self.__dict__.items()}
        return copied

    def heard(
        self, waveforms: Float[Tensor, "clip sample"]
    ) -> tuple[Float[Tensor, "clip step dim"], Float[np.ndarray, " step"]]:
        """As the network has them, scaled to about 1."""
        found = np.stack([self._features(samples) for samples in waveforms.float().cpu().numpy()])
        hidden = torch.from_numpy(found).to(waveforms)
        centres = (np.arange(hidden.shape[1]) + 0.5) * YamnetFeatures.step
        return torch.log1p(hidden), centres


class PretrainedAudio(PlacedAudio):
    """An encoder of transformers."""

    def __init__(self, config: ModelConfig, folder: Path | None) -> None:
        extractor = _extractor(config.audio, folder)
        encoder, settings = _encoder(config.audio, folder, _AUDIO, "audio_model")
        super().__init__(config, dim=_width(encoder), sample_rate=int(extractor.sampling_rate))
        self.extractor, self.encoder, self.settings = extractor, encoder, settings
        self.kind = str(encoder.config.model_type)
        if hasattr(encoder.config, "apply_spec_augment"):  # drawn from numpy's global state: no run would repeat
            encoder.config.apply_spec_augment = False
        self.is_frozen = train_last_layers(encoder, config.audio_layers)

    def heard(
        self, waveforms: Float[Tensor, "clip sample"]
    ) -> tuple[Float[Tensor, "clip step dim"], Float[np.ndarray, " step"]]:
        """Its last hidden vectors."""
        inputs = self._inputs(waveforms)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.is_frozen):
            return self._hidden(inputs)

    @property
    def longest(self) -> float | None:
        """If it is made for one length, that."""
        limit = _longest(self.kind, self.extractor)
        return None if limit is None else limit / self.config.sample_rate

    def train(self, mode: bool = True) -> "PretrainedAudio":
        """As torch's; what is frozen stays as in use, and so does batch normalisation, of few clips here."""
        super().train(mode)
        for module in self.encoder.modules():
            if self.is_frozen or isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.training = False
        return self

    def _inputs(self, waveforms: Float[Tensor, "clip sample"]) -> dict[str, Tensor]:
        rate = self.config.sample_rate
        limit = _longest(self.kind, self.extractor)
        if limit is not None and waveforms.shape[1] > limit:
            raise FlamError(f"{self.config.audio} hears {limit / rate:g} s at once; set clip_duration to that at most")
        padded = functional.pad(waveforms.float(), (0, (limit or waveforms.shape[1]) - waveforms.shape[1]))
        found = self.extractor(list(padded.cpu().numpy()), sampling_rate=rate, return_tensors="pt")
        inputs = {name: torch.as_tensor(value).to(waveforms.device) for name, value in found.items()}
        if "is_longer" in inputs:  # CLAP's says of a random clip that it was longer, where none was
            inputs["is_longer"] = torch.zeros(len(waveforms), 1, dtype=torch.bool, device=waveforms.device)
        return inputs

    def _hidden(self, inputs: dict[str, Tensor]) -> tuple[Float[Tensor, "clip step dim"], Float[np.ndarray, " step"]]:
        """The encoder's last hidden vectors in time, and the second at which each has its middle."""
        if self.kind == "eat":  # its own code: 16 x 16 patches, time by frequency, after one for the clip
            hidden = self.encoder.extract_features(inputs["input_values"][:, None])[:, 1:]
            hidden = hidden.unflatten(1, (-1, 8)).mean(2)
            return hidden, (np.arange(hidden.shape[1]) + 0.5) * 16 * _MEL_FRAME
        hidden = self.encoder(**inputs).last_hidden_state
        if self.kind == "audio-spectrogram-transformer":  # frequency by time, after two for the clip
            settings = self.encoder.config
            bands = (settings.num_mel_bins - settings.patch_size) // settings.frequency_stride + 1
            hidden = hidden[:, 2:].unflatten(1, (bands, -1)).mean(1)
            starts = np.arange(hidden.shape[1]) * settings.time_stride
            return hidden, (starts + settings.patch_size / 2) * _MEL_FRAME
        if self.kind == "clap_audio_model":  # clip, channel, frequency, time: the whole of the window
            hidden = hidden.mean(2).transpose(1, 2)
        seconds = _longest(self.kind, self.extractor) or inputs["input_values"].shape[-1]
        steps = np.arange(hidden.shape[1]) + 0.5
        return hidden, steps * (seconds / self.config.sample_rate / hidden.shape[1])


def interpolation(
    centres: Float[np.ndarray, " step"], wanted: Float[np.ndarray, " frame"]
) -> Float[Tensor, "frame step"]:
    """How much of each step's vector a frame has: linear between the two whose middles it lies between."""
    rows = [np.interp(wanted, centres, unit) for unit in np.eye(len(centres))]
    return torch.from_numpy(np.stack(rows, axis=1)).float()


class _Shared(dict[str, Tensor]):
    """Vectors of texts, which the averaged model has in common with the one that learns."""

    def __deepcopy__(self, _: dict[int, Any]) -> "_Shared":
        return self


class PretrainedText(nn.Module):
    """Texts by a pretrained encoder: the mean of its hidden vectors, projected."""

    def __init__(self, config: ModelConfig, folder: Path | None) -> None:
        super().__init__()
        transformers = _transformers()
        source = config.text if folder is None else str(folder / _TEXT)
        self.tokenizer = _loaded(transformers.AutoTokenizer, source)
        self.encoder, self.settings = _encoder(config.text, folder, _TEXT, "text_model")
        dim = _width(self.encoder)
        self.project = nn.Sequential(
            nn.Linear(dim, config.embed_dim), nn.GELU(), nn.Linear(config.embed_dim, config.embed_dim)
        )
        self.is_frozen = train_last_layers(self.encoder, config.text_layers)
        self._known = _Shared()  # of a frozen encoder: each text is heard once

    def forward(self, texts: Sequence[str]) -> Float[Tensor, "text dim"]:
        """Unnormalised vectors."""
        if not self.is_frozen:
            projected: Tensor = self.project(self._pooled(texts))
            return projected
        make_room(self._known)
        for text in texts:
            if text not in self._known:  # one at a time: rounding must not depend on what is asked beside it
                with torch.no_grad():
                    self._known[text] = self._pooled([text])[0]
        found: Tensor = self.project(torch.stack([self._known[text] for text in texts]))
        return found

    def train(self, mode: bool = True) -> "PretrainedText":
        """As torch's; what is frozen stays as in use."""
        super().train(mode)
        if self.is_frozen:
            self.encoder.eval()
        return self

    def _pooled(self, texts: Sequence[str]) -> Float[Tensor, "text hidden"]:
        device = next(self.parameters()).device
        inputs = self.tokenizer(list(texts), padding=True, truncation=True, max_length=77, return_tensors="pt").to(
            device
        )
        hidden = self.encoder(**inputs).last_hidden_state
        weights = inputs["attention_mask"][:, :, None].to(hidden)
        pooled: Tensor = (hidden * weights).sum(1) / weights.sum(1)
        return pooled


def keep_settings(model: nn.Module, folder: Path) -> None:
    """Write what `folder` needs to make the encoders of a model again: settings, feature extractor, tokenizer."""
    for module in model.modules():
        if isinstance(module, PretrainedAudio):
            _keep_encoder(module.encoder, module.settings, folder / _AUDIO)
            module.extractor.save_pretrained(folder / _AUDIO)
        if isinstance(module, PretrainedText):
            _keep_encoder(module.encoder, module.settings, folder / _TEXT)
            module.tokenizer.save_pretrained(folder / _TEXT)


def _keep_encoder(encoder: nn.Module, settings: Any, folder: Path) -> None:
    """Its settings, and the code that a repository brought, which they name there."""
    folder.mkdir(parents=True, exist_ok=True)
    settings.to_json_file(folder / "config.json")  # save_pretrained would refuse EAT's, for a name that generators use
    if type(encoder).__module__.startswith("transformers_modules."):
        from transformers.dynamic_module_utils import custom_object_save

        custom_object_save(encoder, str(folder))
        content = read_json(folder / "config.json")
        content["auto_map"] = {kind: name.rpartition("--")[2] for kind, name in content["auto_map"].items()}
        write_json(folder / "config.json", content)


def train_last_layers(encoder: nn.Module, number: int) -> bool:
    """Let the last layers of an encoder learn, and what comes after them; -1: all of it. True if nothing does."""
    if number < 0:
        return False
    encoder.requires_grad_(False)
    if number:
        layers = _layers(encoder)
        first, reached = layers[-min(number, len(layers))], False
        for module in encoder.modules():  # in the order in which they are used, as encoders are written
            reached = reached or module is first
            if reached and not isinstance(module, nn.BatchNorm2d):  # CLAP's, of what it hears, is written last
                for parameter in module.parameters(recurse=False):
                    parameter.requires_grad_(True)
    return not number


def _layers(encoder: nn.Module) -> list[nn.Module]:
    """The list that holds most of an encoder; of one in stages, each of several layers, those of all stages."""
    lists = [module for module in encoder.modules() if isinstance(module, nn.ModuleList)]
    outer = max(lists, key=lambda one: sum(parameter.numel() for parameter in one.parameters()))  # first of equals
    found: list[nn.Module] = []
    for stage in outer:
        inner = next((child for child in stage.children() if isinstance(child, nn.ModuleList)), None)
        found += inner if inner is not None and len({type(one) for one in inner}) == 1 else [stage]
    return found


def _transformers() -> Any:
    try:
        import torchaudio  # noqa: F401
    except (ImportError, OSError):  # that of PyPI beside a torch for CPUs: transformers takes it if it is there at all
        sys.modules["torchaudio"] = None  # type: ignore[assignment]
    try:
        import transformers
    except ImportError:
        raise FlamError(
            "transformers is not installed; in flam-cli's folder: "
            "pip install --constraint constraints.txt '.[pretrained]'"
        ) from None
    if not hasattr(transformers.PreTrainedModel, "all_tied_weights_keys"):  # set by what code for version 4 leaves out
        transformers.PreTrainedModel.all_tied_weights_keys = {}
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # of loading weights: a second
    return transformers


def _encoder(name: str, folder: Path | None, kind: str, part: str) -> tuple[Any, Any]:
    """An encoder, and the settings to make it again: that of a name with its weights, of a folder with random ones.

    Of a model for sound and text it is the part for one; the settings are those of the whole.
    """
    transformers = _transformers()
    if folder is None:
        whole = _loaded(transformers.AutoModel, name)
    else:
        config = _loaded(transformers.AutoConfig, str(folder / kind))
        whole = transformers.AutoModel.from_config(config, trust_remote_code=_trusted)
    found = getattr(whole, part, whole)
    if found.config.model_type == "pe_audio":  # which is for texts, too, and a part of PE-AV
        found = found.audio_encoder
    return found, whole.config


def _extractor(name: str, folder: Path | None) -> Any:
    transformers = _transformers()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="At least one mel filter")  # of AST's 128, as it was trained
        if folder is not None:
            return _loaded(transformers.AutoFeatureExtractor, str(folder / _AUDIO))
        if _loaded(transformers.AutoConfig, name).model_type == "eat":  # whose repositories do not say what it hears
            return transformers.ASTFeatureExtractor()  # the same filter bank, length, mean and deviation
        return _loaded(transformers.AutoFeatureExtractor, name)


def _loaded(kind: Any, name: str) -> Any:
    try:
        return kind.from_pretrained(name, trust_remote_code=_trusted)
    except (OSError, ValueError, KeyError, ImportError) as error:
        said = str(error).split("\n")[0]
        hint = "give the name of a repository that is in the cache or can be reached, or the path of a folder"
        if "trust_remote_code" in str(error):
            hint = "it has code of its own: give --trust-remote-code if you trust it"
        elif isinstance(error, ImportError):
            hint = "its code needs that: install it"
        raise FlamError(f"{name}: {said}; {hint}") from None


def _width(encoder: Any) -> int:
    config = encoder.config
    found = getattr(config, "hidden_size", None) or getattr(config, "embed_dim", None)
    if found is None:
        raise FlamError(f"{config.model_type} says nowhere how wide its hidden vectors are: not supported")
    return int(found)


def _longest(kind: str, extractor: Any) -> int | None:
    """Samples that an encoder hears at once, if it is made for one length."""
    if kind == "clap_audio_model":
        return int(extractor.nb_max_samples)
    if kind in ("audio-spectrogram-transformer", "eat"):
        return int(extractor.max_length * _MEL_FRAME * extractor.sampling_rate)
    return None
