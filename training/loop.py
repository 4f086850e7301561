"""The training loop. A run of N steps and a run stopped anywhere and continued end in the same weights, bit for bit."""

import contextlib
import functools
import itertools
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import torch

from manifests.errors import FlamError
from manifests.progress import progress
from manifests.store import DatasetFolder, claim, locked, replacing
from training import parallel
from training.checkpoint import (
    Checkpoints,
    DamagedError,
    ModelCard,
    device_of,
    digest_of,
    load_card,
    load_model,
    load_tensors,
    save_model,
)
from training.config import LOOSE, TrainConfig
from training.data import batches
from training.detect import Detector
from training.model import FlamModel
from training.model_card import Start, write_card
from training.phrase_book import PhraseBook
from training.pretrained import keep_settings
from training.prior import Prior, coverage, fit_prior, shares_of_time
from training.soundscapes import WeightedSets
from training.sources import Data, open_sources, sampler_of
from training.trainer import Trainer
from training.validation import validate

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_SAVE_EVERY, _LOG_EVERY = 100, 20  # steps
_SAVE_SECONDS = 300.0  # since the last checkpoint, where steps take long


@dataclass(frozen=True, kw_only=True)
class TrainReport:
    """What a finished run leaves to say."""

    steps: int
    num_parameters: int
    best: dict[str, Any]  # measured on validation data at the step whose weights are kept; may be just that step
    seconds: float  # of training, earlier processes of this run included
    is_main: bool = True  # of several processes, the one that speaks for all


def train(
    data: Path | Sequence[Data], out: Path, config: TrainConfig, *, init: Path | None = None, device: str = "cpu"
) -> TrainReport:
    """Train on datasets into RUN, from its last checkpoint if it has one; raises FlamError on what a user can mend.

    Args:
        data: the datasets, or the folder of one, heard as it is. The first that has validation soundscapes is
            validated on.
        out: the run's folder.
        config: all settings; with `init`, those of that run's model, of which `LOOSE` ones may differ.
        init: a run whose model it begins with.
        device: as torch names it.
    """
    datasets = [Data(root=data)] if isinstance(data, Path) else data
    if DatasetFolder(out).info_path.exists():
        raise FlamError(f"{out} is a dataset; choose another --out")
    if config.tensorboard:
        _summary_writer()  # or its absence would be told after the first steps
    sources, book = open_sources(datasets, config)
    said = list(_heard_on(datasets, sources, config))
    config = config.model_copy(update={"online": any(one.fresh for one in sources.sets)})
    start, before = _start(init, config) if init is not None else (None, None)
    device = parallel.device_name(device)
    with contextlib.ExitStack() as stack:
        parallel.begin(device_of(device))
        stack.callback(parallel.end)
        if config.batch_size < parallel.world():
            raise FlamError(f"{parallel.world()} processes share {config.batch_size} clips a step; raise --batch-size")
        is_main = not parallel.rank()
        checkpoints = Checkpoints(out / "checkpoints", keep=config.keep_last)
        if is_main:
            stack.enter_context(locked(out, "flam-cli train"))
            for line in [*checkpoints.mend(), *said]:
                sys.stderr.write(f"flam-cli: {line}\n")
        there = is_main and checkpoints.last() is not None
        begun_before = bool(parallel.total(torch.tensor(float(there), device=device_of(device))))  # and all wait for it
        anew = [source.fresh is not None for source in sources.sets]
        begun = {
            "data": _identity(datasets, sources),
            "anew": anew,
            "init": None if start is None else digest_of(start),
        }
        if is_main and begun_before:
            _claim(out, begun, config)
        rows = pa.concat_tables([source.rows for source in sources.sets])
        trainer = Trainer(
            config,
            device=device,
            coverage=coverage(rows),
            start=start,
            folder=out / "model" if begun_before else init and init / "model",
        )
        del start
        if is_main and not begun_before:
            if not (out / "model" / "config.json").exists():
                (out / "config.json").unlink(missing_ok=True)  # nothing was learned with its settings
            _claim(out, begun, config)  # once it is known that there is such a model
            keep_settings(trainer.model, out / "model")
        run = _Run(out, trainer, book, sources, checkpoints, before)
        run.restore(begun_before=begun_before)
        run.learn()
    return TrainReport(
        steps=trainer.step,
        num_parameters=sum(parameter.numel() for parameter in trainer.model.parameters()),
        best=run.best,
        seconds=run.seconds,
        is_main=is_main,
    )


def _start(init: Path, config: TrainConfig) -> tuple[FlamModel, Start]:
    """The model that a run begins with."""
    start, card = load_model(init)
    if any(getattr(start.config, name) != value for name, value in config.model if name not in LOOSE):
        raise FlamError(f"{init} holds a model of other settings than the recipe's [model]; leave these out")
    return start, Start.of(init, card)


def _heard_on(datasets: Sequence[Data], sources: WeightedSets, config: TrainConfig) -> Iterator[str]:
    """What is heard after the first epoch, where there is more than one and it is not what one would think."""
    online, some = config.online, any(source.fresh for source in sources.sets)
    more = sources.heard_out(config.steps * config.batch_size)
    for data, source in itertools.compress(zip(datasets, sources.sets, strict=True), more):
        again = f"{data.root}: its own soundscapes are heard again each epoch"
        if source.fresh and online is None:
            yield f"{data.root}: after its own soundscapes, fresh ones of its recipe (--no-online: its own again)"
        elif data.fresh and source.fresh is None and online is None:
            yield f"{again}, for templates would describe fresh ones, not {source.caption_set!r}"
        elif source.fresh is None and some:
            yield again


def _claim(out: Path, begun: Mapping[str, Any], config: TrainConfig) -> None:
    settings = {**begun, **config.model_dump(mode="json")}
    claim(out / "config.json", settings, differs="choose another --out, or the options and data it was begun with")


def _identity(datasets: Sequence[Data], sources: WeightedSets) -> str | list[str]:
    """What was learned from: another dataset must not continue a run."""
    prints = [source.fingerprint() for source in sources.sets]
    if len(prints) == 1:
        return prints[0]
    return [f"{one} * {data.weight:g}" for one, data in zip(prints, datasets, strict=True)]


def read_log(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics.jsonl; a line that is no row, as of a write that was cut, is left out."""
    rows = []
    for line in path.read_text("utf-8", errors="replace").splitlines() if path.exists() else []:
        with contextlib.suppress(ValueError):
            row = json.loads(line)
            if isinstance(row, dict) and isinstance(row.get("step"), int):
                rows.append(row)
    return rows


class _Run:
    """A run's folder: its log, its checkpoints, and which step was best so far. Of several processes, 0 writes."""

    def __init__(
        self,
        out: Path,
        trainer: Trainer,
        book: PhraseBook,
        sources: WeightedSets,
        checkpoints: Checkpoints,
        start: Start | None,
    ) -> None:
        self.out, self.trainer, self.book, self.sources = out, trainer, book, sources
        self.checkpoints, self.start = checkpoints, start
        self.shares = shares_of_time(pa.concat_tables([source.rows for source in sources.sets]))
        self.best: dict[str, Any] = {}
        self.worse = 0  # validations since the best
        self.seconds = 0.0
        self.begun, self.resumed = False, 0  # whether an earlier process did, and the step at which this one went on
        self.log = out / "metrics.jsonl"

    def restore(self, *, begun_before: bool) -> None:
        """Go on where the last checkpoint was written; what was logged after it is dropped from the log."""
        self.begun = begun_before
        if begun_before:
            self._load()
        self.resumed = self.trainer.step
        if parallel.rank():
            return
        with replacing(self.log) as temporary:
            kept = [row for row in read_log(self.log) if row["step"] <= self.trainer.step]
            temporary.write_text("".join(f"{json.dumps(row)}\n" for row in kept), "utf-8")

    def _load(self) -> None:
        if (last := self.checkpoints.last()) is not None:
            note = self.trainer.restore(last)
            self.best, self.worse, self.seconds = note["best"], note["worse"], note["seconds"]

    def learn(self) -> None:
        """Every step that is left; saves now and then, and validates at milestones."""
        config, trainer = self.trainer.config, self.trainer
        if self._is_over():  # finished before, or asked for an untrained model
            if not self.begun:
                self._validate()
                self._save()
            self._keep_model()
            return
        sampler = sampler_of(config, self.sources.longest(), trainer.model.longest)
        steps = range(trainer.step, config.steps)
        waiting = batches(self.sources, self.book, sampler, steps, rank=parallel.rank(), world=parallel.world())
        saved, clock = time.monotonic(), time.monotonic() - self.seconds
        pace = _Pace(config.batch_size)
        shown = progress("training steps", config.steps, done=trainer.step, shown=not parallel.rank())
        with shown as advance, contextlib.closing(waiting):
            while not self._is_over():
                asked = time.monotonic()
                batch = next(waiting)
                waited = time.monotonic() - asked
                losses = trainer.learn(batch)
                elapsed, self.seconds = self.seconds, time.monotonic() - clock
                pace.add(self.seconds - elapsed, waited)
                values = ", ".join(f"{name.removesuffix('_loss')} {value:.3g}" for name, value in losses.items())
                advance(note=f"{pace.rate:.0f} clips/s, {pace.wait:.0%} waiting for data, {values}")
                if trainer.step % _LOG_EVERY == 0 or trainer.step == config.steps:
                    self._append({"step": trainer.step, **pace.row(), **losses})
                    pace = _Pace(config.batch_size)
                milestone = trainer.step % config.evaluate_every == 0 or trainer.step == config.steps
                if milestone:
                    advance(count=0, note="hears the validation soundscapes")
                    self._validate()
                    clock = time.monotonic() - self.seconds
                if milestone or trainer.step % _SAVE_EVERY == 0 or time.monotonic() - saved > _SAVE_SECONDS:
                    self._save()
                    saved = time.monotonic()
        self._keep_model()

    def _keep_model(self) -> None:
        """Write RUN/model anew if a part of it was removed or damaged since the best step."""
        if parallel.rank() or self._has_model():
            return
        if self.checkpoints.best.exists():
            with contextlib.suppress(DamagedError):
                self.trainer.restore(self.checkpoints.best)
        self.best = {}
        self._measure()
        self._load()

    def _has_model(self) -> bool:
        try:
            load_card(self.out)
            load_tensors(self.out / "model" / "weights.safetensors")  # the header: their values stay on the disk
        except FlamError:
            return False
        return True

    def _is_over(self) -> bool:
        """Whether all steps are done, or as many validations as `patience` says were no better than the best."""
        config = self.trainer.config
        return self.trainer.step >= config.steps or (config.patience is not None and self.worse >= config.patience)

    def _save(self) -> None:
        if not parallel.rank():
            self._write(self.checkpoints.next(self.trainer.step))
            self.checkpoints.tidy()

    def _write(self, path: Path) -> None:
        self.trainer.save(path, {"best": self.best, "worse": self.worse, "seconds": self.seconds})

    def _validate(self) -> None:
        """Measure the averaged weights; the best so far become the run's model."""
        began = time.monotonic()
        if not parallel.rank() and (measured := self._measure()):
            self._append({"step": self.trainer.step, **measured})
        self.worse = int(
            parallel.total(torch.tensor(0 if parallel.rank() else self.worse, device=self.trainer.device))
        )  # and all wait for it
        self.seconds += time.monotonic() - began

    def _measure(self) -> dict[str, Any]:
        """What was measured; the model is written if it is the best so far."""
        known = self.start and self.start.card
        learned = {text for texts in self.book.phrases.values() for text in texts}
        card = ModelCard(
            model=self.trainer.config.model,
            trained_clusters=tuple(sorted({*self.book.clusters, *(known.trained_clusters if known else ())})),
            trained_phrases=tuple(sorted({*learned, *(known.trained_phrases if known else ())})),
            threshold=0.5,
            word_trust=self.trainer.config.word_trust,
        )
        detector = Detector(self.trainer.average, card, device=str(self.trainer.device))
        prior = self._prior(detector)
        measured = (validate(detector, source.folder, prior) for source in self.sources.sets)
        found = next((one for one in measured if one is not None), None)
        if found is not None:
            card = card.model_copy(
                update={name: getattr(found, name) for name in asdict(found) if name in ModelCard.model_fields}
            )
        values = {} if found is None else found.measured()
        score = None if found is None else found.score()
        self.worse += 1
        best = self.best.get("score", -1.0)
        if score is None or score > best:
            self.worse = 0
        if score is None or score >= best:  # of equals the last, which learned longest
            self.best = {"step": self.trainer.step, **({} if score is None else {"score": score}), **values}
            write_card(self.out / "model", card, self.trainer.config, self.sources, self.best, self.start)
            save_model(self.out, self.trainer.average, card)
            self._write(self.checkpoints.best)
        return values

    def _prior(self, detector: Detector) -> Prior | None:
        """How common sounds are, told from their texts; None if no soundscape tells."""
        known = [cluster for cluster in self.book.clusters if cluster in self.shares]
        phrases = [(cluster, text) for cluster in known for text in self.book.phrases[cluster]]
        if not phrases:
            return None
        vectors = detector.caption_embeddings([text for _, text in phrases])
        return fit_prior(vectors, [cluster for cluster, _ in phrases], self.shares)

    def _append(self, row: dict[str, Any]) -> None:
        if parallel.rank():
            return
        try:
            if self.trainer.config.tensorboard:
                self._board(row)
            with self.log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise FlamError(f"cannot write {self.log}: {error.strerror}; the last checkpoint is kept") from None

    @functools.cached_property
    def _writer(self) -> "SummaryWriter":
        """Of this process: what an earlier one wrote of steps that come again is dropped."""
        return _summary_writer()(self.out / "tensorboard", purge_step=self.resumed + 1)

    def _board(self, row: Mapping[str, Any]) -> None:
        for name, value in row.items():
            if name != "step" and isinstance(value, float | int):
                self._writer.add_scalar(name, value, row["step"])
        self._writer.flush()


class _Pace:
    """How fast the steps since the last row of the log were."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size, self.steps, self.seconds, self.waited = batch_size, 0, 0.0, 0.0

    def add(self, seconds: float, waited: float) -> None:
        """A step that took so long, of which it waited for its data so long."""
        self.steps, self.seconds, self.waited = self.steps + 1, self.seconds + seconds, self.waited + waited

    @property
    def rate(self) -> float:
        """Clips a second."""
        return self.batch_size * self.steps / self.seconds

    @property
    def wait(self) -> float:
        """The share of the time in which the steps waited."""
        return self.waited / self.seconds

    def row(self) -> dict[str, float]:
        """For metrics.jsonl."""
        return {"clips_per_second": round(self.rate, 1), "data_wait": round(self.wait, 3)}


def _summary_writer() -> "type[SummaryWriter]":
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise FlamError(
            "tensorboard is not installed: pip install tensorboard, or leave tensorboard = true out"
        ) from None
    return SummaryWriter
