"""`flam-cli demo`: every stage once, on built-in sounds, and what it measured."""

import sys
from pathlib import Path

from rich.console import Console

from curation.bank import build_bank
from curation.caption import caption
from curation.config import load_recipe
from curation.fresh import FreshSoundscapes
from curation.phrases import phrases_by_cluster
from curation.simulate import simulate
from evaluation.evaluate import evaluate
from evaluation.kept import keep
from evaluation.report import write_report
from evaluation.results import evaluation_table
from evaluation.scored import split_soundscapes
from manifests.schema import Soundscape
from manifests.store import DatasetFolder
from training.config import TrainConfig
from training.detect import Detector
from training.loop import train
from training.plots import plot_file
from training.sources import Data

_NUM_SOUNDSCAPES, _STEPS, _BATCH_SIZE, _NUM_PHRASES = 500, 400, 16, 3
_NEXT = """
The same on your own sounds, in folders SOUNDS/foreground/LABEL/* and SOUNDS/background/LABEL/*:
  flam-cli bank SOUNDS --out BANK
  flam-cli simulate --bank BANK --num 2000 --out DATA
  flam-cli caption DATA
  flam-cli train DATA --out RUN
  flam-cli evaluate RUN DATA
  flam-cli detect RUN recording.wav --phrase "a dog barks"
"""


def run(out: Path, *, seed: int, workers: int) -> None:
    """Make OUT/bank, OUT/data, OUT/run and OUT/detections.png, those that are not there yet, and print a summary."""
    say = Console(stderr=True, soft_wrap=True, highlight=False).print
    report = build_bank(["builtin"], out / "bank", sample_rate=16_000, seed=seed, workers=workers)
    say(f"1. Sound bank: {len(report.bank.clips)} sounds of {len(report.counts())} kinds, synthesised")
    recipe = load_recipe("finelap-100k")
    made = simulate(out / "bank", out / "data", recipe=recipe, num=_NUM_SOUNDSCAPES, seed=seed, workers=workers)
    say(f"2. Dataset: {made.num_soundscapes} soundscapes with exact labels")
    captions = caption(out / "data", seed=seed)
    say(f"3. Captions, such as: {captions.examples[0].text}" if captions.examples else "3. Captions: there before")
    say("4. Training")
    config = TrainConfig(seed=seed, steps=_STEPS, batch_size=_BATCH_SIZE, evaluate_every=_STEPS // 2, online=True)
    trained = train([Data(root=out / "data", fresh=FreshSoundscapes(out / "data"))], out / "run", config)
    say(f"   {trained.num_parameters / 1e6:.2f} M parameters, {trained.steps} steps in {trained.seconds:.0f} s")
    say("5. Evaluation on soundscapes whose sounds were never trained on")
    detector, folder = Detector.load(out / "run"), DatasetFolder.open(out / "data")
    work = out / "run" / "evaluations" / "data-test"
    result = evaluate(detector, folder, trained=detector.card.trained(), caption_set="template", work=work)
    keep(work, result, data=folder.root, limit=None)
    page = write_report(work, result, folder)
    Console().print(evaluation_table(result))
    _detect(detector, folder, out / "detections.png")
    sys.stdout.write(f"The worst soundscapes, to look at and listen to: {page}\n")
    sys.stdout.write(_NEXT.replace("flam-cli", sys.argv[0]))


def _detect(detector: Detector, folder: DatasetFolder, picture: Path) -> None:
    """Ask the busiest test soundscape for three sounds that are in it, and draw the answer beside the truth."""
    soundscape = max(split_soundscapes(folder, "test"), key=lambda row: len(_truth(row)))
    truth = _truth(soundscape)
    wordings = phrases_by_cluster(folder.phrases())
    phrases = {cluster: wordings[cluster][-1] for cluster in sorted(truth)[:_NUM_PHRASES]}
    path = folder.audio(soundscape)
    sys.stdout.write(f"Detections in {path}:\n")
    found = detector.detect(path, list(phrases.values()))
    for cluster, phrase in phrases.items():
        heard = ", ".join(_span(d.onset, d.offset) for d in found if d.phrase == phrase) or "not heard"
        there = ", ".join(_span(*span) for span in truth[cluster])
        sys.stdout.write(f"  {phrase}: {heard}  (truth: {there})\n")
    spans = {phrase: truth[cluster] for cluster, phrase in phrases.items()}
    plot_file(picture, detector, path, list(phrases.values()), truth=spans)
    sys.stdout.write(f"Picture: {picture}\n")


def _truth(soundscape: Soundscape) -> dict[str, list[tuple[float, float]]]:
    spans: dict[str, list[tuple[float, float]]] = {}
    for event in soundscape.events:
        spans.setdefault(event.cluster, []).extend((stretch.onset, stretch.offset) for stretch in event.activity)
    return spans


def _span(onset: float, offset: float) -> str:
    return f"{onset:.2f}-{offset:.2f} s"
