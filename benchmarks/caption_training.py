"""Does it matter what a model reads? Trained with labels, with templates, with checked captions and wordings.

    python benchmarks/caption_training.py --out runs/captions

The same soundscapes of the real-recordings benchmark, three times. The model is asked for each test sound by wordings
that none of the three was trained with, and to find recordings by captions in such wordings. No language model is at
hand: a stand-in on loopback answers `flam-cli phrases` and `flam-cli caption` from a list of wordings, with one answer
in six wrong. Continues where it was stopped; finished runs are in captions/runs.jsonl, and are not made again: delete
that file to make all anew. The last line is one JSON object.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
os.environ.setdefault("GOMP_SPINCOUNT", "20000")  # as the command line sets it, before torch is loaded

import numpy as np
from llm_servers import OddServer, completion
from model import NUM_TEST, NUM_TRAIN, SHARED, SPLITS, dataset
from rich.console import Console
from rich.table import Table

from curation.bank import build_bank
from curation.caption import caption
from curation.config import Recipe
from curation.heard import sure_sounds
from curation.llm import Server
from curation.phrases import update_phrases
from curation.phrases_review import sense
from curation.runner import available_cores
from curation.templates import template_caption
from curation.wording import wording
from evaluation.frame_auroc import frame_auroc
from evaluation.queries import split_queries
from evaluation.retrieval import retrieval
from evaluation.scored import ScoredSplit, collect_scores, split_soundscapes
from manifests.audio import Source
from manifests.schema import Caption, Phrase, Soundscape
from manifests.store import DatasetFolder, read_json, read_rows, write_json, write_rows
from training.config import TrainConfig
from training.detect import Detector
from training.loop import train

RUNS = Path(__file__).with_name("captions") / "runs.jsonl"  # what finished runs measured: an hour for three
WORDINGS = Path(__file__).with_name("captions") / "wordings.jsonl"
STYLES = ("sentence", "temporal")
WRONG_SHARE = 1 / 6
# What each model reads: (captions, phrases)
READS = {"labels": "labels", "templates": "template", "stand-in": "stand-in"}


def main() -> None:
    """Make what is missing, train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for bank, datasets and runs")
    parser.add_argument("--data", type=Path, default=SHARED, help="folder of benchmark.csv")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    out: Path = options.out
    build_bank([str(options.data / "benchmark.csv")], out / "bank", sample_rate=16_000, workers=available_cores())
    source = dataset(out, "all", Recipe(name="benchmark", split=SPLITS), num=round(NUM_TRAIN / SPLITS.train))
    test = dataset(out, "test", Recipe(name="benchmark"), num=NUM_TEST, split="test")
    folders = {name: copied(source, out / f"data-{name}") for name in READS}
    with_labels(folders["labels"])
    with_templates(folders["templates"])
    with_stand_in(folders["stand-in"])
    asked = unseen_wordings(test, [folder.phrases() for folder in folders.values()])
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in READS}
    for seed in range(options.seeds):
        for name, folder in folders.items():
            config = TrainConfig(
                steps=options.steps, evaluate_every=options.steps // 2, seed=seed, caption_set=READS[name]
            )
            key = {"reads": name, "seed": seed, "steps": options.steps}
            kept = next((row["measured"] for row in read_runs() if key.items() <= row.items()), None)
            if kept is None:
                kept = measured(folder, out / f"run-{name}-{seed}", config, test, asked)
                with RUNS.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({**key, "measured": kept}) + "\n")
            results[name].append(kept)
            say(f"{name}, seed {seed}: {kept}")
    show(results)
    described = {name: read_text_counts(folder, READS[name]) for name, folder in folders.items()}
    num_asked = sum(map(len, asked.values()))
    say(json.dumps({"command": sys.argv, "wordings_asked": num_asked, "reads": described, "results": results}))


# What the models read


def read_runs() -> list[dict[str, Any]]:
    """Finished runs of any machine; a change of the model or of what it reads makes all of them stale."""
    return [json.loads(line) for line in RUNS.read_text("utf-8").splitlines()] if RUNS.exists() else []


def copied(source: DatasetFolder, target: Path) -> DatasetFolder:
    """The same soundscapes, for other words."""
    if not target.exists():
        shutil.copytree(
            source.root, target, copy_function=os.link, ignore=shutil.ignore_patterns("captions", "phrases*")
        )
    return DatasetFolder.open(target)


def with_labels(folder: DatasetFolder) -> None:
    """Phrases are labels, captions the labels of what is heard."""
    if folder.phrases_path.exists():
        return
    caption(folder.root, limit=1)  # which writes the phrase table
    shutil.rmtree(folder.root / "captions")
    for number, shard in enumerate(folder.soundscape_shards()):
        rows = [labels_of(soundscape) for soundscape in read_rows(shard, Soundscape)]
        write_rows(folder.root / "captions" / "labels" / f"{number:05d}.parquet", rows, Caption)
    write_rows(folder.phrases_path, [row for row in folder.phrases() if row.origin == "label"], Phrase)


def labels_of(soundscape: Soundscape) -> Caption:
    """By onset; of a background alone its label."""
    heard = [wording(sound.label).words for sound in sure_sounds(soundscape)]
    background = [] if soundscape.background is None else [wording(soundscape.background.label).words]
    return Caption(
        soundscape_id=soundscape.soundscape_id,
        style="labels",
        cluster="",
        text=", ".join(heard or background),
        via="template",
        model="",
        prompt_hash="",
        checks=[],
        prompt_tokens=0,
        completion_tokens=0,
        fallback=False,
    )


def with_templates(folder: DatasetFolder) -> None:
    """Phrases and captions by rules."""
    caption(folder.root, styles=STYLES)


def with_stand_in(folder: DatasetFolder) -> None:
    """Phrases and captions by the stand-in, checked."""
    stand_in = StandIn(folder)
    with OddServer(stand_in.answer) as server:
        update_phrases(folder.root, server=Server(model="stand-in", base_url=server.base_url))
        caption(folder.root, via="openai", model="stand-in", base_url=server.base_url, styles=STYLES)


class StandIn:
    """Answers from a list of wordings; what it is asked decides what it says, and which of its answers are wrong."""

    def __init__(self, folder: DatasetFolder) -> None:
        wordings = {row["cluster"]: row["trained"] for row in read_wordings()}
        self.names: dict[str, list[str]] = {}
        for soundscape in folder.soundscapes():
            for event in soundscape.events:
                self.names.setdefault(wording(event.label).words, wordings[event.cluster])
        self.everything = sorted({text for texts in self.names.values() for text in texts})

    def answer(self, body: dict[str, Any]) -> tuple[int, bytes]:
        """As OddServer wants it."""
        messages = body["messages"]
        rng = np.random.default_rng(list(json.dumps(messages).encode()))
        question = json.loads(messages[1]["content"])
        said = self.lists(question) if "label" in question else {"caption": self.caption(question, rng)}
        return 200, completion(json.dumps(said))

    def lists(self, question: dict[str, Any]) -> dict[str, list[str]]:
        """Wordings of a label."""
        return {"synonyms": self.names.get(question["label"], []), "near_misses": [], "parents": []}

    def caption(self, question: dict[str, Any], rng: np.random.Generator) -> str:
        """A sentence, perhaps a wrong one: a sound too few, another one, or two exchanged."""
        sounds = [(self.word(sound["label"], rng), sound["times"]) for sound in question["sounds"]]
        if sounds and rng.random() < WRONG_SHARE:
            place, kind = int(rng.integers(len(sounds))), int(rng.integers(3))
            other = str(rng.choice(self.everything))
            if kind == 0:
                sounds.pop(place)
            elif kind == 1:
                sounds.append((other, [[9.0, 9.5]]))
            else:
                sounds[place] = (other, sounds[place][1])
        return sentence(sounds, question["background"], rng)

    def word(self, label: str, rng: np.random.Generator) -> str:
        """One of what it calls a label."""
        return str(rng.choice(self.names[label]))


def sentence(sounds: Sequence[tuple[str, list[list[float]]]], background: str | None, rng: np.random.Generator) -> str:
    """What is heard, by onset; what starts before all earlier sounds have ended is joined by "and" or "while"."""
    parts, latest = "", -1.0
    for text, times in sounds:
        overlaps = times[0][0] < latest
        if parts:
            parts += str(rng.choice([" and ", " along with "] if overlaps else [", then ", ", followed by "]))
        parts += text
        latest = max(latest, *(offset for _, offset in times))
    where = str(rng.choice(["with {} in the background", "over {}", "against a background of {}"])).format(background)
    if not parts:
        return f"Nothing but {background} can be heard" if background else "It is quiet"
    return f"{parts} {where}" if background and rng.random() < 0.7 else str(rng.choice(["", "there is "])) + parts


def read_wordings() -> Iterator[dict[str, Any]]:
    """Each cluster, what the stand-in calls it, and for those of the test set how people ask for it."""
    for line in WORDINGS.read_text("utf-8").splitlines():
        yield json.loads(line)


def read_text_counts(folder: DatasetFolder, caption_set: str) -> dict[str, int]:
    """How much text there is."""
    captions = list(folder.captions(caption_set))
    return {
        "captions": len(captions),
        "different": len({row.text for row in captions}),
        "fallbacks": sum(row.fallback for row in captions),
        "phrases": len(folder.phrases()),
    }


# What they are asked


def unseen_wordings(test: DatasetFolder, tables: Sequence[Sequence[Phrase]]) -> dict[str, list[str]]:
    """For each cluster of the test set the wordings that no model was trained with, not even in other inflections."""
    trained = {sense(phrase.phrase) for table in tables for phrase in table}
    clusters = {event.cluster for soundscape in test.soundscapes() for event in soundscape.events}
    asked = {row["cluster"]: row["asked"] for row in read_wordings() if row["cluster"] in clusters}
    return {cluster: [text for text in texts if sense(text) not in trained] for cluster, texts in asked.items()}


class InOtherWords:
    """A detector that takes a cluster's label as one of its unseen wordings; every recording is heard once."""

    def __init__(self, detector: Detector, words: Mapping[str, Sequence[str]]) -> None:
        self.hop, self.detector, self.words = detector.hop, detector, words
        self.texts = sorted({text for texts in words.values() for text in texts})
        self.column = {text: index for index, text in enumerate(self.texts)}
        self.turn = 0  # which wording of each cluster is meant
        self.identity = detector.identity
        self._heard: dict[Source, tuple[np.ndarray, np.ndarray]] = {}

    def hear(self, source: Source, phrases: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Scores of the wordings whose turn it is."""
        if source not in self._heard:
            self._heard[source] = self.detector.hear(source, self.texts)
        scores, embedding = self._heard[source]
        columns = [self.column[self.words[phrase][self.turn % len(self.words[phrase])]] for phrase in phrases]
        return scores[:, columns], embedding

    def caption_embeddings(self, captions: Sequence[str]) -> np.ndarray:
        """The detector's own."""
        return self.detector.caption_embeddings(captions)


def measured(
    folder: DatasetFolder, run: Path, config: TrainConfig, test: DatasetFolder, asked: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    """Train, or finish that, and measure; RUN/metrics.json keeps it."""
    kept = run / "metrics.json"
    if kept.exists():
        return dict(read_json(kept))
    train(folder.root, run, config)
    detector = Detector.load(run)
    soundscapes = split_soundscapes(test, "test")
    scored = collect_scores(detector, test, soundscapes)
    result = {f"label_{name}": value for name, value in auroc(scored).items()}
    by_label = {query.phrase: asked[query.cluster] for query in split_queries(soundscapes, test.phrases())}
    listener = InOtherWords(detector, by_label)
    turns = []
    for listener.turn in range(max(map(len, asked.values()))):
        turns.append(auroc(collect_scores(listener, test, soundscapes)))
    result |= {f"unseen_{name}": statistics.fmean(turn[name] for turn in turns) for name in turns[0]}
    for name, texts in test_captions(soundscapes, asked).items():
        embedded = detector.caption_embeddings(texts)
        found = retrieval(scored.embeddings, embedded, clip_of=np.arange(len(texts)), texts=texts)
        for way, ranking in (("text_to_audio", found.text_to_audio), ("audio_to_text", found.audio_to_text)):
            result |= {f"{name}_{way}_{k}": float(hits.mean()) for k, hits in ranking.hits.items()}
    write_json(kept, result)
    return result


def auroc(scored: ScoredSplit) -> dict[str, float]:
    """Macro averages."""
    return {
        "auroc_all": frame_auroc(scored.scores, scored.truth, active_only=False).macro or 0.0,
        "auroc_active": frame_auroc(scored.scores, scored.truth, active_only=True).macro or 0.0,
    }


def test_captions(soundscapes: Sequence[Soundscape], asked: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """A caption of each soundscape in unseen wordings, in none of the trained forms; and by templates."""
    unseen = []
    for number, soundscape in enumerate(soundscapes):
        rng = np.random.default_rng([1, number])
        texts = [str(rng.choice(asked[sound.cluster])) for sound in sure_sounds(soundscape)]
        unseen.append(str(rng.choice([" and ", " after that ", "; "])).join(texts) or "nothing in particular")
    return {"unseen": unseen, "template": [template_caption(soundscape, seed=0) for soundscape in soundscapes]}


# What came of it


def show(results: Mapping[str, Sequence[Mapping[str, float]]]) -> None:
    """Mean and range over seeds."""
    table = Table("measure", *results, title="mean over seeds (lowest to highest)")
    for key in results["labels"][0]:
        found = [[run[key] for run in runs] for runs in results.values()]
        table.add_row(key, *(f"{statistics.fmean(v):.3f} ({min(v):.3f} to {max(v):.3f})" for v in found))
    Console(width=110).print(table)


def say(text: str) -> None:
    """A line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
