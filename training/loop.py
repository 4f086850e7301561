"""The training loop. A run of N steps and a run stopped anywhere and continued end in the same weights, bit for bit."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from manifests.errors import FlamError
from manifests.frames import num_frames
from manifests.progress import progress
from manifests.store import DatasetFolder, Render, claim, locked, replacing
from training.checkpoint import ModelCard, save_model
from training.config import TrainConfig
from training.data import PhraseBook, Sampler, SoundscapeSet, batches, fingerprint
from training.detect import Detector
from training.prior import Prior, fit_prior, shares_of_time
from training.sound_kinds import load_kinds
from training.trainer import Trainer
from training.validation import validate

_SAVE_EVERY, _LOG_EVERY = 100, 20  # steps


@dataclass(frozen=True, kw_only=True)
class TrainReport:
    """What a finished run leaves to say."""

    steps: int
    num_parameters: int
    best: dict[str, Any]  # measured on validation data at the step whose weights are kept; may be just that step
    seconds: float  # of training, earlier processes of this run included


def train(
    data: Path, out: Path, config: TrainConfig, *, device: str = "cpu", render: Render | None = None
) -> TrainReport:
    """Train on DATA into RUN, from its last checkpoint if it has one; raises FlamError on what a user can mend.

    Args:
        data: the dataset folder.
        out: the run's folder.
        config: all settings.
        device: as torch names it.
        render: makes the audio of soundscapes that have none on disk.
    """
    folder = DatasetFolder.open(data, render=render)
    source = SoundscapeSet(folder, "train", caption_set=config.caption_set)
    book = PhraseBook(folder.phrases(), source.clusters(), load_kinds(config.model.sound_kinds))
    if not book.clusters:
        raise FlamError(f"{folder.phrases_path} has no phrase for a sound of the train split; run `flam-cli caption`")
    with locked(out, "flam-cli train"):
        settings = {"data": fingerprint(folder, config.caption_set), **config.model_dump(mode="json")}
        claim(out / "config.json", settings, differs="choose another --out, or the options and data it was begun with")
        trainer = Trainer(config, device=device)
        run = _Run(out, folder, trainer, book, source)
        run.restore()
        run.learn()
    return TrainReport(
        steps=trainer.step,
        num_parameters=sum(parameter.numel() for parameter in trainer.model.parameters()),
        best=run.best,
        seconds=run.seconds,
    )


class _Run:
    """A run's folder: its log, its checkpoints, and which step was best so far."""

    def __init__(
        self, out: Path, folder: DatasetFolder, trainer: Trainer, book: PhraseBook, source: SoundscapeSet
    ) -> None:
        self.out, self.folder, self.trainer, self.book, self.source = out, folder, trainer, book, source
        self.shares = shares_of_time(source.rows)
        self.best: dict[str, Any] = {}
        self.seconds = 0.0
        self.last = out / "checkpoints" / "last.safetensors"
        self.log = out / "metrics.jsonl"

    def restore(self) -> None:
        """Go on where the last checkpoint was written; what was logged after it is dropped from the log."""
        if self.last.exists():
            note = self.trainer.restore(self.last)
            self.best, self.seconds = note["best"], note["seconds"]
        rows = self.log.read_text("utf-8").splitlines() if self.log.exists() else []
        with replacing(self.log) as temporary:
            kept = [row for row in rows if row.endswith("}") and json.loads(row)["step"] <= self.trainer.step]
            temporary.write_text("".join(f"{row}\n" for row in kept), "utf-8")

    def learn(self) -> None:
        """Every step that is left; saves now and then, and validates at milestones."""
        config, trainer = self.trainer.config, self.trainer
        if trainer.step == config.steps:  # finished before, or asked for an untrained model
            if not (self.last.exists() and (self.out / "model" / "config.json").exists()):
                self._validate()
                trainer.save(self.last, {"best": self.best, "seconds": self.seconds})
            return
        clock = time.monotonic() - self.seconds
        with progress("training steps", config.steps, done=trainer.step) as advance:
            sampler = _sampler(config, self.source.longest())
            for batch in batches(self.source, self.book, sampler, range(trainer.step, config.steps)):
                losses = trainer.learn(batch)
                elapsed, self.seconds = self.seconds, time.monotonic() - clock
                rate = len(batch.waveforms) / (self.seconds - elapsed)
                advance(note=f"clip {losses['clip_loss']:.2f}, frame {losses['frame_loss']:.4f}, {rate:.0f} clips/s")
                if trainer.step % _LOG_EVERY == 0:
                    self._append({"step": trainer.step, "clips_per_second": round(rate, 1), **losses})
                milestone = trainer.step % config.evaluate_every == 0 or trainer.step == config.steps
                if milestone:
                    self._validate()
                    clock = time.monotonic() - self.seconds
                if milestone or trainer.step % _SAVE_EVERY == 0:
                    trainer.save(self.last, {"best": self.best, "seconds": self.seconds})

    def _validate(self) -> None:
        """Measure the averaged weights; the best so far become the run's model."""
        began = time.monotonic()
        card = ModelCard(
            model=self.trainer.config.model,
            trained_clusters=tuple(self.book.clusters),
            trained_phrases=tuple(sorted({text for texts in self.book.phrases.values() for text in texts})),
            threshold=0.5,
        )
        detector = Detector(self.trainer.average, card, device=str(self.trainer.device))
        found = validate(detector, self.folder, self._prior(detector))
        if found is not None:
            card = card.model_copy(
                update={name: getattr(found, name) for name in asdict(found) if name in ModelCard.model_fields}
            )
            self._append({"step": self.trainer.step, **found.measured()})
        if found is None or found.score() >= self.best.get("score", -1.0):
            measured = {} if found is None else {"score": found.score(), **found.measured()}
            self.best = {"step": self.trainer.step, **measured}
            save_model(self.out, self.trainer.average, card)
            note = {"best": self.best, "seconds": self.seconds}
            self.trainer.save(self.out / "checkpoints" / "best.safetensors", note)
        self.seconds += time.monotonic() - began

    def _prior(self, detector: Detector) -> Prior:
        """How common sounds are, told from their texts."""
        phrases = [(cluster, text) for cluster, texts in self.book.phrases.items() for text in texts]
        vectors = detector.caption_embeddings([text for _, text in phrases])
        return fit_prior(vectors, [cluster for cluster, _ in phrases], self.shares)

    def _append(self, row: dict[str, Any]) -> None:
        try:
            with self.log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise FlamError(f"cannot write {self.log}: {error.strerror}; the last checkpoint is kept") from None


def _sampler(config: TrainConfig, longest: float) -> Sampler:
    duration = min(config.clip_duration, longest)  # shorter soundscapes are not padded to what none of them lasts
    return Sampler(
        batch_size=config.batch_size,
        num_phrases=config.num_phrases,
        # a whole number of frames, for the encoder
        clip_duration=num_frames(duration, config.model.hop) * config.model.hop,
        sample_rate=config.model.sample_rate,
        hop=config.model.hop,
        seed=config.seed,
        mix_share=config.mix_share,
    )
