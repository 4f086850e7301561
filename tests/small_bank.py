"""A small finished bank for tests, written in the bank's own format from sounds made here."""

import dataclasses
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from curation.activity import a_weighted_dbfs, active_stretches
from curation.bank import FORMAT_VERSION, Bank
from curation.loudness import integrated_lufs
from curation.measures import measure_clip
from curation.source_clip import Role, SourceClip
from curation.sources.listing import Reject
from manifests.audio import to_int16
from manifests.store import write_json, write_rows


@dataclass(frozen=True, kw_only=True)
class Sound:
    """A clip of the bank to be."""

    samples: npt.NDArray[np.float64]
    role: Role = "foreground"
    label: str = "beep"
    split: str = "train"
    group: str = ""
    cluster: str = ""
    contains: list[str] = field(default_factory=list)
    content_known: bool = True


def noise(seconds: float, seed: int, *, rate: int = 16000, level: float = 0.1) -> npt.NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0, level, round(seconds * rate))


def tone(seconds: float, hertz: float, *, rate: int = 16000, level: float = 0.5) -> npt.NDArray[np.float64]:
    return level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def default_sounds() -> list[Sound]:
    """Per split two backgrounds, one of them to be looped, and foregrounds of 0.05 to 12 s."""
    sounds = []
    for number, split in enumerate(("train", "valid", "test")):
        sounds += [
            Sound(samples=noise(13, 10 + number), role="background", label="wind", split=split),
            Sound(samples=noise(4, 20 + number), role="background", label="rain", split=split),
        ]
        for place, seconds in enumerate((0.05, 0.3, 1.0, 2.5, 4.0, 12.0)):
            name = ("click", "beep", "horn", "siren", "alarm", "engine")[place]
            sound = tone(seconds, 400 + 37 * place + 11 * number) * (1 + noise(seconds, place))
            if name == "alarm":  # fades by 15 dB a second: where it ends depends on its level
                sound *= 10 ** (-15 / 20 * np.arange(len(sound)) / 16000)
            sounds.append(Sound(samples=sound, label=name, split=split))
        gap = np.concatenate([tone(1, 900), np.zeros(8000), tone(1, 900)])
        sounds.append(Sound(samples=gap, label="knock", split=split))
    return sounds


def write_bank(folder: Path, sounds: list[Sound] | None = None, *, rate: int = 16000) -> Bank:
    """Write a bank of these sounds and open it."""
    clips, data, values, position = [], [], [], 0
    for number, sound in enumerate(default_sounds() if sounds is None else sounds):
        pcm = to_int16(sound.samples)
        measures = measure_clip(pcm / 32768, sound.role, rate)
        clip = _clip(sound, pcm, number=number, position=position, rate=rate)
        clips.append(dataclasses.replace(
            clip, measures_start=sum(map(len, values)),
            measures_sizes=[part.size for part in measures.parts()],
        ))  # fmt: skip
        data.append(pcm)
        values += measures.parts()
        position += len(pcm)
    path = folder / "pcm" / "00000.i16"
    path.parent.mkdir(parents=True)
    np.concatenate(data).astype("<i2").tofile(path)
    (folder / "measures").mkdir()
    np.concatenate(values).astype("<f4").tofile(folder / "measures" / "00000.f32")
    info: dict[str, Any] = {"format_version": FORMAT_VERSION, "sample_rate": rate, "notes": []}
    info["fingerprint"] = hashlib.sha256(np.concatenate(data).tobytes()).hexdigest()
    write_json(folder / "bank.json", info)
    rejects = [Reject(origin="beep/broken.wav", reason="decode_error", detail="cut", bad=True)]
    write_rows(folder / "rejects.parquet", rejects, Reject)
    write_rows(folder / "sources.parquet", clips, SourceClip)
    return Bank.open(folder)


def _clip(sound: Sound, pcm: npt.NDArray[np.int16], *, number: int, position: int, rate: int) -> SourceClip:
    samples = pcm / 32768
    threshold = float(a_weighted_dbfs(samples, rate).max()) - 40
    return SourceClip(
        source_id=f"s{number:03d}",
        role=sound.role,
        label=sound.label,
        cluster=sound.cluster or sound.label,
        contains=sound.contains,
        content_known=sound.content_known,
        group=sound.group or f"group {number}",
        split=sound.split,
        licence=("CC0", "CC-BY")[number % 2],
        author=f"author {number % 3}",
        audioset_id="",
        origin=f"{sound.label}/{number}.wav",
        origin_sample_rate=2 * rate,
        origin_channels=1,
        origin_start=100,
        pcm_shard=0,
        pcm_start=position,
        measures_start=0,
        measures_sizes=[],
        num_samples=len(pcm),
        duration=len(pcm) / rate,
        gain_db=0.0,
        lufs=integrated_lufs(samples, rate),
        activity=active_stretches(samples, rate, threshold_dbfs=threshold),
        warnings=[],
    )
