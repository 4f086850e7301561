"""Waveform -> one hidden vector a frame: convolutions, then sequence layers; at 40 ms these run at half the rate."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from training.batch_norm import BatchNorm1d, BatchNorm2d
from training.config import ModelConfig
from training.mel import LogMel

Augment = Callable[[Float[Tensor, "clip mel melframe"]], Float[Tensor, "clip mel melframe"]]


class AudioEncoder(nn.Module):
    """A compact encoder for clips of any length.

    With so few recordings to learn from, convolutions see more than attention alone. For frames of 40 ms the sequence
    layers run at 80 ms, where they cost half as much, and a skip connection brings back the detail; for frames of
    160 ms everything is two steps coarser in the middle, and the sequence layers' rate is the frames'.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        first, second, third, fourth = config.channels
        self.mel: nn.Module = LogMel(
            sample_rate=config.sample_rate,
            num_mels=config.num_mels,
            fft_samples=config.fft_samples,
            hop_samples=config.mel_hop_samples,
        )
        self.normalize = BatchNorm1d(config.num_mels)
        self.stem = nn.Sequential(  # 20 ms
            nn.Conv2d(1, first, 5, stride=2, padding=2, bias=False), BatchNorm2d(first), nn.ReLU()
        )
        self.is_fine = config.frame_mels == 4  # 40 ms
        self.fine = nn.Sequential(  # 40 ms, then 40 or 80
            ResidualBlock(first, second, stride=(2, 2)),
            ResidualBlock(second, third, stride=(2, 1 if self.is_fine else 2)),
        )
        self.coarse = ResidualBlock(third, fourth, stride=(2, 2))  # 80 or 160 ms
        bands = config.num_mels // 8
        self.fine_out = nn.Linear(third * bands, config.width) if self.is_fine else None
        self.coarse_out = nn.Linear(fourth * (bands // 2), config.width)
        self.layers = nn.ModuleList(
            SequenceLayer(config.width, num_heads=config.num_heads, dropout=config.dropout)
            for _ in range(config.num_layers)
        )
        self.merge = nn.Conv1d(config.width, config.width, 3, padding=1)
        self.dropout = Dropout(config.dropout)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # the faster layout on every device

    def forward(
        self, waveforms: Float[Tensor, "clip sample"], augment: Augment | None = None
    ) -> Float[Tensor, "clip frame width"]:
        """Hidden vectors, one for every frame. The waveform must be whole frames long.

        Args:
            waveforms: mono, at the model's sample rate.
            augment: changes the log-mel spectrogram, in training.
        """
        with torch.autocast(waveforms.device.type, enabled=False):
            mels = self.mel(waveforms)
        mels = mels if augment is None else augment(mels)
        mels = self.normalize(mels - mels.mean(dim=(1, 2), keepdim=True))  # how loud it was recorded says nothing
        image = mels[:, None].contiguous(memory_format=torch.channels_last)
        fine = self.fine(self.stem(image))
        hidden = self.dropout(self.coarse_out(_by_frame(self.coarse(fine))))
        for layer in self.layers:
            hidden = layer(hidden)
        joined = hidden
        if self.fine_out is not None:
            skip = self.dropout(self.fine_out(_by_frame(fine)))
            joined = hidden.repeat_interleave(2, dim=1)[:, : skip.shape[1]] + skip
        refined = functional.gelu(self.merge(joined.transpose(1, 2)).transpose(1, 2))
        summed: Tensor = self.dropout(refined + joined)
        return summed


class Dropout(nn.Module):
    """Dropout whose share is a multiple of 1/256, from one random byte a value.

    torch's own draws 64 bits for each on a CPU, which takes a tenth of a step of this model.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.dropped = round(share * 256)

    def forward(self, values: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """The values, some of them 0 in training, and the others so much larger."""
        if not self.training or not self.dropped:
            return values
        if values.device.type != "cpu":
            return functional.dropout(values, self.dropped / 256)
        words = torch.empty(-(-values.numel() // 8), dtype=torch.int64, device=values.device)
        draws = words.random_(torch.iinfo(torch.int64).min, None).view(torch.uint8)[: values.numel()]
        kept = (draws >= self.dropped).view(values.shape)
        return values * kept * (256 / (256 - self.dropped))


def _by_frame(image: Float[Tensor, "clip channel band frame"]) -> Float[Tensor, "clip frame feature"]:
    return image.permute(0, 3, 1, 2).flatten(2)


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with batch normalisation beside a shortcut; `stride` is (bands, frames)."""

    def __init__(self, inputs: int, outputs: int, *, stride: tuple[int, int]) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.first_norm = BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.second_norm = BatchNorm2d(outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)

    def forward(self, image: Float[Tensor, "clip channel band frame"]) -> Float[Tensor, "clip out newband newframe"]:
        """The image at the block's resolution."""
        hidden = functional.relu(self.first_norm(self.first(image)))
        return functional.relu(self.second_norm(self.second(hidden)) + self.shortcut(image))


class SequenceLayer(nn.Module):
    """Self-attention, a depthwise convolution over time and a feed-forward part, each added to its input.

    The convolution tells near from far, so that no positions need to be learned and clips may have any length.
    """

    def __init__(self, width: int, *, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, num_heads, batch_first=True)
        self.gate = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GLU())
        self.depthwise = nn.Conv1d(width, width, 15, padding=7, groups=width)
        self.mix = nn.Sequential(nn.LayerNorm(width), nn.SiLU(), nn.Linear(width, width))
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 2 * width),
            nn.SiLU(),
            Dropout(dropout),
            nn.Linear(2 * width, width),
        )
        self.dropout = Dropout(dropout)

    def forward(self, hidden: Float[Tensor, "clip frame width"]) -> Float[Tensor, "clip frame width"]:
        """Vectors of the same shape that know of their surroundings."""
        normed = self.attention_norm(hidden)
        attended, _ = self.attention(normed, normed, normed, need_weights=False)
        hidden = hidden + self.dropout(attended)
        swept = self.depthwise(self.gate(hidden).transpose(1, 2)).transpose(1, 2)
        hidden = hidden + self.dropout(self.mix(swept))
        summed: Tensor = hidden + self.dropout(self.feed_forward(hidden))
        return summed
