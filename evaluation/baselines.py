"""What stands beside a model: stand-ins that know nothing of sounds, and others, measured like any detector."""

import dataclasses
import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from evaluation.evaluate import evaluate
from evaluation.post_processing import PostProcessing
from evaluation.queries import Trained, split_queries
from evaluation.score_folder import ScoreFolder
from evaluation.scored import Detector, split_soundscapes
from manifests import audio
from manifests.audio import Source
from manifests.errors import FlamError
from manifests.schema import Phrase, Soundscape
from manifests.store import DatasetFolder

BASELINES = ("chance", "energy", "label prior", "YAMNet")  # their columns

_RATE = 16_000  # Hz
_FLOOR = 1e-10  # of a frame's power
_QUIETEST_DB = 100.0  # below full scale, at which the energy detector says 0
_DIMENSIONS = 8
_SAME: Float[np.ndarray, " dim"] = np.full(_DIMENSIONS, 1 / np.sqrt(_DIMENSIONS))


class Chance:
    """A random probability for every frame and phrase, always the same for the same recording and phrase."""

    def __init__(self, *, hop: float) -> None:
        self.hop = hop

    @property
    def identity(self) -> str:
        """Of its kind."""
        return "chance"

    def hear(
        self, source: Source, phrases: Sequence[str]
    ) -> tuple[Float[np.ndarray, "frame phrase"], Float[np.ndarray, " dim"]]:
        """Evenly distributed probabilities and a random direction."""
        samples = audio.read(source, _RATE)
        rng = np.random.default_rng(list(hashlib.sha256(samples.tobytes()).digest()))
        num_frames = _num_frames(len(samples), self.hop)
        return rng.random((num_frames, len(phrases)), dtype=np.float32), _unit(rng)

    def caption_embeddings(self, captions: Sequence[str]) -> Float[np.ndarray, "caption dim"]:
        """Random directions."""
        seeds = [list(hashlib.sha256(text.encode("utf-8", "replace")).digest()) for text in captions]
        return np.stack([_unit(np.random.default_rng(seed)) for seed in seeds])


class LabelPrior(Chance):
    """How common each label is in other soundscapes, whatever is heard.

    Args:
        soundscapes: to count in; not those that are measured.
        phrases: of their dataset.
        hop: of the model that it stands beside, in seconds.
    """

    def __init__(self, soundscapes: Sequence[Soundscape], phrases: Sequence[Phrase], *, hop: float) -> None:
        super().__init__(hop=hop)
        total = sum(soundscape.duration for soundscape in soundscapes)
        if not total:
            raise FlamError("no soundscapes to count how common each label is")
        asked = {query.cluster: query.phrase for query in split_queries(soundscapes, phrases)}
        self.shares: dict[str, float] = dict.fromkeys(asked.values(), 0.0)
        for soundscape in soundscapes:
            for event in soundscape.events:
                seconds = sum(stretch.offset - stretch.onset for stretch in event.activity)
                self.shares[asked[event.cluster]] += seconds / total

    @property
    def identity(self) -> str:
        """Of what it counted."""
        return f"prior {sorted(self.shares.items())}"

    def hear(
        self, source: Source, phrases: Sequence[str]
    ) -> tuple[Float[np.ndarray, "frame phrase"], Float[np.ndarray, " dim"]]:
        """The same in every frame; of a phrase that it never counted, 0."""
        num_frames = _num_frames(len(audio.read(source, _RATE)), self.hop)
        shares = np.array([min(self.shares.get(phrase, 0.0), 1.0) for phrase in phrases], dtype=np.float32)
        return np.tile(shares, (num_frames, 1)), _SAME

    def caption_embeddings(self, captions: Sequence[str]) -> Float[np.ndarray, "caption dim"]:
        """The same direction for all."""
        return np.tile(_SAME, (len(captions), 1))


class Energy(Chance):
    """How loud each frame is, for every phrase: hears that something sounds."""

    @property
    def identity(self) -> str:
        """Of its kind."""
        return "energy"

    def hear(
        self, source: Source, phrases: Sequence[str]
    ) -> tuple[Float[np.ndarray, "frame phrase"], Float[np.ndarray, " dim"]]:
        """The frame's level: 1 is full scale, 0 is 100 dB below."""
        samples = audio.read(source, _RATE)
        num_frames, size = _num_frames(len(samples), self.hop), round(self.hop * _RATE)
        padded = np.pad(samples, (0, max(num_frames * size - len(samples), 0)))[: num_frames * size]
        power = np.maximum((padded.reshape(num_frames, size).astype(np.float64) ** 2).mean(axis=1), _FLOOR)
        level = np.clip(1 + 10 * np.log10(power) / _QUIETEST_DB, 0, 1).astype(np.float32)
        return np.tile(level[:, None], (1, len(phrases))), _SAME

    def caption_embeddings(self, captions: Sequence[str]) -> Float[np.ndarray, "caption dim"]:
        """The same direction for all."""
        return np.tile(_SAME, (len(captions), 1))


def stand_ins(folder: DatasetFolder, *, split: str, hop: float) -> dict[str, Detector]:
    """By name, those of a split. The prior is counted in the training soundscapes, or where there are none left out."""
    found: dict[str, Detector] = {"chance": Chance(hop=hop), "energy": Energy(hop=hop)}
    if split != "train" and any(soundscape.split == "train" for soundscape in folder.soundscapes()):
        phrases = folder.phrases() if folder.phrases_path.exists() else []
        found["label prior"] = LabelPrior(split_soundscapes(folder, "train"), phrases, hop=hop)
    return found


def measured_beside(
    columns: Mapping[str, Detector | ScoreFolder],
    folder: DatasetFolder,
    *,
    split: str,
    trained: Trained,
    caption_set: str | None,
    limit: int | None,
) -> dict[str, dict[str, float | None]]:
    """By name, the metrics of stand-ins and other models: those of `evaluate`, without intervals.

    What was chosen on validation data was chosen for the model, and is not applied to them: their F1s are at 0.5, which
    says little of scores that are no probabilities, and `segment_f1_macro_oracle`.
    """
    found = {}
    for name, detector in columns.items():
        with tempfile.TemporaryDirectory() as work:
            result = evaluate(
                detector,
                folder,
                split=split,
                trained=dataclasses.replace(trained, threshold=None, post=PostProcessing()),
                caption_set=caption_set,
                limit=limit,
                work=Path(work),
                num_replicates=0,
            )
            found[name] = {metric: value.value for metric, value in result.metrics.items()}
    return found


def _num_frames(num_samples: int, hop: float) -> int:
    return max(1, int(np.ceil(num_samples / (hop * _RATE) - 1e-6)))


def _unit(rng: np.random.Generator) -> Float[np.ndarray, " dim"]:
    vector = rng.standard_normal(_DIMENSIONS)
    return vector / np.linalg.norm(vector)
