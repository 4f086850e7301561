"""A dataset of plans is the dataset with audio: rendered later, in any order and by anyone, it is the same samples."""

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import cells_of
from small_bank import Sound, default_sounds, noise, tone, write_bank

from curation import soundscapes
from curation.caption import caption
from curation.config import Recipe
from curation.render import Renderer, render
from curation.simulate import simulate
from manifests.audio import Recording, read
from manifests.errors import FlamError
from manifests.schema import Microphone, Room, Soundscape
from manifests.store import DatasetFolder, read_json, write_json, write_rows
from training.data import Sampler, make_batch
from training.negatives import Negatives
from training.phrase_book import PhraseBook
from training.sound_kinds import SoundKinds
from training.soundscapes import SoundscapeSet, WeightedSets

NUM = 130  # two shards with audio, one without; three tasks of rendering
RECIPE = Recipe.model_validate({
    "name": "test",
    "duration": {"distribution": "choice", "values": [0.5, 1.0]},
    "pitch_semitones": {"distribution": "choice", "values": [0, 0, -3]},
    "time_stretch": {"distribution": "choice", "values": [1, 1, 1.25]},
    "tilt_db": {"distribution": "choice", "values": [0, 2]},
    "reverb": {"share": 0.3, "rooms": "bank"},
    "microphone": {"share": 0.3},
    "drop_below_audible_db": -5,
})  # fmt: skip


@pytest.fixture(scope="module")
def bank_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    fall = 10 ** (-np.arange(3200) / 1600)
    rooms = [
        Sound(samples=noise(0.2, number) * fall, role="impulse_response", label="hall", split=split)
        for number, split in enumerate(("train", "valid", "test"))
    ]
    return write_bank(tmp_path_factory.mktemp("virtual") / "bank", default_sounds() + rooms).root


def made(bank_dir: Path, out: Path, audio_format: Any, **settings: Any) -> Path:
    simulate(
        bank_dir, out, **{"recipe": RECIPE, "num": NUM, "seed": 5, "workers": 1} | settings, audio_format=audio_format
    )
    return out


@pytest.fixture(scope="module")
def with_files(bank_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(bank_dir, tmp_path_factory.mktemp("files") / "data", "wav")


@pytest.fixture(scope="module")
def plans(bank_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(bank_dir, tmp_path_factory.mktemp("plans") / "data", "none")


@pytest.fixture
def virtual(plans: Path, bank_dir: Path, tmp_path: Path) -> Path:
    """A copy to do something to."""
    out = shutil.copytree(plans, tmp_path / "data")
    info = read_json(out / "dataset.json")
    write_json(out / "dataset.json", {**info, "bank": str(bank_dir)})
    return out


def rows(out: Path) -> list[Soundscape]:
    return list(DatasetFolder(out).soundscapes())


def files(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (out / "audio").rglob("*.wav")}


def samples(out: Path, row: Soundscape) -> np.ndarray:
    found, rate = soundfile.read(out / row.audio_path, dtype="int16")
    assert rate == row.sample_rate
    return found


def changed(out: Path, index: int, row: Soundscape) -> None:
    """Write another row in the place of one."""
    found = rows(out)
    found[index] = row
    write_rows(DatasetFolder(out).soundscape_shard(0), found, Soundscape)


def test_the_rows_are_those_of_the_dataset_with_audio(plans: Path, with_files: Path) -> None:
    found, expected = rows(plans), rows(with_files)
    assert [dataclasses.replace(row, audio_path="") for row in found] == [
        dataclasses.replace(row, audio_path="") for row in expected
    ]
    assert any(row.room for row in found)
    assert any(row.microphone for row in found)
    assert any(event.pitch_semitones for row in found for event in row.events)
    assert not (plans / "audio").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_rendered_later_the_files_are_the_same_bytes(virtual: Path, with_files: Path, workers: int) -> None:
    report = render(virtual, workers=workers)
    assert (report.num_rendered, report.num_there) == (NUM, 0)
    assert files(virtual) == files(with_files)
    assert {row.audio_path for row in rows(virtual)} == {
        str(path.relative_to(virtual)) for path in (virtual / "audio").rglob("*.*")
    }
    again = render(virtual, workers=workers)
    assert (again.num_rendered, again.num_there) == (0, NUM)


def test_parts_rendered_one_after_another_make_the_whole(virtual: Path, with_files: Path) -> None:
    expected = files(with_files)
    tests = [row.soundscape_id for row in rows(virtual) if row.split == "test"]
    assert render(virtual, split="test", num=3, workers=1).num_rendered == 3
    assert files(virtual).keys() == {f"{name}.wav" for name in tests[:3]}
    report = render(virtual, split="test", workers=1)
    assert (report.num_rendered, report.num_there) == (len(tests) - 3, 3)
    assert files(virtual).keys() == {f"{name}.wav" for name in tests}
    assert render(virtual, num=60, workers=2).num_there == sum(int(name) < 60 for name in tests)
    render(virtual, workers=1)
    assert files(virtual) == expected


def test_a_dataset_of_several_shards_is_rendered_as_one(
    bank_dir: Path, with_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soundscapes, "VIRTUAL_SHARD_SIZE", 40)
    out = made(bank_dir, tmp_path / "data", "none", num=75)
    assert len(DatasetFolder(out).soundscape_shards()) == 2
    trains = [row.soundscape_id for row in rows(out) if row.split == "train"]
    num = 1 + sum(int(name) < 40 for name in trains)  # one of the second shard
    assert render(out, split="train", num=num, workers=1).num_rendered == num
    assert files(out).keys() == {f"{name}.wav" for name in trains[:num]}
    assert render(out, workers=1).num_rendered == 75 - num
    made(bank_dir, out, "none", num=NUM)  # the second shard grows, in this very process
    assert render(out, workers=1).num_rendered == NUM - 75
    assert files(out) == files(with_files)


def test_what_a_killed_run_left_is_taken_away_and_other_files_stay(virtual: Path) -> None:
    folder = virtual / "audio" / "00000"
    folder.mkdir(parents=True)
    for name in ("new-00000007.wav", "new-mine.wav", "notes.txt"):
        (folder / name).write_text("RIFF")
    render(virtual, num=1, workers=1)
    assert {path.name for path in folder.iterdir()} == {"00000000.wav", "new-mine.wav", "notes.txt"}


def test_a_row_that_was_changed_does_not_keep_others_from_their_audio(virtual: Path) -> None:
    row = rows(virtual)[3]
    changed(virtual, 3, dataclasses.replace(row, mix_gain_db=row.mix_gain_db - 1))
    with pytest.raises(FlamError, match="00000003 comes out other"):
        render(virtual, num=5, workers=1)
    assert files(virtual).keys() == {f"0000000{number}.wav" for number in range(3)}


def test_a_file_that_was_lost_is_rendered_again(virtual: Path, with_files: Path) -> None:
    render(virtual, num=5, workers=1)
    (virtual / rows(virtual)[3].audio_path).unlink()
    assert render(virtual, num=5, workers=1).num_rendered == 1
    assert files(virtual) == {name: data for name, data in files(with_files).items() if int(name[:8]) < 5}


@pytest.mark.parametrize("audio_format", ["flac", "shards"])
def test_other_formats_hold_the_same_samples(
    bank_dir: Path, with_files: Path, tmp_path: Path, audio_format: str
) -> None:
    other = made(bank_dir, tmp_path / "data", audio_format, workers=2)
    expected = rows(with_files)
    for row, one in zip(rows(other), expected, strict=True):
        assert dataclasses.replace(row, audio_path=one.audio_path) == one
        source = DatasetFolder(other).audio(row)
        found = source.samples if isinstance(source, Recording) else soundfile.read(source, dtype="int16")[0]
        np.testing.assert_array_equal(found, samples(with_files, one))


def test_rows_are_rendered_in_any_order(virtual: Path, with_files: Path) -> None:
    renderer, found, expected = Renderer.open(virtual), rows(virtual), rows(with_files)
    for index in np.random.default_rng(1).permutation(NUM):
        recording = renderer(found[index])
        assert recording.sample_rate == expected[index].sample_rate
        np.testing.assert_array_equal(recording.samples, samples(with_files, expected[index]))


def test_training_reads_the_same_batches(virtual: Path, with_files: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(with_files, tmp_path / "files")
    sampler = Sampler(
        batch_size=5,
        clip_duration=0.8,
        sample_rate=8000,
        hop=0.04,
        seed=1,
        mix_share=0.5,
        max_gain_db=6.0,
        num_draws=16,
        negatives=Negatives(shares={"cluster": 1.0}, per_clip=20, num_phrases=6),
    )
    batches = []
    for folder in (DatasetFolder(copy), DatasetFolder(virtual, render=Renderer.open(virtual))):
        caption(folder.root, seed=2)
        sources = WeightedSets(sets=[SoundscapeSet(folder, "train", caption_set="template")], weights=[1.0])
        kinds = SoundKinds({"tone": frozenset({"tone", "beep"})})
        book = PhraseBook([folder.phrases()], sources.clusters(), kinds)
        batches.append([make_batch(sources, book, sampler, step) for step in range(3)])
    for one, other in zip(*batches, strict=True):
        np.testing.assert_array_equal(one.waveforms.numpy(), other.waveforms.numpy())
        for ours, theirs in zip(cells_of(one), cells_of(other), strict=True):
            np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
        assert (one.phrases, one.captions, one.soundscape_ids) == (other.phrases, other.captions, other.soundscape_ids)
    row = rows(virtual)[0]
    rendered = DatasetFolder(virtual, render=Renderer.open(virtual)).audio(row)
    file = DatasetFolder(copy).audio(rows(copy)[0])
    np.testing.assert_array_equal(read(rendered, 16000), read(file, 16000))


def test_without_a_renderer_the_error_says_how_to_get_audio(virtual: Path) -> None:
    with pytest.raises(FlamError, match=r"is missing, but soundscape 00000000 names it; run `flam-cli render "):
        DatasetFolder(virtual).audio(rows(virtual)[0])


def one_line(told: pytest.ExceptionInfo[FlamError]) -> str:
    text = str(told.value)
    assert text
    assert "\n" not in text
    return text


def edits(row: Soundscape) -> Sequence[Soundscape]:
    first, *others = row.events
    assert row.background is not None
    return [
        dataclasses.replace(row, events=others),
        dataclasses.replace(row, events=[dataclasses.replace(first, start=first.start + 1), *others]),
        dataclasses.replace(row, events=[dataclasses.replace(first, gain_db=first.gain_db + 1e-3), *others]),
        dataclasses.replace(row, events=[dataclasses.replace(first, source_id="s000"), *others]),
        dataclasses.replace(row, events=[dataclasses.replace(first, tilt_db=first.tilt_db + 1), *others]),
        dataclasses.replace(row, events=[dataclasses.replace(first, pitch_semitones=2.0), *others]),
        dataclasses.replace(row, background=dataclasses.replace(row.background, source_start=1)),
        dataclasses.replace(row, num_samples=row.num_samples - 1),
        dataclasses.replace(row, sample_rate=8000),
        dataclasses.replace(row, mix_gain_db=row.mix_gain_db - 1),
        dataclasses.replace(
            row, room=Room(rt60=1.0, direct_db=1.0, source_id=None, origin=None, licence=None, author=None)
        ),
        dataclasses.replace(row, microphone=Microphone(low_hz=50.0, high_hz=3000.0)),
        dataclasses.replace(row, background=None),
        dataclasses.replace(row, soundscape_id="00000017"),
    ]


def test_a_row_that_was_edited_is_not_rendered(plans: Path, virtual: Path) -> None:
    found, renderer = rows(virtual), Renderer.open(virtual)
    index = next(i for i, row in enumerate(found) if row.events)
    for row in edits(found[index]):
        with pytest.raises(FlamError, match="comes out other than its row says: the row was changed") as told:
            renderer(row)
        one_line(told)
    changed(virtual, index, edits(found[index])[0])
    with pytest.raises(FlamError, match=f"soundscape {index:08d} comes out other") as told:
        render(virtual, workers=2)
    one_line(told)


def test_a_row_whose_last_digits_another_machine_computed_is_rendered(virtual: Path, with_files: Path) -> None:
    row = next(row for row in rows(virtual) if row.events)
    near = [dataclasses.replace(event, gain_db=event.gain_db + 1e-12) for event in row.events]
    recording = Renderer.open(virtual)(dataclasses.replace(row, events=near))
    np.testing.assert_array_equal(recording.samples, samples(with_files, row))


def test_labels_may_be_mended(virtual: Path, with_files: Path) -> None:
    row = next(row for row in rows(virtual) if row.events)
    mended = [dataclasses.replace(event, label="mended", cluster="mended") for event in row.events]
    recording = Renderer.open(virtual)(dataclasses.replace(row, events=mended))
    np.testing.assert_array_equal(recording.samples, samples(with_files, row))


def test_a_row_of_another_tool_is_not_rendered(virtual: Path) -> None:
    with pytest.raises(FlamError, match="'clip_1' was not made by `flam-cli simulate`") as told:
        Renderer.open(virtual)(dataclasses.replace(rows(virtual)[0], soundscape_id="clip_1"))
    one_line(told)


def test_another_bank_is_refused(virtual: Path, tmp_path: Path) -> None:
    sounds = [Sound(samples=noise(3, 1), role="background", label="wind"), Sound(samples=tone(1, 500))]
    other = write_bank(tmp_path / "other", sounds).root
    with pytest.raises(FlamError, match="is another bank than the dataset was made from") as told:
        render(virtual, bank=other, workers=1)
    assert str(other) in one_line(told)
    assert not (virtual / "audio").exists()


def test_a_bank_that_is_not_there_is_one_line(virtual: Path, tmp_path: Path) -> None:
    with pytest.raises(FlamError, match=r"is not at .*nowhere; say where it is with --bank") as told:
        render(virtual, bank=tmp_path / "nowhere", workers=1)
    one_line(told)
    write_json(virtual / "dataset.json", {**read_json(virtual / "dataset.json"), "bank": "../gone"})
    with pytest.raises(FlamError, match=r"is not at .*gone; say where it is with --bank") as told:
        Renderer.open(virtual)
    one_line(told)


def test_a_bank_that_moved_is_found_again(virtual: Path, bank_dir: Path, with_files: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(bank_dir, tmp_path / "moved")
    write_json(virtual / "dataset.json", {**read_json(virtual / "dataset.json"), "bank": "../gone"})
    render(virtual, bank=moved, num=2, workers=1)
    assert files(virtual).items() <= files(with_files).items()


def test_what_has_its_audio_is_not_rendered(with_files: Path) -> None:
    with pytest.raises(FlamError, match="has its audio already") as told:
        render(with_files, workers=1)
    one_line(told)


@pytest.mark.parametrize("key", ["bank_fingerprint", "recipe", "seed", "engine", "bank"])
def test_a_dataset_that_does_not_say_what_it_was_made_from_is_one_line(virtual: Path, key: str) -> None:
    info = read_json(virtual / "dataset.json")
    del info[key]
    (virtual / "dataset.json").write_text(json.dumps(info))
    with pytest.raises(FlamError, match="does not say what its soundscapes were made from") as told:
        render(virtual, workers=1)
    one_line(told)


def test_a_recipe_that_is_none_is_one_line(virtual: Path) -> None:
    info = read_json(virtual / "dataset.json")
    info["recipe"]["duration"] = {"distribution": "constant", "value": -1}
    write_json(virtual / "dataset.json", info)
    with pytest.raises(FlamError, match="does not say what its soundscapes were made from") as told:
        render(virtual, workers=1)
    one_line(told)
