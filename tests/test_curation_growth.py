"""A dataset that grew is the dataset made at once, file by file."""

import json
from pathlib import Path
from typing import Any

import pytest
from small_bank import default_sounds, write_bank

from curation.config import Recipe
from curation.simulate import simulate

RECIPE = Recipe(name="test", duration=0.5)


@pytest.fixture(scope="module")
def bank_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sounds = [sound for sound in default_sounds() if len(sound.samples) < 80_000]
    return write_bank(tmp_path_factory.mktemp("growth") / "bank", sounds).root


def grown(bank_dir: Path, out: Path, audio_format: Any, *steps: int) -> dict[str, bytes]:
    """All files of a dataset made in steps, but what dataset.json notes of where the bank was."""
    for num in steps:
        report = simulate(bank_dir, out, recipe=RECIPE, num=num, seed=3, audio_format=audio_format, workers=1)
        assert report.num_soundscapes == num
    files = {str(path.relative_to(out)): path for path in out.rglob("*") if path.is_file() and path.name != ".lock"}
    content = {name: path.read_bytes() for name, path in files.items()}
    info = json.loads(content["dataset.json"])
    assert (out / info.pop("bank")).resolve() == bank_dir.resolve()
    return {**content, "dataset.json": json.dumps(info).encode()}


def test_a_dataset_of_plans_grown_from_1000_to_2000_equals_one_of_2000(bank_dir: Path, tmp_path: Path) -> None:
    at_once = grown(bank_dir, tmp_path / "elsewhere" / "at once", "none", 2000)
    assert {"soundscapes/00000.parquet", "soundscapes/00001.parquet"} == {
        name for name in at_once if name.startswith("soundscapes/")
    }
    assert grown(bank_dir, tmp_path / "grown", "none", 1000, 2000) == at_once


@pytest.mark.parametrize(
    ("audio_format", "steps"),
    [("none", (1, 999, 1001, 1203)), ("wav", (70, 131, 250)), ("flac", (99, 101)), ("shards", (1, 130, 200, 233))],
)
def test_steps_that_are_no_whole_shards_make_no_difference(
    bank_dir: Path, tmp_path: Path, audio_format: str, steps: tuple[int, ...]
) -> None:
    at_once = grown(bank_dir, tmp_path / "at once", audio_format, steps[-1])
    assert grown(bank_dir, tmp_path / "grown", audio_format, *steps) == at_once


def test_fewer_soundscapes_than_there_are_take_none_away(bank_dir: Path, tmp_path: Path) -> None:
    before = grown(bank_dir, tmp_path / "data", "shards", 130)
    report = simulate(bank_dir, tmp_path / "data", recipe=RECIPE, num=20, seed=3, audio_format="shards", workers=1)
    assert (report.num_new, report.num_soundscapes) == (0, 130)
    assert grown(bank_dir, tmp_path / "data", "shards") == before
