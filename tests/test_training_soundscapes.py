"""Where training soundscapes come from: several datasets, and fresh ones."""

import dataclasses
import itertools
import json
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import cells_of, make_toy_dataset
from small_bank import default_sounds, write_bank
from test_training_data import KINDS, SAMPLER

from curation.caption import caption
from curation.config import Recipe
from curation.fresh import FreshSoundscapes
from curation.simulate import simulate
from curation.templates import template_caption
from manifests.captions import caption_shards
from manifests.errors import FlamError
from manifests.schema import Caption, Phrase
from manifests.store import DatasetFolder, read_rows, write_rows
from training import loop, trainer
from training.checkpoint import ModelCard
from training.config import ModelConfig, TrainConfig
from training.data import Batch, make_batch
from training.loop import train
from training.model_card import write_card
from training.objective import Part
from training.phrase_book import PhraseBook
from training.soundscapes import SoundscapeSet, WeightedSets
from training.sources import Data


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fresh")
    write_bank(root / "bank", default_sounds())
    simulate(root / "bank", root / "data", recipe=Recipe(name="small", duration=2.0), num=30, seed=3, workers=1)
    caption(root / "data")
    return root / "data"


def test_after_the_first_epoch_every_soundscape_is_one_that_was_never_heard(simulated: Path) -> None:
    fresh = FreshSoundscapes(simulated)
    source = SoundscapeSet(DatasetFolder(simulated), "train", caption_set="template", fresh=fresh)
    size = len(source)
    items = source.items(range(3 * size), seed=1)
    rows = {row.soundscape_id: row for row in DatasetFolder(simulated).soundscapes()}
    assert {item.row.soundscape_id for item in items[:size]} == {
        name for name, row in rows.items() if row.split == "train"
    }
    later = [item.row.soundscape_id for item in items[size:]]
    assert len(set(later)) == 2 * size
    assert not set(later) & rows.keys()
    again = source.items([2 * size + 1], seed=1)[0]
    assert again.row == items[2 * size + 1].row
    np.testing.assert_array_equal(again.audio().samples, items[2 * size + 1].audio().samples)


def test_a_fresh_soundscape_has_training_sounds_only_and_says_what_they_are(simulated: Path) -> None:
    used = {
        event.source_id
        for row in DatasetFolder(simulated).soundscapes()
        if row.split != "train"
        for event in row.events
    }
    fresh = FreshSoundscapes(simulated)
    for number in range(30, 60):
        row, recording, captions = fresh(number)
        assert row.split == "train"
        assert not {event.source_id for event in row.events} & used
        assert len(recording().samples) == row.num_samples
        assert len(captions) == 1


def test_fresh_soundscapes_are_those_that_a_larger_dataset_would_hold(simulated: Path, tmp_path: Path) -> None:
    simulate(
        simulated.parent / "bank",
        tmp_path / "data",
        recipe=Recipe(name="small", duration=2.0),
        num=45,
        seed=3,
        workers=1,
        split="train",
    )
    larger = {row.soundscape_id: row for row in DatasetFolder(tmp_path / "data").soundscapes()}
    row, _, _ = FreshSoundscapes(simulated)(40)
    assert row.events == larger[row.soundscape_id].events
    assert row.background == larger[row.soundscape_id].background


def test_an_imported_set_cannot_be_made_anew(tmp_path: Path) -> None:
    folder = make_toy_dataset(tmp_path / "data", train=4, valid=0, test=0)
    from test_training_loop import SHORT

    with pytest.raises(FlamError, match="cannot be made anew"):
        train([Data(root=folder.root)], tmp_path / "run", SHORT.model_copy(update={"online": True}))


@pytest.mark.parametrize("annotation", ["open", "none"])
def test_sets_that_never_say_what_does_not_sound_are_refused(annotation: str, tmp_path: Path) -> None:
    """A model that learned of them alone would say yes to everything."""
    from test_training_loop import SHORT

    folders = [make_toy_dataset(tmp_path / name, train=4, valid=0, test=0) for name in ("one", "two")]
    for folder in folders:
        rows = [dataclasses.replace(row, annotation=annotation) for row in folder.soundscapes()]
        write_rows(folder.soundscape_shard(0), rows, type(rows[0]))
    both = [Data(root=folder.root) for folder in folders]
    with pytest.raises(FlamError, match=r"one: no train soundscape is annotated in full, .* --annotation closed"):
        train(both, tmp_path / "run", SHORT)
    train(both, tmp_path / "clips", SHORT.model_copy(update={"frame_weight": 0.0, "kind_weight": 0.0}))
    train(
        [*both, Data(root=make_toy_dataset(tmp_path / "third", train=4, valid=0, test=0).root)], tmp_path / "run", SHORT
    )


def test_an_endless_run_beside_a_set_that_is_not_made_anew_goes_on_bit_for_bit(
    simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed in the second epoch, whose soundscapes are fresh."""
    from test_training_loop import SHORT, same, weights

    heard: list[str] = []
    real, killed = loop.Trainer.learn, []

    def learn(self: loop.Trainer, batch: Batch) -> dict[str, float]:
        if killed and self.step == killed[0]:
            raise KeyboardInterrupt
        heard.extend(batch.soundscape_ids)
        return real(self, batch)

    monkeypatch.setattr(loop.Trainer, "learn", learn)
    monkeypatch.setattr(loop, "_SAVE_EVERY", 1)
    real_set = make_toy_dataset(tmp_path / "real", train=6, valid=0, test=0).root
    both = [Data(root=simulated, weight=3.0, fresh=FreshSoundscapes(simulated)), Data(root=real_set)]
    config = SHORT.model_copy(update={"online": True, "steps": 12, "evaluate_every": 12})
    train(both, tmp_path / "whole", config)
    assert capsys.readouterr().err.count(f"{real_set}: its own soundscapes are heard again each epoch") == 1
    there = {row.soundscape_id for row in DatasetFolder(simulated).soundscapes()}
    simulated_ones = {name.removeprefix("data/") for name in heard if name.startswith("data/")}
    assert simulated_ones & there
    assert simulated_ones - there
    assert any(name.startswith("real/") for name in heard)
    killed.append(10)
    with pytest.raises(KeyboardInterrupt):
        train(both, tmp_path / "cut", config)
    killed.clear()
    train(both, tmp_path / "cut", config)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))
    told = json.loads((tmp_path / "whole" / "model" / "training.json").read_text("utf-8"))
    assert told["data"][0]["dataset"]["recipe"]["name"] == "small"


def test_fresh_soundscapes_are_heard_where_they_can_be_unless_one_says_no(
    simulated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from test_training_loop import SHORT

    heard: list[int] = []

    def fresh(number: int, styles: Sequence[str]) -> Any:
        heard.append(number)
        return FreshSoundscapes(simulated)(number, styles)

    data = [Data(root=simulated, fresh=fresh)]
    train(data, tmp_path / "anew", SHORT.model_copy(update={"steps": 10, "evaluate_every": 10}))
    assert min(heard) == 30  # the first number that the dataset does not hold
    assert capsys.readouterr().err.count(f"{simulated}: after its own soundscapes, fresh ones of its recipe") == 1
    assert json.loads((tmp_path / "anew" / "config.json").read_text("utf-8"))["online"] is True
    assert "then fresh ones of its recipe" in (tmp_path / "anew" / "model" / "README.md").read_text("utf-8")
    train(data, tmp_path / "short", SHORT.model_copy(update={"steps": 4}))
    assert not capsys.readouterr().err.count("fresh")  # it ends before any of them
    assert "fresh" not in (tmp_path / "short" / "model" / "README.md").read_text("utf-8")
    heard.clear()
    train(data, tmp_path / "again", SHORT.model_copy(update={"steps": 10, "online": False}))
    assert not heard
    assert "fresh" not in capsys.readouterr().err
    assert json.loads((tmp_path / "again" / "config.json").read_text("utf-8"))["online"] is False


def test_a_run_that_began_with_fresh_soundscapes_does_not_go_on_without_them(simulated: Path, tmp_path: Path) -> None:
    from test_training_loop import SHORT

    able = Data(root=simulated, fresh=FreshSoundscapes(simulated))
    train([able], tmp_path / "run", SHORT)
    with pytest.raises(FlamError, match=r"anew = \[true\], not \[false\]"):
        train([Data(root=simulated)], tmp_path / "run", SHORT)
    train([able, dataclasses.replace(able, weight=2.0)], tmp_path / "two", SHORT)
    with pytest.raises(FlamError, match=r"anew = \[true, true\], not \[true, false\]"):
        train([able, Data(root=simulated, weight=2.0)], tmp_path / "two", SHORT)


def test_fresh_soundscapes_are_described_in_the_styles_that_the_dataset_is(simulated: Path, tmp_path: Path) -> None:
    from test_training_loop import SHORT

    shutil.copytree(simulated, tmp_path / "data")
    shutil.rmtree(tmp_path / "data" / "captions")
    caption(tmp_path / "data", styles=["terse", "counts"])
    asked: list[Sequence[str]] = []

    def fresh(number: int, styles: Sequence[str]) -> Any:
        asked.append(styles)
        return FreshSoundscapes(simulated)(number, styles)

    data, config = [Data(root=tmp_path / "data", fresh=fresh)], SHORT.model_copy(update={"steps": 10})
    train(data, tmp_path / "run", config)
    train(data, tmp_path / "one", config.model_copy(update={"caption_set": "template/terse"}))
    assert {tuple(styles) for styles in asked} == {("counts", "terse"), ("terse",)}
    row, _, texts = FreshSoundscapes(simulated)(40, ["counts", "terse"])
    assert texts == [template_caption(row, seed=0, style=style) for style in ("counts", "terse")]


def test_where_captions_are_not_of_templates_soundscapes_are_heard_again(
    simulated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from test_training_loop import SHORT

    shutil.copytree(simulated, tmp_path / "data")
    folder = DatasetFolder(tmp_path / "data")
    shutil.move(folder.root / "captions" / "template", folder.root / "captions" / "qwen3")
    data = Data(root=folder.root, fresh=lambda number, _: pytest.fail(f"{number} was made"))
    train([data], tmp_path / "run", SHORT.model_copy(update={"steps": 10}))
    assert "templates would describe fresh ones, not 'qwen3'" in capsys.readouterr().err
    with pytest.raises(FlamError, match="described by templates, not as 'qwen3'"):
        train([data], tmp_path / "asked", SHORT.model_copy(update={"online": True}))


def sets(tmp_path: Path, *sizes: int) -> list[SoundscapeSet]:
    return [
        SoundscapeSet(
            make_toy_dataset(tmp_path / f"data-{place}", train=size, valid=0, test=0), "train", caption_set="template"
        )
        for place, size in enumerate(sizes)
    ]


def test_each_dataset_has_its_share_and_every_soundscape_its_turn(tmp_path: Path) -> None:
    sources = WeightedSets(sets=sets(tmp_path, 3, 20), weights=[3.0, 1.0])
    found = sources.items(0, 2000, 5)
    assert Counter(dataset for dataset, _ in found) == {0: 1500, 1: 500}
    for dataset, (size, turns) in enumerate([(3, 1500), (20, 500)]):
        counts = Counter(item.row.soundscape_id for of, item in found if of == dataset)
        assert len(counts) == size
        assert max(counts.values()) - min(counts.values()) <= 1
        assert sum(counts.values()) == turns
    first = [item.row.soundscape_id for of, item in found if of == 1][:20]
    assert len(set(first)) == 20  # an epoch of the smaller share


def test_a_dataset_is_heard_out_when_its_own_share_of_clips_is_more_than_it_holds(tmp_path: Path) -> None:
    sources = WeightedSets(sets=sets(tmp_path, 3, 20), weights=[3.0, 1.0])
    assert sources.heard_out(4) == [False, False]
    assert sources.heard_out(5) == [True, False]
    assert sources.heard_out(80) == [True, False]
    assert sources.heard_out(81) == [True, True]


@pytest.mark.parametrize(("step", "told"), [(5, False), (6, True)])
def test_a_card_tells_of_fresh_soundscapes_if_its_step_had_heard_any(step: int, told: bool, tmp_path: Path) -> None:
    (own,) = sets(tmp_path, 20)
    source = SoundscapeSet(own.folder, "train", caption_set="template", fresh=lambda _: pytest.fail("made"))
    card = ModelCard(model=ModelConfig(text="hash"), trained_clusters=(), threshold=0.5)
    config = TrainConfig(model=card.model, steps=100, batch_size=4)
    write_card(tmp_path, card, config, WeightedSets(sets=[source], weights=[1.0]), {"step": step})
    assert ("then fresh ones" in (tmp_path / "README.md").read_text("utf-8")) is told


def test_what_comes_next_does_not_depend_on_where_one_begins(tmp_path: Path) -> None:
    sources = WeightedSets(sets=sets(tmp_path, 3, 7), weights=[1.0, 2.0])
    whole = [(of, item.row.soundscape_id) for of, item in sources.items(0, 1100, 5)]
    parts = [
        (of, item.row.soundscape_id)
        for first in range(0, 1100, 37)
        for of, item in sources.items(first, min(first + 37, 1100), 5)
    ]
    assert parts == whole
    assert whole != [(of, item.row.soundscape_id) for of, item in sources.items(0, 1100, 6)]


def test_a_dataset_tells_of_no_sound_that_it_has_no_label_for(tmp_path: Path) -> None:
    both = sets(tmp_path, 8, 8)
    narrow = both[1].folder
    write_rows(narrow.phrases_path, [row for row in narrow.phrases() if row.cluster != "hiss"], Phrase)
    rows = [
        dataclasses.replace(row, events=[event for event in row.events if event.cluster != "hiss"])
        for row in narrow.soundscapes()
    ]
    write_rows(narrow.soundscape_shard(0), rows, type(rows[0]))
    sources = WeightedSets(
        sets=[SoundscapeSet(source.folder, "train", caption_set="template") for source in both], weights=[1.0, 1.0]
    )
    book = PhraseBook([source.folder.phrases() for source in sources.sets], sources.clusters(), KINDS)
    batch = make_batch(sources, book, dataclasses.replace(SAMPLER, batch_size=12), 0)
    _, known, _ = cells_of(batch)
    datasets = [dataset for dataset, _ in sources.items(0, 12, SAMPLER.seed)]
    hiss = next(k for k, phrase in enumerate(batch.phrases) if phrase in book.phrases["hiss"])
    assert set(datasets) == {0, 1}
    for i, dataset in enumerate(datasets):
        assert bool(known[i, hiss].all()) == (dataset == 0)
        assert bool(batch.kind_known[i, KINDS.names.index("noise")].all()) == (dataset == 0)
        others = [k for k in range(len(batch.phrases)) if k != hiss]
        assert known[i, others].all()


def test_a_set_that_nobody_described_teaches_sounds_alone(tmp_path: Path) -> None:
    described, silent = sets(tmp_path, 6, 6)
    sources = WeightedSets(
        sets=[described, SoundscapeSet(silent.folder, "train", caption_set=None)], weights=[1.0, 1.0]
    )
    book = PhraseBook([source.folder.phrases() for source in sources.sets], sources.clusters(), KINDS)
    batch = make_batch(sources, book, SAMPLER, 0)
    datasets = np.array([dataset for dataset, _ in sources.items(0, 6, SAMPLER.seed)])
    np.testing.assert_array_equal(batch.matches.any(1).numpy(), datasets == 0)
    assert cells_of(batch)[0].any(2).any(1).all()


def test_a_set_with_captions_alone_trains_and_is_mixed_with_others(tmp_path: Path) -> None:
    from test_training_loop import SHORT

    strong, weak = sets(tmp_path, 6, 6)
    rows = [
        dataclasses.replace(row, events=[], background=None, annotation="none") for row in weak.folder.soundscapes()
    ]
    write_rows(weak.folder.soundscape_shard(0), rows, type(rows[0]))
    weak.folder.phrases_path.unlink()
    assert train(weak.folder.root, tmp_path / "alone", SHORT).steps == 6
    losses = json.loads((tmp_path / "alone" / "metrics.jsonl").read_text().splitlines()[0])
    assert losses["clip_loss"] > 0
    assert "frame_loss" not in losses
    both = [Data(root=strong.folder.root), Data(root=weak.folder.root, weight=2.0)]
    assert train(both, tmp_path / "both", SHORT).steps == 6
    shutil.rmtree(weak.folder.root / "captions")
    with pytest.raises(FlamError, match="neither events nor captions"):
        train(weak.folder.root, tmp_path / "nothing", SHORT)


def test_a_dataset_whose_share_would_be_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FlamError, match=r"1 would get less than one soundscape of 1000: give it more --weight"):
        WeightedSets(sets=sets(tmp_path, 3, 7), weights=[1000.0, 0.1])


def test_only_who_made_a_set_may_have_left_some_of_it_undescribed(tmp_path: Path) -> None:
    folder = make_toy_dataset(tmp_path / "data", train=3, valid=0, test=0)
    (captions,) = [path.parent for path in caption_shards(folder, "template")]
    rows = read_rows(captions / "00000.parquet", Caption)
    write_rows(captions / "00000.parquet", rows[:1], Caption)
    with pytest.raises(FlamError, match=r"2 soundscapes of .* have no caption in 'template'"):
        SoundscapeSet(folder, "train", caption_set="template")
    (captions / "captions.json").write_text('{"via": "import"}')
    found = SoundscapeSet(folder, "train", caption_set="template").items([0, 1, 2], 0)
    assert sorted(len(item.captions) for item in found) == [0, 0, 1]


def test_of_several_sets_each_takes_the_captions_that_it_has(tmp_path: Path) -> None:
    from test_training_loop import SHORT

    one, other = sets(tmp_path, 6, 6)
    (other.folder.root / "captions" / "template").rename(other.folder.root / "captions" / "people")
    datasets = [Data(root=one.folder.root), Data(root=other.folder.root)]
    train(datasets, tmp_path / "run", SHORT.model_copy(update={"caption_set": "template, people/sentence"}))
    told = json.loads((tmp_path / "run" / "model" / "training.json").read_text("utf-8"))
    assert [one["captions"].strip() for one in told["data"]] == ["template", "people/sentence"]
    with pytest.raises(FlamError, match="none of the datasets has captions 'poeple'"):
        train(datasets, tmp_path / "other", SHORT.model_copy(update={"caption_set": "template,poeple"}))
    with pytest.raises(FlamError, match="no captions 'people'"):
        train(datasets[:1], tmp_path / "other", SHORT.model_copy(update={"caption_set": "template,people"}))


def test_a_run_of_several_sets_that_was_stopped_ends_in_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from test_training_loop import SHORT, same, weights

    datasets = [
        Data(root=source.folder.root, weight=weight)
        for source, weight in zip(sets(tmp_path, 6, 9), (1.0, 2.5), strict=True)
    ]
    train(datasets, tmp_path / "whole", SHORT)
    monkeypatch.setattr(loop, "_SAVE_EVERY", 1)
    real, steps = trainer.step_losses, itertools.count()

    def stopped(*arguments: Any) -> dict[str, Part]:
        if next(steps) == 4:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(trainer, "step_losses", stopped)
    with pytest.raises(KeyboardInterrupt):
        train(datasets, tmp_path / "cut", SHORT)
    train(datasets, tmp_path / "cut", SHORT)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))
