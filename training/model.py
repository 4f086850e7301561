"""The model: waveforms and texts in, frame and clip logits out (FineLAP, arXiv 2604.01155, with decoupled heads)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from training.audio_encoder import AudioEncoder, Augment
from training.config import ModelConfig
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


class FlamModel(nn.Module):
    """Embeds sound (frames and whole clips) and text (phrases and captions) in one space."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.audio = AudioEncoder(config)
        self.text = TextEncoder(config)
        self.frame_head = nn.Linear(config.width, config.embed_dim)
        self.clip_head = nn.Linear(config.width, config.embed_dim)
        # Started near the share of positive cells, where FineLAP's -10 would spend the first steps on the bias alone
        self.frame_logit = SigmoidHead(bias=-4.0)
        self.kind_logit = SigmoidHead(bias=-4.0)
        self.clip_logit = SigmoidHead(bias=-4.0)

    def embed_audio(
        self, waveforms: Float[Tensor, "clip sample"], augment: Augment | None = None
    ) -> tuple[Float[Tensor, "clip frame dim"], Float[Tensor, "clip dim"]]:
        """Unit vectors of every 40-ms frame and of each clip. The waveform must be whole frames long."""
        hidden = self.audio(waveforms, augment)
        frames = functional.normalize(self.frame_head(hidden).float(), dim=-1)
        clips = functional.normalize(self.clip_head(hidden.mean(1)).float(), dim=-1)
        return frames, clips

    def embed_text(self, texts: Sequence[str]) -> Float[Tensor, "text dim"]:
        """Unit vectors of phrases or captions."""
        embedded: Tensor = self.text(texts)
        return embedded.float()

    def frame_logits(
        self, frames: Float[Tensor, "clip frame dim"], phrases: Float[Tensor, "phrase dim"]
    ) -> Float[Tensor, "clip phrase frame"]:
        """How strongly each frame speaks for each phrase."""
        logits: Tensor = self.frame_logit(torch.einsum("ctd,pd->cpt", frames, phrases))
        return logits

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
