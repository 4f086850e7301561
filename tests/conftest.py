"""What several test files start from: small datasets made of tones and noise, and a private place to run in."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from manifests import audio
from manifests.schema import SCHEMA_VERSION, Background, Caption, Event, Phrase, Soundscape, Stretch
from manifests.store import DatasetFolder, write_json, write_rows

if TYPE_CHECKING:
    from training.data import Batch

torch.set_num_threads(1)  # test processes share the cores
os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported: no test asks a hub for anything

TOY_RATE, TOY_DURATION = 16_000, 4.0
TOY_SOUNDS = ("low_tone", "high_tone", "hiss", "warble")


def toy_sound(label: str, rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """One of four kinds that no ear would confuse, never twice the same."""
    t = np.arange(num_samples) / TOY_RATE
    if label == "hiss":
        return 0.1 * rng.standard_normal(num_samples)
    if label == "warble":
        return 0.2 * np.sin(2 * np.pi * 900 * t + 8 * np.sin(2 * np.pi * rng.uniform(6, 9) * t))
    base = {"low_tone": 250.0, "high_tone": 3000.0}[label]
    return 0.2 * np.sin(2 * np.pi * base * rng.uniform(0.95, 1.05) * t + rng.uniform(0, 6))


def toy_event(label: str, onset: float, offset: float, source: str) -> Event:
    return Event(
        label=label, cluster=label, contains=[], onset=onset, offset=offset,
        activity=[Stretch(onset=onset, offset=offset)], start=round(onset * TOY_RATE),
        num_samples=round((offset - onset) * TOY_RATE), source_id=source, source_start=0, origin=f"{source}.wav",
        origin_start=0, target_snr_db=15.0, snr_db=15.0, gain_db=0.0, pitch_semitones=0.0,
        time_stretch=1.0, tilt_db=0.0, fade=0.01, licence="CC0-1.0", author="nobody",
    )  # fmt: skip


def toy_soundscape(index: int, split: str, rng: np.random.Generator) -> tuple[Soundscape, np.ndarray]:
    num_samples = round(TOY_DURATION * TOY_RATE)
    samples = 0.003 * rng.standard_normal(num_samples)
    events = []
    for label in rng.choice(TOY_SOUNDS, size=int(rng.integers(1, 4)), replace=False):
        start = int(rng.integers(0, num_samples * 3 // 4) // 640 * 640)
        length = min(int(rng.integers(8_000, 24_000)) // 640 * 640, num_samples - start)
        samples[start : start + length] += toy_sound(str(label), rng, length)
        span = (start / TOY_RATE, (start + length) / TOY_RATE)
        events.append(toy_event(str(label), *span, source=f"{split}-{label}"))
    background = Background(
        label="quiet", cluster="quiet", contains=[], source_id=f"{split}-quiet", source_start=0, origin="quiet.wav",
        origin_start=0, target_lufs=-50.0, lufs=-50.0, gain_db=0.0, licence="CC0-1.0", author="nobody",
    )  # fmt: skip
    row = Soundscape(
        soundscape_id=f"{index:08d}", split=split, audio_path=f"audio/00000/{index:08d}.wav", duration=TOY_DURATION,
        sample_rate=TOY_RATE, num_samples=num_samples, annotation="closed",
        events=sorted(events, key=lambda event: event.onset), background=background, room=None,
        microphone=None, licences=["CC0-1.0"], seed=0,
        recipe="toy", engine="mix", mix_gain_db=0.0, num_inaudible=0, num_masked=0,
    )  # fmt: skip
    return row, samples


def make_toy_dataset(root: Path, *, train: int, valid: int, test: int) -> DatasetFolder:
    """A dataset folder with every table, as the pipeline would leave it."""
    folder, rng = DatasetFolder(root), np.random.default_rng(0)
    rows = []
    (root / "audio" / "00000").mkdir(parents=True)
    for index, split in enumerate(["train"] * train + ["valid"] * valid + ["test"] * test):
        row, samples = toy_soundscape(index, split, rng)
        audio.write(root / row.audio_path, audio.to_int16(samples.astype(np.float32)), TOY_RATE)
        rows.append(row)
    write_rows(folder.soundscape_shard(0), rows, Soundscape)
    captions = [
        Caption(
            soundscape_id=row.soundscape_id, style="sentence", cluster="",
            text=" then ".join(event.label.replace("_", " ") for event in row.events).capitalize() + ".",
            via="template", model="", prompt_hash="", checks=[], prompt_tokens=0, completion_tokens=0, fallback=False,
        )
        for row in rows
    ]  # fmt: skip
    write_rows(root / "captions" / "template" / "00000.parquet", captions, Caption)
    phrases = [
        Phrase(phrase=phrase, label=label, cluster=label, origin=origin, ancestors=[], near_misses=[])
        for label in TOY_SOUNDS
        for phrase, origin in [
            (label.replace("_", " "), "label"),
            (f"the sound of a {label.replace('_', ' ')}", "template"),
        ]
    ]
    write_rows(folder.phrases_path, phrases, Phrase)
    write_json(folder.info_path, {"schema_version": SCHEMA_VERSION})
    return folder


@pytest.fixture(scope="session")
def toy_dataset(tmp_path_factory: pytest.TempPathFactory) -> DatasetFolder:
    return make_toy_dataset(tmp_path_factory.mktemp("toy") / "data", train=20, valid=8, test=8)


@pytest.fixture(autouse=True)
def _private_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test touches the user's files or finds a key."""
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path_factory.getbasetemp() / "matplotlib"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def cells_of(batch: "Batch") -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What sounds, what is known and what is masked, of every clip, phrase and frame."""
    labels = torch.zeros(len(batch.told), len(batch.phrases), batch.labels.shape[1], dtype=torch.bool)
    masked = torch.zeros_like(labels)
    for (clip, phrase), active, hidden in zip(batch.sounding.tolist(), batch.labels, batch.masked, strict=True):
        labels[clip, phrase], masked[clip, phrase] = active, hidden
    return labels, batch.told[:, :, None] | labels, masked
