"""A stand-in for soxbindings: pysox's `Transformer`, run in this process by cysox's libsox.

Scaper does `import soxbindings as sox` and uses `sox.Transformer`: its effects, `build` and
`build_array`. The effects are pysox's own, which only collect the words of a `sox` command line;
the two `build` methods here run them. Audio goes to libsox and back through temporary files of raw
32-bit integers: libsox's memory streams don't work everywhere, and integers lose nothing.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sox as pysox
from cysox import sox as libsox
from numpy.typing import ArrayLike, NDArray
from sox.core import SoxError

__all__ = ["SoxError", "Transformer"]

PathLike = str | os.PathLike[str]
FULL_SCALE = 2.0**31
INT32 = libsox.EncodingInfo(libsox.ENCODING_TYPES["signed-integer"], 32)
SUPPORTED_OUTPUT = {"rate", "channels", "bits", "append_comments"}


class Transformer(pysox.Transformer):  # type: ignore[misc]
    """pysox's Transformer, without the `sox` program.

    Differences: `build_array` gives float64 of shape (samples, channels), as soxbindings does; of
    the output format, the rate, the channels and the bits can be set; methods that measure or play
    a file (`stat`, `preview`, ...) still look for the `sox` program.
    """

    def build(
        self,
        input_filepath: PathLike | None = None,
        output_filepath: PathLike | None = None,
        input_array: ArrayLike | None = None,
        sample_rate_in: float | None = None,
        extra_args: list[str] | None = None,
    ) -> bool:
        """Run the effects from a file or an array into a file; always True, as pysox has it."""
        if output_filepath is None:
            raise ValueError("output_filepath is not specified!")
        if input_filepath is not None and Path(input_filepath) == Path(output_filepath):
            raise ValueError("input_filepath must be different from output_filepath.")
        self._run(output_filepath, input_filepath, input_array, sample_rate_in, extra_args)
        return True

    def build_array(
        self,
        input_filepath: PathLike | None = None,
        input_array: ArrayLike | None = None,
        sample_rate_in: float | None = None,
        extra_args: list[str] | None = None,
    ) -> NDArray[np.float64]:
        """What the effects make of a file, or of an array of (samples,) or (samples, channels)."""
        with tempfile.TemporaryDirectory(prefix="soxbindings-") as folder:
            raw = Path(folder, "out.s32")
            channels = self._run(raw, input_filepath, input_array, sample_rate_in, extra_args)
            return np.fromfile(raw, np.int32).reshape(-1, channels) / FULL_SCALE

    def _run(
        self,
        output: PathLike,
        input_filepath: PathLike | None,
        input_array: ArrayLike | None,
        sample_rate_in: float | None,
        extra_args: list[str] | None,
    ) -> int:
        """Run the effects from the one input given into a file; the file's number of channels."""
        set_ = {key for key, value in self.output_format.items() if value is not None}
        if refused := sorted(set_ - SUPPORTED_OUTPUT) + sorted(self.input_format):
            raise NotImplementedError(f"soxbindings' stand-in can't set {', '.join(refused)}")
        words = [*self.effects, *(extra_args or [])]
        libsox.init()
        libsox.Globals().verbosity = 0  # else it writes to stderr, of clipping above all
        if input_filepath is not None and input_array is None:
            return _flow(_open(input_filepath), output, words, self.output_format)
        if input_filepath is not None or input_array is None or sample_rate_in is None:
            raise ValueError("Give input_filepath, or input_array and sample_rate_in.")
        samples = np.asarray(input_array, np.float64)
        channels = samples.shape[1] if samples.ndim > 1 else 1
        signal = libsox.SignalInfo(float(sample_rate_in), channels, 32, samples.size)
        with tempfile.TemporaryDirectory(prefix="soxbindings-") as folder:
            raw = Path(folder, "in.s32")
            # Clipped at full scale, as the sox command does: a plain cast would wrap round.
            clipped = np.clip(samples * FULL_SCALE, -FULL_SCALE, FULL_SCALE - 1)
            clipped.astype(np.int32).tofile(raw)
            return _flow(_open(raw, signal), output, words, self.output_format)


def _open(path: PathLike, signal: libsox.SignalInfo | None = None) -> libsox.Format:
    """An audio file to read; with a signal, one of raw 32-bit integers."""
    if not Path(path).exists():
        raise FileNotFoundError(f"{path} does not exist.")
    try:
        if signal is None:
            return libsox.Format(str(path))
        return libsox.Format(str(path), signal, INT32, "s32")
    except (libsox.SoxError, MemoryError) as error:
        raise SoxError(f"{path}: not an audio file that libsox can read ({error})") from error


def _create(path: PathLike, signal: libsox.SignalInfo, source: libsox.Format, bits: int | None) -> libsox.Format:
    """An audio file to write: encoded as asked for, or as `source`, where its format allows it."""
    encoding = libsox.EncodingInfo(INT32.encoding, bits) if bits else source.encoding
    if str(path).endswith(".s32"):
        encoding = INT32
    elif not libsox.format_supports_encoding(str(path), encoding):
        encoding = None
    try:
        return libsox.Format(str(path), signal, encoding, mode="w")
    except libsox.SoxError as error:
        raise SoxError(f"{path}: libsox can't write this file ({error})") from error


def _effects(words: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """The effects of a sox command line, each as its name and its arguments."""
    effect: list[str] = []
    for word in words:
        if effect and libsox.find_effect(word) is not None:
            yield effect[0], effect[1:]
            effect = []
        effect.append(word)
    if effect:
        yield effect[0], effect[1:]


def _flow(source: libsox.Format, output: PathLike, words: Sequence[str], wanted: dict[str, Any]) -> int:
    """Run effects from `source` into the file `output`; the number of channels written.

    As the sox command does: an output whose rate and channels nobody asked for has those of the
    last effect meant to change them, else the input's. (Others, such as pitch and reverb, change
    them only on their way.)
    """
    effects = list(_effects(words))
    came = source.signal
    rate, channels, bits = came.rate, came.channels, wanted.get("bits")
    for name, args in effects:
        if name == "rate":
            rate = float(args[-1])
        elif name == "channels":
            channels = int(args[0])
        elif name == "remix":
            channels = sum(not arg.startswith("-") for arg in args)
    rate, channels = wanted.get("rate") or rate, wanted.get("channels") or channels
    signal = libsox.SignalInfo(float(rate), channels, bits or came.precision)
    with source, _create(output, signal, source, bits) as target:
        # add_effect writes into `now` what the next effect will receive. This must not be the
        # source's own signal, whose length says where reading stops. The goal has the length too,
        # or effects such as pad refuse.
        now = libsox.SignalInfo(came.rate, came.channels, came.precision, came.length)
        goal = libsox.SignalInfo(float(rate), channels, target.signal.precision, came.length)
        chain = libsox.EffectsChain(source.encoding, target.encoding)

        def add(name: str, args: list[Any]) -> None:
            handler = libsox.find_effect(name)
            if handler is None:
                raise SoxError(f"libsox has no effect named {name!r}.")
            effect = libsox.Effect(handler)
            effect.set_options(args)
            chain.add_effect(effect, now, goal)

        try:
            add("input", [source])
            for name, args in effects:
                add(name, args)
            if now.channels != channels:
                add("channels", [str(channels)])
            if now.rate != rate:
                add("rate", [str(rate)])
            add("output", [target])
            chain.flow_effects()
        except libsox.SoxError as error:
            raise SoxError(f"{source.filename}: sox {' '.join(words)}: {error}") from error
    return channels
