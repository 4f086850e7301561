"""The real-recordings benchmark: train on 2,000 soundscapes and fresh ones, test on 500 of recordings never trained on.

    python benchmarks/model.py --out runs/benchmark

Makes a 16-kHz bank of the benchmark's recordings, and from it a training set of all labels, one without the ten
held-out labels, and a test set, whose labels are also asked by wordings that no training set has; trains a model on
each training set, and measures both, an untrained model and baselines: every metric with its interval, and the
robustness curves. Prints them as Markdown, as docs/results.md holds them. Continues where it was stopped. The last line
is one JSON object.
"""

import argparse
import csv
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("GOMP_SPINCOUNT", "20000")  # as the command line sets it, before torch is loaded

from curation.bank import build_bank
from curation.caption import caption
from curation.config import Recipe, Shares
from curation.fresh import FreshSoundscapes
from curation.phrases import update_phrases
from curation.runner import available_cores
from curation.simulate import simulate
from evaluation import yamnet
from evaluation.baselines import LabelPrior, measured_beside, stand_ins
from evaluation.evaluate import evaluate, with_curves
from evaluation.results import TITLES, Evaluation, shown
from evaluation.robustness import COLUMNS, curve_rows
from evaluation.scored import soundscapes_digest, split_soundscapes
from manifests.schema import Split
from manifests.store import DatasetFolder, read_json, write_json
from training.config import TrainConfig
from training.detect import Detector
from training.loop import train
from training.sources import Data
from training.text_encoder import frozen_vectors

SHARED = Path(__file__).parents[2] / "shared" / "data"
NUM_TRAIN, NUM_TEST = 2_000, 500
# Soundscapes of validation recordings come on top, a tenth of them all
SPLITS = Shares(train=0.9, valid=0.1)


WORDINGS = Path(__file__).with_name("captions") / "wordings.jsonl"


def main() -> None:
    """Make what is missing, train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for bank, datasets and runs")
    parser.add_argument("--data", type=Path, default=SHARED, help="folder of benchmark.csv")
    parser.add_argument("--steps", type=int, default=TrainConfig().steps)
    parser.add_argument("--num", type=int, default=NUM_TRAIN, help="soundscapes to train on")
    parser.add_argument("--num-test", type=int, default=NUM_TEST)
    options = parser.parse_args()
    out: Path = options.out
    known, held_out = clusters(options.data)
    build_bank([str(options.data / "benchmark.csv")], out / "bank", sample_rate=16_000, workers=available_cores())
    num = round(options.num / SPLITS.train)
    all_labels = dataset(out, "all", Recipe(name="benchmark", split=SPLITS), num=num)
    some_labels = dataset(out, "held-out", Recipe(name="benchmark", split=SPLITS, hold_out=held_out), num=num)
    test = with_unseen_wordings(dataset(out, "test", Recipe(name="benchmark"), num=options.num_test, split="test"))
    settings = TrainConfig(steps=options.steps)
    models = {
        "untrained": measured(out, "untrained", all_labels, test, TrainConfig(steps=0), known),
        "all labels": measured(out, "all", all_labels, test, settings, known),
        "without held-out labels": measured(out, "held-out", some_labels, test, settings, known),
    }
    baselines = measured_baselines(out, all_labels, test, known)
    for line in markdown(models, baselines):
        sys.stdout.write(f"{line}\n")
    results = {name: {key: value for key, value in found.items() if key != "labels"} for name, found in models.items()}
    sys.stdout.write(
        json.dumps({"commit": commit(), "command": sys.argv, "models": results, "baselines": baselines}) + "\n"
    )


def clusters(data: Path) -> tuple[set[str], tuple[str, ...]]:
    """All foreground clusters but those of the labels that the second model must not meet, and these."""
    names = set((data / "benchmark_held_out_labels.txt").read_text("utf-8").split())
    with (data / "benchmark.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["role"] == "foreground"]
    held_out = {row["cluster"] for row in rows if row["label"] in names}
    return {row["cluster"] for row in rows} - held_out, tuple(sorted(held_out))


def dataset(out: Path, name: str, recipe: Recipe, *, num: int, split: Split | None = None) -> DatasetFolder:
    """A captioned dataset. The test set has another seed than the training sets."""
    folder = out / f"data-{name}"
    simulate(out / "bank", folder, recipe=recipe, num=num, seed=1 if split == "test" else 0, split=split)
    caption(folder)
    return DatasetFolder.open(folder)


def with_unseen_wordings(test: DatasetFolder) -> DatasetFolder:
    """The test set with wordings by language models that no training set has, as corrections of its phrase table."""
    clusters = {event.cluster for soundscape in test.soundscapes() for event in soundscape.events}
    path = test.root / "asked.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("cluster", "label", "kind", "text", "keep"))
        for line in WORDINGS.read_text("utf-8").splitlines():
            row = json.loads(line)
            if row["cluster"] in clusters:
                writer.writerows((row["cluster"], "", "phrase", text, "yes") for text in row["asked"])
    update_phrases(test.root, corrections=path)
    return test


def measured(
    out: Path, name: str, data: DatasetFolder, test: DatasetFolder, config: TrainConfig, known: set[str]
) -> dict[str, Any]:
    """Train on `data`, or finish that, and measure on `test`; RUN/measured.json keeps it, every label's values, too."""
    run = out / f"run-{name}"
    report = train(
        [Data(root=data.root, fresh=FreshSoundscapes(data.root))], run, config
    )  # first: a run with other options is refused
    kept = run / "measured.json"
    if (known_before := kept_for(kept, test)) is not None:
        return known_before
    detector = Detector.load(run)
    trained = dataclasses.replace(detector.card.trained(), clusters=known)
    work = run / "evaluations" / "test"
    work.mkdir(parents=True, exist_ok=True)
    result: Evaluation = evaluate(detector, test, trained=trained, caption_set="template", work=work)
    if config.steps:
        result = with_curves(result, detector, test, trained=trained, work=work)
    found = {
        "commit": commit(),
        "minutes": round(report.seconds / 60, 1),
        "best": report.best,
        **result.to_dict(),
        "curve_rows": [list(row) for row in curve_rows(result.robustness)],
    }
    write_json(kept, found)
    return found


def measured_baselines(
    out: Path, data: DatasetFolder, test: DatasetFolder, known: set[str]
) -> dict[str, dict[str, float | None]]:
    """Each by the same metrics; how common labels are is counted in `data`."""
    kept = out / "baselines.json"
    if (known_before := kept_for(kept, test)) is not None:
        return dict(known_before["columns"])
    detector = Detector.load(out / "run-all")
    trained_on = [soundscape for soundscape in data.soundscapes() if soundscape.split == "train"]
    columns = {
        **stand_ins(test, split="test", hop=detector.hop),
        "label prior": LabelPrior(trained_on, data.phrases(), hop=detector.hop),
        "YAMNet": yamnet.Yamnet(frozen_vectors, hop=detector.hop),
    }
    trained = dataclasses.replace(detector.card.trained(), clusters=known)
    found = measured_beside(columns, test, split="test", trained=trained, caption_set="template", limit=None)
    write_json(kept, {"soundscapes": digest_of(test), "columns": found})
    return found


def kept_for(path: Path, test: DatasetFolder) -> dict[str, Any] | None:
    """What was measured before on these very soundscapes. Of another commit it says so; delete it to measure anew."""
    found = read_json(path) if path.exists() else {}
    return found if found.get("soundscapes") == digest_of(test) else None


def digest_of(test: DatasetFolder) -> str:
    """Of the test set's soundscapes."""
    return soundscapes_digest(split_soundscapes(test, "test"))


def commit() -> str:
    """Of the code that runs."""
    return subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()


def markdown(
    models: Mapping[str, Mapping[str, Any]], baselines: Mapping[str, Mapping[str, float | None]]
) -> Iterator[str]:
    """Every metric of all, with intervals of the trained models; then these models' curves."""
    yield from table_lines(
        ("metric", *models, *baselines),
        (
            (
                title,
                *(with_interval(found, name) for found in models.values()),
                *(shown(found.get(name)) for found in baselines.values()),
            )
            for name, title in TITLES.items()
            if any(found.get(name) is not None for found in models.values())
        ),
    )
    for name, found in models.items():
        kept = f"kept step {found['best'].get('step')}, measured at commit {found['commit']}"
        yield from ("", f"{name}: {found['minutes']} minutes of training, {kept}")
    for name, found in models.items():
        strata = [
            (title if not index else "", part["name"], shown(part["auroc"]), str(part["num_labels"]))
            for title, parts in found["strata"].items()
            for index, part in enumerate(parts)
        ]
        yield from ("", f"{name}:", "", *table_lines(("by", "", "AUROC, all frames", "labels"), strata))
        if found["curve_rows"]:
            yield from ("", *table_lines(COLUMNS, found["curve_rows"]))


def with_interval(found: Mapping[str, Any], name: str) -> str:
    """A model's value, and where 95 % of the replicates lie."""
    value, ends = found.get(name), found["intervals"].get(name)
    return shown(value) + (f" ({ends[0]:.3f} to {ends[1]:.3f})" if ends and value is not None else "")


def table_lines(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A Markdown table."""
    for row in (header, ["---"] * len(header), *rows):
        yield "| " + " | ".join(row) + " |"


if __name__ == "__main__":
    main()
