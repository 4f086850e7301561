"""What a run is made with. Typed and strict: a misspelt key is an error."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from manifests.errors import FlamError

FORMAT_VERSION = 1
AnyConfig = TypeVar("AnyConfig", bound="Strict")
Share = Annotated[float, Field(ge=0, le=1e6)]


class Strict(BaseModel):
    """Frozen, and without room for keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelConfig(Strict):
    """The compact model: the default is of the size `base`, with a frame every 40 ms."""

    audio: str = "compact"  # or "yamnet"; or an encoder of transformers: a repository's name, or a folder
    audio_layers: int = Field(default=0, ge=-1)  # of a pretrained encoder, from the last, that learn; -1: everything
    sample_rate: int = Field(default=16_000, ge=1000)  # Hz
    num_mels: int = Field(default=64, ge=16)
    fft_samples: int = Field(default=512, ge=16)
    mel_hop_samples: int = Field(default=160, ge=1)  # 10 ms
    frame_mels: Literal[4, 16] = 4  # spectrogram hops from one output frame to the next: 40 or 160 ms
    channels: tuple[int, int, int, int] = (24, 64, 96, 128)  # of the convolutions, the last at half the bands and time
    width: int = Field(default=160, ge=1)  # of the sequence layers
    num_layers: int = Field(default=2, ge=0)
    num_heads: int = Field(default=4, ge=1)
    dropout: float = Field(default=0.05, ge=0, le=0.9)
    embed_dim: int = Field(default=256, ge=1)  # of frames, clips, phrases and captions
    heads: Literal["decoupled", "unified"] = "decoupled"  # of clips and frames: one each (FineLAP) or the same
    frame_scale: Literal["global", "text"] = "global"  # scale and bias of frame logits: FineLAP's, or FLAM's by text
    text: str = "wordllama"  # word vectors; "hash" for tests; or an encoder of transformers
    text_layers: int = Field(default=0, ge=-1)  # as audio_layers
    sound_kinds: Literal["1"] = "1"  # which table of training/kinds
    kind_dropout: float = Field(default=0.3, ge=0, le=1)  # of the texts in training, whose kinds are left out

    @model_validator(mode="after")
    def _fits(self) -> "ModelConfig":
        if self.width % self.num_heads or self.num_mels % 16:
            raise ValueError("width must be a multiple of num_heads, and num_mels of 16")
        if (self.audio == "compact" and self.audio_layers) or (self.text in ("wordllama", "hash") and self.text_layers):
            raise ValueError("audio_layers and text_layers are of pretrained encoders: leave them out without one")
        if self.mel_hop_samples > self.fft_samples:
            raise ValueError("fft_samples must be at least mel_hop_samples, or sound between them is not heard")
        # oneDNN (torch 2.13) writes past the end of gradients, and the heap is lost: with 4 channels where a CPU has
        # AVX2 only; with AVX-512 in float32, with 8 of the first convolution, whose input has one
        if self.channels[0] < 16 or any(channels < 8 or channels % 8 for channels in self.channels):
            raise ValueError("channels must be multiples of 8, the first at least 16")
        return self

    @property
    def hop(self) -> float:
        """Seconds from one output frame to the next."""
        return self.frame_samples / self.sample_rate

    @property
    def frame_samples(self) -> int:
        """Samples from one output frame to the next."""
        return self.frame_mels * self.mel_hop_samples


SIZES: Mapping[str, Mapping[str, Any]] = {  # of the audio encoder: about 0.3, 1.4 and 6 M parameters
    "small": {"channels": (16, 32, 48, 64), "width": 96, "num_layers": 1},
    "base": {name: ModelConfig.model_fields[name].default for name in ("channels", "width", "num_layers")},
    "large": {"channels": (32, 96, 160, 256), "width": 320, "num_layers": 3},
}

# What may differ in a run from the model that it begins with (`--init`): nothing that has weights
LOOSE = ("audio_layers", "text_layers", "dropout", "kind_dropout")


def model_config(size: str = "base", *, hop_ms: int = 40, **settings: Any) -> ModelConfig:
    """The model of a size, with a frame every 40 or 160 ms at the default sample rate."""
    return ModelConfig(**{**SIZES[size], "frame_mels": hop_ms // 10, **settings})


class TrainConfig(Strict):
    """One training run."""

    model: ModelConfig = ModelConfig()
    seed: int = Field(default=0, ge=0, le=2**63 - 1)
    steps: int = Field(default=1562, ge=0)  # of 32 clips: 50,000 soundscapes
    batch_size: int = Field(default=32, ge=1)
    micro_batch: int | None = Field(default=None, ge=1)  # clips in memory at once, of the batch; None: all
    clip_duration: float = Field(default=10.0, gt=0)  # s of audio a clip
    num_phrases: int = Field(default=256, ge=1)  # asked of every clip in one step: those that sound, then others
    phrases_per_clip: int = Field(default=20, ge=0)  # FineLAP's N: how many of them count; 0: all, as in FLAM
    negatives: dict[Literal["cluster", "in-batch", "random"], Share] = {"cluster": 1.0}  # shares: training/negatives.py
    max_gain_db: float = Field(default=6.0, ge=0, le=60)  # by which a soundscape is made louder or softer
    exchange: Literal["gather", "ring"] = "gather"  # how several processes share the vectors of phrases
    # From the second epoch on, soundscapes of a dataset's recipe that it does not hold; None: unless making them takes
    # long, or captions are not the templates'
    online: bool | None = None
    mix_share: float = Field(default=0.0, ge=0, le=1)  # of the clips with a second soundscape mixed in
    num_masks: int = Field(default=0, ge=0)  # of the spectrogram, each a band and a span (SpecAugment)
    learning_rate: float = Field(default=2e-3, gt=0)
    audio_learning_rate: float = Field(default=2e-5, gt=0)  # of what learns in a pretrained audio encoder
    text_learning_rate: float = Field(default=2e-5, gt=0)  # of what learns in a pretrained text encoder
    warmup_steps: int = Field(default=100, ge=1)
    weight_decay: float = Field(default=0.05, ge=0)
    ema_decay: float = Field(default=0.995, ge=0, lt=1)  # of the weights that are validated and kept
    clip_loss: Literal["sigmoid", "infonce"] = "sigmoid"  # FineLAP's, or CLAP's and FLAM's
    # 1 : 100, where FineLAP has 1 : 1 and FLAM 1 : 200: the clip loss is a sum over the batch (docs/results.md)
    clip_weight: float = Field(default=0.2, ge=0)  # FineLAP's alpha
    frame_weight: float = Field(default=20.0, ge=0)  # FineLAP's beta
    prior_weight: float = Field(default=0.0, ge=0)  # FLAM's loss of per-text biases, which then learn from it alone
    masked_weight: float = Field(default=1.0, ge=0, le=1)  # in the frame loss, of a label that other sounds hide
    kind_weight: float = Field(default=5.0, ge=0)  # of the frame loss for kinds of sound
    word_trust: float = Field(default=3.0, ge=0)  # how soon words unlike any trained phrase give way to their kinds
    evaluate_every: int = Field(default=500, ge=1)  # steps
    patience: int | None = Field(default=None, ge=1)  # stop after so many validations without a better one
    keep_last: int = Field(default=1, ge=1)  # checkpoints
    compile: bool = False  # the audio encoder by torch.compile
    tensorboard: bool = False  # RUN/tensorboard beside metrics.jsonl
    caption_set: str | None = None  # as manifests.captions takes it; None: its own, else `template`, else all

    @model_validator(mode="after")
    def _fits(self) -> "TrainConfig":
        if self.prior_weight and self.model.frame_scale != "text":
            raise ValueError("a prior_weight needs frame_scale = text: only then has a phrase a bias of its own")
        if self.num_masks and self.model.audio != "compact":
            raise ValueError("num_masks masks what the compact encoder hears: leave it out with another")
        if not sum(self.negatives.values()):
            raise ValueError("negatives must name at least one kind, with a share above 0")
        return self


def parse(config: type[AnyConfig], content: Any, path: Path) -> AnyConfig:
    """A config from what a JSON or TOML file held; raises FlamError that names the file and the entry.

    "3" and true are no numbers.
    """
    try:  # as JSON, whose lists are taken for tuples where all else is strict
        return config.model_validate_json(json.dumps(content, default=str), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise FlamError(f"{path}: {where or 'content'}: {first['msg'].removeprefix('Value error, ')}") from None
