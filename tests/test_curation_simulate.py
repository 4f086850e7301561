"""The stage: the same bytes whatever happens, one dataset a folder, errors before any output."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import soundfile
from small_bank import Sound, noise, tone, write_bank

from curation.bank import Bank
from curation.catalogue import Catalogue
from curation.config import Recipe, Shares
from curation.distributions import Uniform
from curation.mix import Mixer
from curation.plan import plan
from curation.simulate import simulate
from manifests import store
from manifests.errors import FlamError
from manifests.schema import Soundscape, known_clusters
from manifests.store import DatasetFolder, locked

ROOT = Path(__file__).parents[1]
RECIPE = Recipe(name="test", duration=2.0)


@pytest.fixture(scope="module")
def bank_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bank(tmp_path_factory.mktemp("simulate") / "bank").root


@pytest.fixture(scope="module")
def whole(bank_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """230 soundscapes, made at once by one worker."""
    out = tmp_path_factory.mktemp("whole") / "data"
    simulate(bank_dir, out, recipe=RECIPE, num=230, seed=5, workers=1)
    return out


def content(out: Path) -> dict[str, bytes]:
    files = (path for path in out.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def rows(out: Path) -> list[Soundscape]:
    return list(DatasetFolder(out).soundscapes())


def test_rows_and_audio_belong_together(whole: Path) -> None:
    folder, found = DatasetFolder(whole), rows(whole)
    assert [row.soundscape_id for row in found] == [f"{i:08d}" for i in range(230)]
    for row in found:
        info = soundfile.info(str(folder.audio(row)))
        assert (info.frames, info.samplerate) == (row.num_samples, row.sample_rate) == (32000, 16000)
        assert info.subtype == "PCM_16"
        assert (row.annotation, row.engine, row.recipe, row.seed) == ("closed", "mix", "test", 5)
        assert row.licences == sorted(set(row.licences))
        assert {event.licence for event in row.events} <= set(row.licences)
        assert row.background is not None
    audio = {path.name for path in whole.rglob("*.wav")}
    assert audio == {f"{row.soundscape_id}.wav" for row in found}


def test_no_source_is_in_two_splits(whole: Path) -> None:
    splits: dict[str | None, set[str]] = {}
    for row in rows(whole):
        for sound in (*row.events, row.background):
            assert sound is not None
            splits.setdefault(sound.source_id, set()).add(row.split)
    assert all(len(found) == 1 for found in splits.values())
    assert set.union(*splits.values()) == {"train", "valid", "test"}


def test_the_background_is_never_an_events_cluster(whole: Path) -> None:
    for row in rows(whole):
        assert row.background is not None
        assert row.background.cluster not in {event.cluster for event in row.events}
        assert row.background.cluster in known_clusters(row)


def test_two_workers_write_the_same_bytes(bank_dir: Path, whole: Path, tmp_path: Path) -> None:
    simulate(bank_dir, tmp_path / "two", recipe=RECIPE, num=230, seed=5, workers=2)
    assert content(tmp_path / "two") == content(whole)


def test_a_dataset_grows_to_the_same_bytes(bank_dir: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "grown"
    first = simulate(bank_dir, out, recipe=RECIPE, num=120, seed=5, workers=1)
    assert (first.num_new, first.num_soundscapes) == (120, 120)
    untouched = (out / "soundscapes" / "00000.parquet").stat().st_mtime_ns
    second = simulate(bank_dir, out, recipe=RECIPE, num=230, seed=5, workers=1)
    assert (second.num_new, second.num_soundscapes) == (130, 230)
    assert (out / "soundscapes" / "00000.parquet").stat().st_mtime_ns == untouched
    assert content(out) == content(whole)
    assert simulate(bank_dir, out, recipe=RECIPE, num=100, seed=5, workers=1).num_soundscapes == 230


KILLED = """
import sys
from pathlib import Path
from curation.config import Recipe
from curation.simulate import simulate
if __name__ == "__main__":
    recipe = Recipe(name="test", duration=2.0)
    bank, out = Path(sys.argv[1]), Path(sys.argv[2])
    simulate(bank, out, recipe=recipe, num=230, seed=5, workers=int(sys.argv[3]))
"""


def start(bank_dir: Path, out: Path, workers: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", KILLED, bank_dir, out, str(workers)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )


def wait_for(process: subprocess.Popen[bytes], out: Path, num_files: int) -> None:
    while len(list(out.glob("audio/*/*"))) < num_files:
        assert process.poll() is None
        time.sleep(0.005)


@pytest.mark.parametrize(("workers", "num_files"), [(1, 130), (2, 30)])
def test_a_killed_run_is_finished_by_the_next_to_the_same_bytes(
    bank_dir: Path, whole: Path, tmp_path: Path, workers: int, num_files: int
) -> None:
    out = tmp_path / "killed"
    process = start(bank_dir, out, workers)
    wait_for(process, out, num_files)
    process.kill()
    process.wait()
    assert len(list(out.glob("soundscapes/[0-9]*.parquet"))) < 3
    (out / "audio" / "00002").mkdir(exist_ok=True)
    (out / "audio" / "00002" / "new-00000200.wav").write_bytes(b"half")
    (out / "audio" / "00002" / "00000240.wav").write_bytes(b"of a run for more soundscapes")
    (out / "soundscapes").mkdir(exist_ok=True)
    (out / "soundscapes" / ".00001.parquet.1.tmp").write_bytes(b"half")
    simulate(bank_dir, out, recipe=RECIPE, num=230, seed=5, workers=1)
    assert content(out) == content(whole)


def test_ctrl_c_ends_a_run_and_the_next_finishes_it(bank_dir: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "interrupted"
    process = start(bank_dir, out, 2)
    wait_for(process, out, 1)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=5) != 0
    simulate(bank_dir, out, recipe=RECIPE, num=230, seed=5, workers=1)
    assert content(out) == content(whole)


def test_a_damaged_shard_is_made_again(bank_dir: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "damaged"
    simulate(bank_dir, out, recipe=RECIPE, num=230, seed=5, workers=1)
    shard = out / "soundscapes" / "00002.parquet"
    shard.write_bytes(shard.read_bytes()[:200])
    assert simulate(bank_dir, out, recipe=RECIPE, num=230, seed=5, workers=1).num_new == 30
    assert content(out) == content(whole)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"seed": 6}, "seed = 5, not 6"),
        ({"audio_format": "flac"}, 'audio_format = "wav", not "flac"'),
        ({"split": "test"}, 'split = null, not "test"'),
        ({"engine": "scaper"}, 'engine = "mix", not "scaper"'),
        ({"recipe": Recipe(name="test", duration=3.0)}, "recipe.duration = 2.0, not 3.0"),
        ({"recipe": Recipe(name="other", duration=2.0)}, 'recipe.name = "test", not "other"'),
    ],
)
def test_another_dataset_in_the_same_folder_is_refused(
    bank_dir: Path, whole: Path, changed: dict[str, Any], told: str
) -> None:
    before = content(whole)
    settings: dict[str, Any] = {"recipe": RECIPE, "num": 230, "seed": 5, "workers": 1, **changed}
    with pytest.raises(FlamError) as error:
        simulate(bank_dir, whole, **settings)
    assert told in str(error.value)
    assert "use another folder" in str(error.value)
    assert content(whole) == before


def test_another_bank_is_refused(whole: Path, tmp_path: Path) -> None:
    sounds = [
        Sound(samples=noise(3, 1), role="background", label="wind"),
        Sound(samples=tone(1, 500)),
    ]
    bank = write_bank(tmp_path / "bank", sounds)
    with pytest.raises(FlamError, match="bank_fingerprint"):
        simulate(bank.root, whole, recipe=RECIPE, num=230, seed=5, workers=1)


def test_a_folder_that_is_being_written_is_refused(bank_dir: Path, tmp_path: Path) -> None:
    with (
        locked(tmp_path, "flam-cli simulate"),
        pytest.raises(FlamError, match="is being written by"),
    ):
        simulate(bank_dir, tmp_path, recipe=RECIPE, num=1, workers=1)


def test_a_bank_that_cannot_serve_is_an_error_before_any_output(tmp_path: Path) -> None:
    bank = write_bank(tmp_path / "bank", [Sound(samples=tone(1, 500))])
    with pytest.raises(FlamError, match="no usable foreground and background"):
        simulate(bank.root, tmp_path / "data", recipe=RECIPE, num=1, workers=1)
    assert not (tmp_path / "data").exists()


def test_splits_that_the_bank_lacks_are_reported(tmp_path: Path) -> None:
    sounds = [
        Sound(samples=noise(3, 1), role="background", label="wind"),
        Sound(samples=tone(1, 500)),
    ]
    bank = write_bank(tmp_path / "bank", sounds)
    report = simulate(bank.root, tmp_path / "data", recipe=RECIPE, num=20, workers=1)
    assert report.missing_splits == ["valid", "test"]
    assert report.splits == {"train": 20}
    only_test = RECIPE.model_copy(update={"split": Shares(test=1.0)})
    with pytest.raises(FlamError, match="any split that the recipe asks for"):
        simulate(bank.root, tmp_path / "other", recipe=only_test, num=20, workers=1)


def test_flac_holds_the_same_samples(bank_dir: Path, whole: Path, tmp_path: Path) -> None:
    simulate(bank_dir, tmp_path, recipe=RECIPE, num=3, seed=5, audio_format="flac", workers=1)
    for row in rows(tmp_path):
        flac, _ = soundfile.read(tmp_path / row.audio_path, dtype="int16")
        wav, _ = soundfile.read(whole / row.audio_path.replace(".flac", ".wav"), dtype="int16")
        assert (flac == wav).all()


def test_the_scaper_engine_makes_the_same_dataset(bank_dir: Path, whole: Path, tmp_path: Path) -> None:
    simulate(bank_dir, tmp_path, recipe=RECIPE, num=4, seed=5, engine="scaper", workers=1)
    for row, expected in zip(rows(tmp_path), rows(whole), strict=False):
        assert row.engine == "scaper"
        assert [e.label for e in row.events] == [e.label for e in expected.events]
        made, _ = soundfile.read(tmp_path / row.audio_path, dtype="int16")
        mixed, _ = soundfile.read(whole / row.audio_path, dtype="int16")
        assert abs(made.astype(int) - mixed).max() <= 1


def test_inaudible_events_are_counted(bank_dir: Path, tmp_path: Path) -> None:
    recipe = RECIPE.model_copy(update={"snr_db": Uniform(distribution="uniform", low=-60, high=-40)})
    report = simulate(bank_dir, tmp_path, recipe=recipe, num=10, workers=1)
    assert report.num_events == 0
    assert report.num_inaudible >= 10
    assert sum(row.num_inaudible or 0 for row in DatasetFolder(tmp_path).soundscapes()) == report.num_inaudible


def test_each_row_tells_how_many_planned_events_it_lacks(bank_dir: Path, tmp_path: Path) -> None:
    changes = {"snr_db": Uniform(distribution="uniform", low=-30, high=20), "drop_below_audible_db": 5.0}
    recipe, bank = RECIPE.model_copy(update=changes), Bank.open(bank_dir)
    simulate(bank_dir, tmp_path, recipe=recipe, num=20, seed=3, workers=1)
    catalogue = Catalogue(bank.clips, sample_rate=bank.sample_rate, recipe=recipe)
    inaudible = masked = 0
    for index, row in enumerate(DatasetFolder(tmp_path).soundscapes()):
        planned = plan(index, catalogue=catalogue, recipe=recipe, seed=3)
        mixture = Mixer(bank, recipe).mix(planned)
        assert (row.num_inaudible, row.num_masked) == (mixture.num_inaudible, mixture.num_masked)
        assert len(planned.events) == len(row.events) + mixture.num_inaudible + mixture.num_masked
        inaudible, masked = inaudible + mixture.num_inaudible, masked + mixture.num_masked
    assert inaudible > 0
    assert masked > 0
    assert inaudible != masked


def test_the_card_names_every_licence_and_author(whole: Path) -> None:
    card, attribution = ((whole / name).read_text("utf-8") for name in ("README.md", "ATTRIBUTION.md"))
    for text in (
        "230 soundscapes",
        "| bank\\_rejects | decode\\_error 1 |",
        "| CC0 |",
        "| CC-BY |",
        "| recipe.duration | 2.0 |",
        "ATTRIBUTION.md",
    ):
        assert text in card
    for row in DatasetFolder(whole).soundscapes():
        for source in (*row.events, row.background):
            assert f"| {source.author} | {source.licence} | {source.origin} |" in attribution


def test_no_text_of_a_source_is_markup_in_the_card(tmp_path: Path) -> None:
    sounds = [
        Sound(samples=noise(3, 1), role="background", label="wind"),
        Sound(samples=tone(1, 500), label="a|b\n# [x](http://y) <script>"),
    ]
    bank = write_bank(tmp_path / "bank", sounds)
    simulate(bank.root, tmp_path / "data", recipe=RECIPE, num=2, workers=1)
    card = (tmp_path / "data" / "README.md").read_text("utf-8")
    assert "| a\\|b # \\[x\\](http://y) \\<script\\> |" in card


def test_a_full_disk_is_one_line_and_finished_shards_stay(
    bank_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, count = store.write, 0

    def write_until_full(path: Path, samples: Any, sample_rate: int) -> None:
        nonlocal count
        count += 1
        if count > 150:
            raise OSError(28, "No space left on device")
        real(path, samples, sample_rate)

    monkeypatch.setattr(store, "write", write_until_full)
    with pytest.raises(FlamError, match=r"No space left on device; finished shards are kept"):
        simulate(bank_dir, tmp_path, recipe=RECIPE, num=230, seed=5, workers=1)
    assert [path.stem for path in DatasetFolder(tmp_path).soundscape_shards()] == ["00000"]
    assert json.loads((tmp_path / "dataset.json").read_text())["seed"] == 5


def test_a_place_that_cannot_be_written_is_one_line(bank_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FlamError, match=r"cannot write .*Not a directory"):
        simulate(bank_dir, tmp_path / "file" / "data", recipe=RECIPE, num=1, workers=1)


@pytest.mark.parametrize("emptied", [False, True])
def test_audio_that_was_lost_is_made_again(bank_dir: Path, whole: Path, tmp_path: Path, emptied: bool) -> None:
    out = tmp_path / "lost"
    shutil.copytree(whole, out)
    lost = out / "audio" / "00002" / "00000207.wav"
    lost.write_bytes(b"") if emptied else lost.unlink()
    # for fewer soundscapes than there were: the shard keeps its length
    report = simulate(bank_dir, out, recipe=RECIPE, num=210, seed=5, workers=1)
    assert (report.num_new, report.num_soundscapes) == (30, 230)
    assert content(out) == content(whole)


def test_soundscapes_without_the_file_that_says_what_they_are_get_no_others(
    bank_dir: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mixed"
    shutil.copytree(whole, out)
    (out / "dataset.json").unlink()
    before = content(out)
    with pytest.raises(FlamError, match=r"no dataset\.json that says what they were made from; .* use another --out"):
        simulate(bank_dir, out, recipe=RECIPE, num=300, seed=6, workers=1)
    assert content(out) == before


@pytest.mark.parametrize("name", ["README.md", "audio/00000/mysong.mp3", ".hidden", ".vim.tmp"])
def test_a_folder_with_files_of_the_user_is_refused_and_left_alone(bank_dir: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "mine"
    (out / name).parent.mkdir(parents=True)
    (out / name).write_bytes(b"mine")
    with pytest.raises(FlamError, match=r"is no dataset and not empty .* use another --out"):
        simulate(bank_dir, out, recipe=RECIPE, num=1, workers=1)
    assert [path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()] == [name]


def test_what_a_killed_run_left_of_itself_is_no_file_of_the_user(bank_dir: Path, tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    (tmp_path / ".dataset.json.123.tmp").write_bytes(b"half")
    simulate(bank_dir, tmp_path, recipe=RECIPE, num=1, workers=1)
    assert not (tmp_path / ".dataset.json.123.tmp").exists()


def test_files_that_are_not_its_own_stay_in_a_dataset(bank_dir: Path, tmp_path: Path) -> None:
    simulate(bank_dir, tmp_path, recipe=RECIPE, num=1, workers=1)
    names = ("audio/00000/mysong.mp3", "audio/00000/00000100.wav", "soundscapes/.mine.tmp", ".mine.tmp")
    for name in names:
        (tmp_path / name).write_bytes(b"mine")
    simulate(bank_dir, tmp_path, recipe=RECIPE, num=2, workers=1)
    assert all((tmp_path / name).read_bytes() == b"mine" for name in names)


def test_audio_is_on_the_disk_before_it_has_its_name(
    bank_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    real = store._sync

    def sync(paths: list[Path]) -> None:
        synced.extend(path.stat().st_ino for path in paths)
        real(paths)

    monkeypatch.setattr(store, "_sync", sync)
    simulate(bank_dir, tmp_path, recipe=RECIPE, num=3, workers=1)
    assert {path.stat().st_ino for path in tmp_path.glob("audio/*/*.wav")} <= set(synced)


def test_a_copy_of_a_shard_is_not_counted(bank_dir: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "copy"
    shutil.copytree(whole, out)
    shutil.copy(out / "soundscapes" / "00000.parquet", out / "soundscapes" / "0 copy.parquet")
    assert simulate(bank_dir, out, recipe=RECIPE, num=230, seed=5, workers=1).num_soundscapes == 230
