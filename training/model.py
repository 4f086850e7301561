"""The model: waveforms and texts in, frame and clip logits out (FineLAP, arXiv 2604.01155; FLAM, arXiv 2505.05335)."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from training.audio_encoder import AudioEncoder, Augment
from training.batch_norm import exact
from training.config import ModelConfig
from training.pretrained import PlacedAudio, PretrainedAudio, YamnetAudio
from training.text_encoder import TextEncoder


class SigmoidHead(nn.Module):
    """logit = <a, t> / tau + b, tau and b learnable (FineLAP's q and s). tau is kept positive by its logarithm."""

    def __init__(self, *, bias: float) -> None:
        super().__init__()
        self.log_tau = nn.Parameter(torch.tensor(0.1).log())
        self.bias = nn.Parameter(torch.tensor(bias))

    def forward(self, similarity: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """Logits of cosine similarities."""
        return similarity * torch.exp(-self.log_tau) + self.bias


class TextHead(nn.Module):
    """logit = alpha(t) <a, t> + beta(t): FLAM's scale and bias of each text, by two small networks of its vector.

    Where everything starts: alpha = 10; beta as `start_at` says, ln(coverage / batch size) in FLAM.
    """

    def __init__(self, dim: int, *, bias: float) -> None:
        super().__init__()
        self.scale_hidden, self.bias_hidden = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.scale_out, self.bias_out = nn.Linear(dim, 1), nn.Linear(dim, 1)
        nn.init.zeros_(self.scale_out.weight)
        nn.init.zeros_(self.bias_out.weight)
        nn.init.constant_(self.scale_out.bias, math.log(10.0))
        self.start_at(bias)

    def start_at(self, bias: float) -> None:
        """Before training: every text's bias."""
        nn.init.constant_(self.bias_out.bias, bias)

    def biases(self, texts: Float[Tensor, "text dim"]) -> Float[Tensor, " text"]:
        """beta of each text: the log-odds of its sound before anything is heard."""
        found: Tensor = self.bias_out(functional.gelu(self.bias_hidden(texts)))
        return found[:, 0]

    def forward(
        self,
        similarity: Float[Tensor, "clip text frame"],
        texts: Float[Tensor, "text dim"],
        *,
        detached: bool = False,
    ) -> Float[Tensor, "clip text frame"]:
        """Logits of cosine similarities; `detached`: without a gradient for beta, which the prior loss trains."""
        scale = torch.exp(self.scale_out(functional.gelu(self.scale_hidden(texts))))
        bias = self.biases(texts)[:, None]
        logits: Tensor = similarity * scale + (bias.detach() if detached else bias)
        return logits


class FlamModel(nn.Module):
    """Embeds sound (frames and whole clips) and text (phrases and captions) in one space.

    Args:
        config: its settings.
        folder: where those of pretrained encoders are kept, without weights; None: they are loaded by their names.
    """

    def __init__(self, config: ModelConfig, folder: Path | None = None) -> None:
        super().__init__()
        self.config = config
        self.audio: AudioEncoder | PlacedAudio
        if config.audio == "compact":
            self.audio = AudioEncoder(config)
        elif config.audio == "yamnet":
            self.audio = YamnetAudio(config)
        else:
            self.audio = PretrainedAudio(config, folder)
        self.text = TextEncoder(config, folder)
        self.frame_head = nn.Linear(config.width, config.embed_dim)
        unified = config.heads == "unified"
        self.clip_head = None if unified else nn.Linear(config.width, config.embed_dim)
        # Started near the share of positive cells, where FineLAP's -10 would spend the first steps on the bias alone
        self.frame_logit = (
            TextHead(config.embed_dim, bias=-4.0) if config.frame_scale == "text" else SigmoidHead(bias=-4.0)
        )
        self.kind_logit = SigmoidHead(bias=-4.0)
        self.clip_logit = SigmoidHead(bias=-4.0)

    @property
    def longest(self) -> float | None:
        """Seconds that the audio encoder hears at once; None: any number."""
        return self.audio.longest if isinstance(self.audio, PlacedAudio) else None

    def embed_audio(
        self, waveforms: Float[Tensor, "clip sample"], augment: Augment | None = None
    ) -> tuple[Float[Tensor, "clip frame dim"], Float[Tensor, "clip dim"]]:
        """Unit vectors of every frame and of each clip. The waveform must be whole frames long.

        A clip's vector is that of the mean of its frames' hidden vectors: by a head of its own (FineLAP's decoupled
        heads), or by the frames' (unified, as FLAM's).
        """
        hidden = self.audio(waveforms, augment)
        frames = functional.normalize(exact(self.frame_head(hidden)), dim=-1)
        head = self.clip_head or self.frame_head
        clips = functional.normalize(exact(head(hidden.mean(1))), dim=-1)
        return frames, clips

    def embed_text(
        self, texts: Sequence[str], trust: Float[Tensor, " text"] | None = None
    ) -> Float[Tensor, "text dim"]:
        """Unit vectors of phrases or captions; `trust` as `TextEncoder.united` takes it."""
        if not texts:  # as one of several processes may have; gradients of the others' pass through it all the same
            return self.clip_logit.bias.expand(0, self.config.embed_dim)
        embedded: Tensor = self.text(texts, trust)
        return exact(embedded)

    def frame_logits(
        self,
        frames: Float[Tensor, "clip frame dim"],
        phrases: Float[Tensor, "phrase dim"],
        *,
        bias_detached: bool = False,
    ) -> Float[Tensor, "clip phrase frame"]:
        """How strongly each frame speaks for each phrase; `bias_detached` as in `TextHead`."""
        similarity = torch.einsum("ctd,pd->cpt", frames, phrases)
        logits: Tensor
        if isinstance(self.frame_logit, TextHead):
            logits = self.frame_logit(similarity, phrases, detached=bias_detached)
        else:
            logits = self.frame_logit(similarity)
        return logits

    def phrase_biases(self, phrases: Float[Tensor, "phrase dim"]) -> Float[Tensor, " phrase"]:
        """The log-odds of each phrase before anything is heard, as far as the model has any of its own."""
        if isinstance(self.frame_logit, TextHead):
            return self.frame_logit.biases(phrases)
        return self.frame_logit.bias.expand(len(phrases))

    def kind_logits(self, frames: Float[Tensor, "clip frame dim"]) -> Float[Tensor, "clip kind frame"]:
        """How strongly each frame speaks for each kind of sound."""
        logits: Tensor = self.kind_logit(torch.einsum("ctd,kd->ckt", frames, self.text.kind_vectors()))
        return logits

    def clip_logits(
        self, clips: Float[Tensor, "clip dim"], captions: Float[Tensor, "caption dim"]
    ) -> Float[Tensor, "clip caption"]:
        """How well each caption describes each clip."""
        logits: Tensor = self.clip_logit(clips @ captions.T)
        return logits
