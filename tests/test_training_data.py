import dataclasses
import threading
import time
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from conftest import TOY_SOUNDS, cells_of, make_toy_dataset

from manifests.errors import FlamError
from manifests.frames import frame_labels
from manifests.schema import Caption, Event, Phrase, Soundscape, Stretch
from manifests.store import DatasetFolder, read_rows, write_rows
from training import data
from training.clips import Take, samples_of, truth, waveform
from training.data import Sampler, batches, make_batch, plan_step
from training.negatives import Negatives
from training.phrase_book import PhraseBook
from training.sound_kinds import SoundKinds
from training.soundscapes import Item, SoundscapeSet, WeightedSets

NEGATIVES = Negatives(shares={"cluster": 1.0}, per_clip=20, num_phrases=8)
SAMPLER = Sampler(
    batch_size=6,
    clip_duration=4.0,
    sample_rate=16_000,
    hop=0.04,
    seed=3,
    mix_share=0.0,
    max_gain_db=0.0,
    num_draws=16,
    negatives=NEGATIVES,
)

KINDS = SoundKinds({
    "noise": frozenset({"noise", "hiss"}),
    "tone": frozenset({"tone", "low tone", "warble"}),
    "odd": frozenset({"odd", "warble"}),
})  # fmt: skip


def opened(*folders: DatasetFolder, kinds: SoundKinds = KINDS) -> tuple[WeightedSets, PhraseBook]:
    sets = [SoundscapeSet(folder, "train", caption_set="template") for folder in folders]
    sources = WeightedSets(sets=sets, weights=[1.0] * len(sets))
    return sources, PhraseBook([folder.phrases() for folder in folders], sources.clusters(), kinds)


def clusters_of(book: PhraseBook) -> dict[str, str]:
    return {phrase: cluster for cluster, phrases in book.phrases.items() for phrase in phrases}


def test_labels_are_the_frames_of_the_rows_events(toy_dataset: DatasetFolder) -> None:
    source, book = opened(toy_dataset)
    batch = make_batch(source, book, SAMPLER, 0)
    labels, _, _ = cells_of(batch)
    rows = {row.soundscape_id: row for row in toy_dataset.soundscapes()}
    checked = 0
    for i, soundscape_id in enumerate(batch.soundscape_ids):
        for k, phrase in enumerate(batch.phrases):
            expected = np.zeros(100, bool)
            for event in rows[soundscape_id].events:
                if phrase in book.phrases[event.cluster]:
                    expected |= frame_labels(event.activity, num_frames=100, hop=0.04)
            np.testing.assert_array_equal(labels[i, k].numpy(), expected)
            checked += int(expected.any())
    assert checked >= 6


def test_a_batch_depends_on_seed_and_step_alone(toy_dataset: DatasetFolder) -> None:
    sampler = dataclasses.replace(SAMPLER, mix_share=0.5)
    source, book = opened(toy_dataset)
    in_a_row = list(batches(source, book, sampler, range(3)))
    alone = make_batch(*opened(toy_dataset), sampler, 2)
    alone_labels, _, _ = cells_of(alone)
    assert alone.soundscape_ids == in_a_row[2].soundscape_ids
    assert (alone.waveforms == in_a_row[2].waveforms).all()
    assert torch.equal(alone_labels, cells_of(in_a_row[2])[0])
    other = make_batch(source, book, dataclasses.replace(sampler, seed=4), 2)
    assert other.soundscape_ids != alone.soundscape_ids


def test_batches_are_the_same_however_many_threads_read_audio(
    toy_dataset: DatasetFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, book = opened(toy_dataset)
    sampler = dataclasses.replace(SAMPLER, mix_share=0.5)
    alone = [make_batch(source, book, sampler, step).waveforms for step in range(6)]
    names, real = set(), data.waveform

    def noted(*arguments: Any, **options: Any) -> Any:
        time.sleep(0.002)  # or one thread would be done before another begins
        names.add(threading.current_thread().name)
        return real(*arguments, **options)

    monkeypatch.setattr(data, "waveform", noted)
    for readers in (1, 4):
        names.clear()
        monkeypatch.setattr(data, "_num_readers", lambda readers=readers: readers)
        found = [batch.waveforms for batch in batches(source, book, sampler, range(6))]
        assert len(names) == readers
        assert all(torch.equal(one, other) for one, other in zip(found, alone, strict=True))


def test_all_cores_read_audio_and_processes_share_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    for cores, world, readers in ((1, 1, 1), (2, 1, 2), (8, 1, 8), (64, 1, 8), (64, 16, 4), (4, 4, 1), (2, 4, 1)):
        monkeypatch.setattr(data.os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)), raising=False)
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(world))
        assert data._num_readers() == readers


def test_each_process_knows_the_soundscapes_of_all(toy_dataset: DatasetFolder) -> None:
    """Whichever stops first names them."""
    source, book = opened(toy_dataset)
    whole = make_batch(source, book, SAMPLER, 1)
    for rank in range(4):
        own = make_batch(source, book, SAMPLER, 1, rank=rank, world=4)
        assert own.soundscape_ids == whole.soundscape_ids
        assert torch.equal(own.waveforms, whole.waveforms[rank::4])


def test_a_clip_is_made_louder_or_softer_by_a_gain_of_its_own(toy_dataset: DatasetFolder) -> None:
    source, book = opened(toy_dataset)
    plain, gained = (
        make_batch(source, book, dataclasses.replace(SAMPLER, max_gain_db=decibels), 0) for decibels in (0.0, 6.0)
    )
    ratios = gained.waveforms.norm(dim=1) / plain.waveforms.norm(dim=1)
    torch.testing.assert_close(gained.waveforms, plain.waveforms * ratios[:, None])
    assert 10 ** (-6 / 20) <= float(ratios.min()) < 0.95
    assert 1.05 < float(ratios.max()) <= 10 ** (6 / 20)
    assert gained.soundscape_ids == plain.soundscape_ids


def test_a_clip_matches_all_its_captions_not_only_the_one_that_was_drawn(tmp_path) -> None:
    folder = make_toy_dataset(tmp_path / "data", train=6, valid=0, test=0)
    path = folder.root / "captions" / "template" / "00000.parquet"
    captions = read_rows(path, Caption)
    everywhere = [dataclasses.replace(one, text=text) for one in captions for text in ("Sounds.", "Some sounds.")]
    write_rows(path, everywhere, Caption)
    batch = make_batch(*opened(folder), SAMPLER, 0)
    assert batch.captions == ["Some sounds.", "Sounds."]
    assert batch.matches.all()


def test_an_epoch_shows_every_soundscape_once(toy_dataset: DatasetFolder) -> None:
    source, book = opened(toy_dataset)
    sampler = dataclasses.replace(SAMPLER, batch_size=5)
    first = [i for batch in batches(source, book, sampler, range(4)) for i in batch.soundscape_ids]
    second = [i for batch in batches(source, book, sampler, range(4, 8)) for i in batch.soundscape_ids]
    assert len(set(first)) == len(first) == 20
    assert sorted(first) == sorted(second)
    assert first != second


def test_what_can_be_heard_in_the_background_is_never_a_negative(tmp_path) -> None:
    folder = make_toy_dataset(tmp_path / "data", train=8, valid=0, test=0)
    rows = [
        dataclasses.replace(row, background=dataclasses.replace(row.background, contains=["hiss"]))
        for row in folder.soundscapes()
    ]
    write_rows(folder.soundscape_shard(0), rows, type(rows[0]))
    source, book = opened(folder)
    batch = make_batch(source, book, SAMPLER, 0)
    labels, known, _ = cells_of(batch)
    k = next(k for k, phrase in enumerate(batch.phrases) if phrase in book.phrases["hiss"])
    np.testing.assert_array_equal(known[:, k].numpy(), labels[:, k].numpy())
    others = [i for i in range(len(batch.phrases)) if i != k]
    assert known[:, others].all()


def test_what_else_can_be_heard_in_an_events_recording_is_never_a_negative(tmp_path) -> None:
    folder = make_toy_dataset(tmp_path / "data", train=8, valid=0, test=0)
    rows = [
        dataclasses.replace(
            row,
            events=[
                dataclasses.replace(event, contains=["hiss"]) if event.cluster == "warble" else event
                for event in row.events
            ],
        )
        for row in folder.soundscapes()
    ]
    write_rows(folder.soundscape_shard(0), rows, type(rows[0]))
    source, book = opened(folder)
    batch = make_batch(source, book, dataclasses.replace(SAMPLER, batch_size=8), 0)
    labels, known, _ = cells_of(batch)
    of = {name: next(k for k, p in enumerate(batch.phrases) if p in book.phrases[name]) for name in TOY_SOUNDS}
    unsure = labels[:, of["warble"]].any(1)
    assert 0 < int(unsure.sum()) < 8
    assert torch.equal(known[unsure][:, of["hiss"]], labels[unsure][:, of["hiss"]])
    assert known[~unsure].all()
    assert known[:, [k for name, k in of.items() if name != "hiss"]].all()


def test_of_a_mixture_is_known_only_what_both_of_its_soundscapes_tell(tmp_path) -> None:
    """One dataset has no label for a hiss; every third soundscape of it is not annotated in full."""
    whole, narrow = (make_toy_dataset(tmp_path / name, train=8, valid=0, test=0) for name in ("whole", "narrow"))
    write_rows(narrow.phrases_path, [row for row in narrow.phrases() if row.cluster != "hiss"], Phrase)
    rows = [
        dataclasses.replace(
            row,
            events=[event for event in row.events if event.cluster != "hiss"],
            annotation="closed" if place % 3 else "open",
        )
        for place, row in enumerate(narrow.soundscapes())
    ]
    write_rows(narrow.soundscape_shard(0), rows, type(rows[0]))
    sources, book = opened(whole, narrow)
    sampler = dataclasses.replace(SAMPLER, mix_share=1.0, batch_size=16)
    seen = set()
    for step in range(4):
        clips, batch = plan_step(sources, book, sampler, step).clips, make_batch(sources, book, sampler, step)
        labels, known, _ = cells_of(batch)
        hiss = next(k for k, phrase in enumerate(batch.phrases) if phrase in book.phrases["hiss"])
        for i, takes in enumerate(clips):
            lists_hiss = all(take.dataset == 0 for take in takes)
            closed = all(take.item.row.annotation == "closed" for take in takes)
            for k in range(len(batch.phrases)):
                told = closed and (lists_hiss or k != hiss)
                assert torch.equal(known[i, k], labels[i, k] | told)
            seen.add((len({take.dataset for take in takes}), lists_hiss, closed))
    assert {(2, False, True), (2, False, False), (1, True, True)} <= seen


@pytest.mark.parametrize("annotation", ["open", "none"])
def test_without_closed_annotation_nothing_is_a_negative(tmp_path, annotation: str) -> None:
    folder = make_toy_dataset(tmp_path / "data", train=8, valid=0, test=0)
    rows = [dataclasses.replace(row, annotation=annotation) for row in folder.soundscapes()]
    write_rows(folder.soundscape_shard(0), rows, type(rows[0]))
    batch = make_batch(*opened(folder), SAMPLER, 0)
    labels, known, _ = cells_of(batch)
    assert (known == labels).all()


def test_an_ancestor_of_what_sounds_is_never_a_negative(tmp_path) -> None:
    folder = make_toy_dataset(tmp_path / "data", train=8, valid=0, test=0)
    phrases = [
        dataclasses.replace(row, ancestors=["warble"]) if row.cluster == "hiss" else row for row in folder.phrases()
    ]
    write_rows(folder.phrases_path, phrases, Phrase)
    source, book = opened(folder)
    batch = make_batch(source, book, SAMPLER, 0)
    labels, known, _ = cells_of(batch)
    of = {name: next(k for k, p in enumerate(batch.phrases) if p in book.phrases[name]) for name in TOY_SOUNDS}
    seen = 0
    for i in range(len(labels)):
        if labels[i, of["hiss"]].any() and not labels[i, of["warble"]].any():
            assert not known[i, of["warble"]].any()
            seen += 1
        assert known[i, of["low_tone"]].all()
    assert seen


def test_cells_of_some_phrases_are_those_of_all(toy_dataset: DatasetFolder) -> None:
    batch = make_batch(*opened(toy_dataset), SAMPLER, 0)
    labels, _, _ = cells_of(batch)
    assert labels.any()
    assert len(batch.phrases) == 4
    for places in (slice(None), slice(0, 2), slice(1, 4, 2), slice(3, 4), slice(2, 2), slice(0, 4, 3)):
        assert torch.equal(batch.dense(batch.labels, places), labels[:, places])


def test_a_cluster_that_training_never_hears_is_never_asked(toy_dataset: DatasetFolder) -> None:
    extra = Phrase(phrase="a zebra", label="zebra", cluster="zebra", origin="label", ancestors=[], near_misses=[])
    book = PhraseBook([[*toy_dataset.phrases(), extra]], set(TOY_SOUNDS), KINDS)
    assert "zebra" not in book.phrases
    assert set(book.phrases) == set(TOY_SOUNDS)


def test_a_mixture_has_both_clips_labels_and_captions(toy_dataset: DatasetFolder) -> None:
    source, book = opened(toy_dataset)
    plain = make_batch(source, book, SAMPLER, 0)
    mixed = make_batch(source, book, dataclasses.replace(SAMPLER, mix_share=1.0), 0)
    labels, _, _ = cells_of(mixed)
    assert len(mixed.soundscape_ids) > len(plain.soundscape_ids)
    assert int(mixed.matches.sum()) > int(plain.matches.sum())
    column = {clusters_of(book)[phrase]: k for k, phrase in enumerate(mixed.phrases)}
    rows = {row.soundscape_id: row for row in toy_dataset.soundscapes()}
    ids = iter(mixed.soundscape_ids)
    united = 0
    for i, own in enumerate(plain.soundscape_ids):
        assert next(ids) == own
        both = mixed.waveforms[i] - plain.waveforms[i]
        partners = [own] if not both.any() else [own, next(ids)]
        expected = np.zeros_like(labels[i].numpy())
        for event in (event for partner in partners for event in rows[partner].events):
            expected[column[event.cluster]] |= frame_labels(event.activity, num_frames=100, hop=0.04)
        np.testing.assert_array_equal(labels[i].numpy(), expected)
        united += len(partners) == 2
    assert united


def test_a_file_that_is_shorter_than_its_row_is_never_silence_under_a_label(tmp_path) -> None:
    folder = make_toy_dataset(tmp_path / "data", train=4, valid=0, test=0)
    path = next((folder.root / "audio").rglob("*.wav"))
    samples, rate = soundfile.read(path)
    soundfile.write(path, samples[:rate], rate)
    with pytest.raises(FlamError, match=r"lasts 1\.00 s, its row says 4\.00 s"):
        make_batch(*opened(folder), SAMPLER, 0)
    row = next(row for row in folder.soundscapes() if row.audio_path.endswith(path.name))
    for begin in (0.0, 0.32, 2.0):  # clips of 1 s, the first of which is there
        take = Take(dataset=0, item=Item(row, lambda: path, []), begin=begin, gain=1.0, caption=None)
        with pytest.raises(FlamError, match=r"lasts 1\.00 s, its row says 4\.00 s"):
            samples_of(take, rate, 1.0)
    shorter = dataclasses.replace(row, duration=0.6)  # of another recording
    take = Take(dataset=0, item=Item(shorter, lambda: path, []), begin=0.0, gain=1.0, caption=None)
    for duration in (0.2, 1.0):
        with pytest.raises(FlamError, match=r"lasts 1\.00 s, its row says 0\.60 s"):
            samples_of(take, rate, duration)


def test_a_longer_recording_is_cropped_with_its_labels_and_a_shorter_one_heard_again(
    toy_dataset: DatasetFolder,
) -> None:
    source, book = opened(toy_dataset)
    short = make_batch(source, book, dataclasses.replace(SAMPLER, clip_duration=2.0), 0)
    short_labels, _, _ = cells_of(short)
    assert short.waveforms.shape == (6, 32_000)
    assert short_labels.shape[2] == 50
    long = make_batch(source, book, dataclasses.replace(SAMPLER, clip_duration=6.0), 0)
    long_labels, long_known, _ = cells_of(long)
    assert long.waveforms.shape == (6, 96_000)
    assert long_known.all()
    assert torch.equal(long_labels[:, :, 100:], long_labels[:, :, :50])
    assert torch.equal(long.waveforms[:, 64_000:], long.waveforms[:, :32_000])
    assert long_labels[:, :, 100:].any()


def test_what_a_cut_leaves_of_an_event_is_labelled_as_in_the_whole(toy_dataset: DatasetFolder) -> None:
    """An event of .5 to 1.005 s fills an eighth of frame 25, which is not its own: nor in a clip from 1 s."""
    row = next(iter(toy_dataset.soundscapes()))
    event = dataclasses.replace(row.events[0], activity=[Stretch(onset=0.5, offset=1.005, audible_db=None)])
    item = Item(dataclasses.replace(row, events=[event]), lambda: "", [])
    for begin in (0.0, 0.52, 0.96, 1.0, 2.0):
        take = Take(dataset=0, item=item, begin=begin, gain=1.0, caption=None)
        found = truth([take], duration=2.0, hop=0.04).active[event.cluster]
        whole = frame_labels(event.activity, num_frames=100, hop=0.04)
        np.testing.assert_array_equal(found, whole[round(begin / 0.04) :][:50])
        assert found.any() == (begin < 1.0)


@pytest.mark.parametrize("seconds", [1.5, 1.51, 0.3])
def test_a_short_recording_begins_again_after_a_whole_number_of_frames(
    seconds: float, toy_dataset: DatasetFolder
) -> None:
    row = dataclasses.replace(next(iter(toy_dataset.soundscapes())), duration=seconds)
    samples = np.random.default_rng(0).standard_normal(round(seconds * 16_000)).astype(np.float32)
    take = Take(dataset=0, item=Item(row, lambda: "", []), begin=0.0, gain=0.5, caption=None)
    found = np.full(64_000, 7.0, np.float32)  # what a batch's memory held before
    waveform([take], lambda _: samples, duration=4.0, hop=0.04, sample_rate=16_000, out=found)
    period = int(np.ceil(seconds / 0.04 - 1e-9)) * 640
    for number in range(64_000):
        place = number % period
        assert found[number] == (0.5 * samples[place] if place < len(samples) else 0.0)


def test_missing_captions_are_said_before_training(tmp_path) -> None:
    folder = make_toy_dataset(tmp_path / "data", train=3, valid=0, test=0)
    with pytest.raises(FlamError, match=r"no captions 'nicer' \(there: template\)"):
        SoundscapeSet(folder, "train", caption_set="nicer")
    shard = folder.caption_shards("template")[0]
    from manifests.schema import Caption

    write_rows(shard, read_rows(shard, Caption)[1:], Caption)
    with pytest.raises(FlamError, match="00000000 first"):
        SoundscapeSet(folder, "train", caption_set="template")


def test_a_split_that_is_not_there_names_those_that_are(toy_dataset: DatasetFolder, tmp_path) -> None:
    folder = make_toy_dataset(tmp_path / "data", train=3, valid=0, test=0)
    with pytest.raises(FlamError, match="no valid soundscapes, only train"):
        SoundscapeSet(folder, "valid", caption_set="template")


def test_a_kind_sounds_where_any_of_its_members_does(toy_dataset: DatasetFolder) -> None:
    source, book = opened(toy_dataset)
    batch = make_batch(source, book, SAMPLER, 0)
    labels, _, _ = cells_of(batch)
    column = {clusters_of(book)[phrase]: k for k, phrase in enumerate(batch.phrases)}
    members = {"noise": ["hiss"], "tone": ["low_tone", "high_tone", "warble"], "odd": ["warble"]}
    kinds_of_clusters = {kind for names in TOY_SOUNDS for kind in np.array(KINDS.names)[book.kinds_of(names)]}
    assert kinds_of_clusters == set(members)
    for place, kind in enumerate(KINDS.names):
        expected = torch.stack([labels[:, column[name]] for name in members[kind]]).any(0)
        assert torch.equal(batch.kind_labels[:, place], expected)
    assert batch.kind_labels.any()
    assert (batch.kind_known >= batch.kind_labels).all()


def test_while_something_of_no_known_kind_sounds_no_kind_is_known_to_be_absent(toy_dataset: DatasetFolder) -> None:
    source, book = opened(toy_dataset, kinds=SoundKinds({"noise": frozenset({"hiss"})}))
    batch = make_batch(source, book, SAMPLER, 0)
    labels, _, _ = cells_of(batch)
    column = {clusters_of(book)[phrase]: k for k, phrase in enumerate(batch.phrases)}
    others = torch.stack([labels[:, column[name]] for name in column if name != "hiss"]).any(0)
    hiss = labels[:, column["hiss"]]
    assert (others & ~hiss).any()
    assert not (batch.kind_known[:, 0] & others & ~hiss).any()
    assert batch.kind_known[:, 0][hiss].all()
    assert batch.kind_known[:, 0][~others].any()


def test_a_background_hides_its_kinds_and_those_of_its_ancestors_and_descendants(tmp_path) -> None:
    """The background `mist` is of no known kind, and above `hiss`; nothing is told of noise, as of hiss itself."""
    folder = make_toy_dataset(tmp_path / "data", train=8, valid=0, test=0)
    rows = list(folder.soundscapes())
    behind = dataclasses.replace(rows[0].background, cluster="mist", label="mist")
    write_rows(folder.soundscape_shard(0), [dataclasses.replace(rows[0], background=behind), *rows[1:]], Soundscape)
    table = [dataclasses.replace(row, ancestors=["mist"] if row.cluster == "hiss" else []) for row in folder.phrases()]
    write_rows(folder.phrases_path, table, Phrase)
    source, book = opened(folder)
    batch = make_batch(source, book, dataclasses.replace(SAMPLER, batch_size=8), 0)
    _, known, _ = cells_of(batch)
    own = batch.soundscape_ids.index(rows[0].soundscape_id)
    noise, hiss = KINDS.names.index("noise"), batch.phrases.index(book.phrases["hiss"][0])
    for i in range(8):
        assert bool(batch.kind_known[i, noise].all()) == bool(known[i, hiss].all()) == (i != own)
    others = [place for place, name in enumerate(KINDS.names) if name != "noise"]
    assert batch.kind_known[:, others].all()


def test_a_label_that_other_sounds_hide_is_marked_where_no_other_event_of_it_is_heard(tmp_path) -> None:
    folder = make_toy_dataset(tmp_path / "data", train=8, valid=0, test=0)

    def hidden(event: Event) -> Event:
        audible = -9.0 if event.label == "hiss" else 9.0
        stretches = [dataclasses.replace(stretch, audible_db=audible) for stretch in event.activity]
        return dataclasses.replace(event, activity=stretches)

    rows = [dataclasses.replace(row, events=[hidden(event) for event in row.events]) for row in folder.soundscapes()]
    write_rows(folder.soundscape_shard(0), rows, Soundscape)
    source, book = opened(folder)
    batch = make_batch(source, book, SAMPLER, 0)
    labels, _, masked = cells_of(batch)
    for k, phrase in enumerate(batch.phrases):
        expected = labels[:, k] & (phrase in book.phrases["hiss"])
        np.testing.assert_array_equal(masked[:, k].numpy(), expected.numpy())
    assert masked.any()
    assert not make_batch(
        *opened(make_toy_dataset(tmp_path / "other", train=8, valid=0, test=0)), SAMPLER, 0
    ).masked.any()
