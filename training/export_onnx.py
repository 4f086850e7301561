"""A trained model as ONNX files, for programs without torch.

DIR/audio.onnx      waveform and text vectors in, probabilities of every frame and the clip's own vector out
DIR/text.onnx       tokens and kinds of sound of texts in, their vectors as phrases and as captions out
DIR/phrases.json    vectors of phrases that are asked for at once, and the numbers that a caller needs
"""

import dataclasses
import logging
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from manifests.errors import FlamError
from manifests.store import replacing, write_json
from training.audio_encoder import AudioEncoder
from training.detect import Detector
from training.mel import LogMel
from training.text_encoder import TokenWords

_OPSET = 18
_EXAMPLES = ["a dog barks", "rain", "a long siren far away"]


class DftLogMel(nn.Module):
    """LogMel by a convolution with sines and cosines: ONNX has no complex numbers."""

    def __init__(self, mel: LogMel) -> None:
        super().__init__()
        size = mel.fft_samples
        angles = torch.outer(torch.arange(size // 2 + 1).double(), torch.arange(size).double()) * (2 * torch.pi / size)
        waves = torch.cat([angles.cos(), angles.sin()]) * mel.window.double()
        self.register_buffer("waves", waves.float()[:, None])
        self.register_buffer("filters", mel.filters * 1e8)
        self.hop_samples = mel.hop_samples
        self.left = (size - mel.hop_samples) // 2
        self.right = size - mel.hop_samples - self.left

    waves: Tensor
    filters: Tensor

    def forward(self, waveforms: Float[Tensor, "batch sample"]) -> Float[Tensor, "batch mel frame"]:
        """As LogMel's, to rounding."""
        padded = functional.pad(waveforms, (self.left, self.right))
        real, imaginary = functional.conv1d(padded[:, None], self.waves, stride=self.hop_samples).chunk(2, dim=1)
        # The exporter takes so small a floor as 1e-8 for nothing
        return torch.log(self.filters @ (real.square() + imaginary.square()) + 1.0) + math.log(1e-8)


class _Audio(nn.Module):
    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.model, card = detector.model, detector.card
        self.scale, self.bias = card.calibration_scale, card.calibration_bias
        prior = torch.tensor(card.calibration_prior or [0.0] * card.model.embed_dim)
        self.register_buffer("prior", prior)

    prior: Tensor

    def forward(self, waveform: Tensor, texts: Tensor) -> tuple[Tensor, Tensor]:
        frames, clips = self.model.embed_audio(waveform)
        logits = self.model.frame_logits(frames, texts)[0].T
        return torch.sigmoid(logits * self.scale + self.bias + texts @ self.prior), clips[0]


class _Text(nn.Module):
    def __init__(self, detector: Detector, words: TokenWords) -> None:
        super().__init__()
        self.text, self.words, self.trust = detector.model.text, words, detector.trust

    def forward(self, tokens: Tensor, present: Tensor, kinds: Tensor) -> tuple[Tensor, Tensor]:
        words = self.words.embed(tokens, present)
        captions = self.text.united(words, kinds)
        phrases = self.text.united(words, kinds, self.trust(tokens, present)) if self.trust else captions.clone()
        return phrases, captions


def export_onnx(run: Path, out: Path, phrases: Sequence[str]) -> list[Path]:
    """Write a run's model as ONNX files into a folder; returns these. Raises FlamError without the packages for it.

    Args:
        run: a finished run.
        out: folder for the files.
        phrases: whose vectors are written, too, for a caller that has no tokenizer.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise FlamError(
            f"{error.name} is not installed; in flam-cli's folder: pip install --constraint constraints.txt '.[onnx]'"
        ) from None
    detector = Detector.load(run)
    config, words = detector.card.model, detector.model.text.words
    if not isinstance(detector.model.audio, AudioEncoder) or not isinstance(words, TokenWords):
        raise FlamError(f"{run} has a pretrained encoder: only the compact model is exported")
    audio = _Audio(detector).eval()
    vectors = torch.stack(detector.embed_phrases(phrases)) if phrases else torch.zeros(0, config.embed_dim)
    mel = detector.model.audio.mel
    assert isinstance(mel, LogMel)
    detector.model.audio.mel = DftLogMel(mel)
    frames = torch.export.Dim("frames", min=2, max=100_000)
    texts, tokens = torch.export.Dim("texts", min=1), torch.export.Dim("tokens", min=1, max=64)
    example = torch.randn(1, 250 * config.frame_samples), torch.randn(3, config.embed_dim)
    written = [
        _exported(
            audio,
            example,
            out / "audio.onnx",
            inputs=("waveform", "texts"),
            outputs=("probabilities", "clip"),
            shapes=({1: config.frame_samples * frames}, {0: texts}),
        ),
        _exported(
            _Text(detector, words).eval(),
            (*words.prepare(_EXAMPLES), detector.model.text.kinds_of(_EXAMPLES).detach()),
            out / "text.onnx",
            inputs=("tokens", "present", "kinds"),
            outputs=("texts", "captions"),
            shapes=({0: texts, 1: tokens}, {0: texts, 1: tokens}, {0: texts}),
        ),
    ]
    about = {
        "sample_rate": detector.sample_rate,
        "frame_samples": config.frame_samples,
        "window_frames": detector.window_frames,
        "margin_frames": detector.margin_frames,
        "threshold": detector.card.threshold,
        "post_processing": dataclasses.asdict(detector.card.post_processing),
        "phrases": dict(zip(phrases, vectors.tolist(), strict=True)),
    }
    write_json(out / "phrases.json", about)
    return [*written, out / "phrases.json"]


def _exported(
    module: nn.Module,
    example: tuple[Tensor, ...],
    path: Path,
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    shapes: tuple[dict[int, Any], ...],
) -> Path:
    for name in ("onnx_ir", "onnxscript"):  # they tell of every constant that they join
        logging.getLogger(name).setLevel(logging.WARNING)
    with replacing(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's exporter about torch, and of axes that two inputs share
        torch.onnx.export(
            module,
            example,
            temporary,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=shapes,
            opset_version=_OPSET,
            external_data=False,
            dynamo=True,
            verbose=False,
        )
    return path
