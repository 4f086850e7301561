"""The reference engine, and both engines held together on the same plans."""

import csv
import logging
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_bank import write_bank

from curation.bank import Bank, build_bank
from curation.catalogue import Catalogue
from curation.config import Recipe
from curation.distributions import Constant, Uniform
from curation.mix import Mixer
from curation.plan import Plan, plan
from curation.rendered import Mixture
from curation.scaper_engine import ScaperMixer, scaper

RECIPE = Recipe(name="test")
REAL = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    return write_bank(tmp_path_factory.mktemp("scaper") / "bank")


def plans(bank: Bank, num: int, recipe: Recipe = RECIPE, seed: int = 0) -> list[Plan]:
    catalogue = Catalogue(bank.clips, sample_rate=bank.sample_rate, recipe=recipe)
    return [plan(index, catalogue=catalogue, recipe=recipe, seed=seed) for index in range(num)]


def agreement_db(one: Mixture, two: Mixture) -> float:
    """Power of the signal against that of the difference."""
    difference = one.samples.astype(np.float64) - two.samples
    power = np.square(one.samples.astype(np.float64)).sum()
    return float(10 * np.log10(power / max(np.square(difference).sum(), 1e-9)))


def assert_same_labels(one: Mixture, two: Mixture) -> None:
    assert one.num_inaudible == two.num_inaudible
    assert one.mix_gain_db == pytest.approx(two.mix_gain_db, abs=1e-5)
    assert one.background.lufs == pytest.approx(two.background.lufs, abs=1e-5)
    assert len(one.events) == len(two.events)
    for left, right in zip(one.events, two.events, strict=True):
        assert (left.label, left.start, left.num_samples) == (
            right.label,
            right.start,
            right.num_samples,
        )
        assert left.snr_db == pytest.approx(right.snr_db, abs=1e-5)  # the bank stores 32-bit floats
        assert left.gain_db == pytest.approx(right.gain_db, abs=1e-5)
        assert len(left.activity) == len(right.activity)
        for a, b in zip(left.activity, right.activity, strict=True):
            assert (a.onset, a.offset) == pytest.approx((b.onset, b.offset), abs=0.0051)


def assert_engines_agree(bank: Bank, made: list[Plan], recipe: Recipe) -> None:
    fast, reference = Mixer(bank, recipe), ScaperMixer(bank, recipe)
    for one in made:
        mixed, by_scaper = fast.mix(one), reference.mix(one)
        assert agreement_db(mixed, by_scaper) >= 60, one
        assert_same_labels(mixed, by_scaper)


def test_both_engines_make_the_same_soundscapes(bank: Bank) -> None:
    assert_engines_agree(bank, plans(bank, 15), RECIPE)


@pytest.mark.parametrize("duration", [2.5, 3.3337, 10.01])
def test_they_agree_at_any_duration(bank: Bank, duration: float) -> None:
    recipe = Recipe(name="odd", duration=duration)
    assert_engines_agree(bank, plans(bank, 3, recipe), recipe)


def test_they_agree_on_what_would_clip(bank: Bank) -> None:
    recipe = Recipe(name="loud", background_lufs=Constant(distribution="constant", value=-15.0))
    assert_engines_agree(bank, plans(bank, 4, recipe), recipe)


def test_they_agree_on_what_is_inaudible(bank: Bank) -> None:
    recipe = Recipe(name="faint", snr_db=Uniform(distribution="uniform", low=-25, high=5))
    made = plans(bank, 8, recipe)
    assert any(Mixer(bank, recipe).mix(one).num_inaudible for one in made)
    assert_engines_agree(bank, made, recipe)


def test_they_agree_at_a_rate_at_which_5_ms_is_no_whole_number_of_samples(tmp_path: Path) -> None:
    bank = write_bank(tmp_path / "bank", rate=22050)
    assert_engines_agree(bank, plans(bank, 3), RECIPE)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"needs the recordings of {REAL}")
def test_they_agree_on_real_recordings(tmp_path: Path) -> None:
    with (REAL / "benchmark.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    chosen = rows[::40] + [row for row in rows if row["role"] == "background"][::8]
    for row in chosen:
        copy = tmp_path / row["path"]
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REAL / row["path"], copy)
    with (tmp_path / "part.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows({row["path"]: row for row in chosen}.values())
    source = str(tmp_path / "part.csv")
    bank = build_bank([source], tmp_path / "made", sample_rate=16000, workers=1).bank
    assert_engines_agree(bank, plans(bank, 12), RECIPE)


def test_an_error_inside_scaper_leaves_the_log_level_alone(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> float:
        raise RuntimeError("inside")

    monkeypatch.setattr(scaper.core, "get_integrated_lufs", fail)
    level = logging.getLogger().level
    with pytest.raises(RuntimeError, match="inside"):
        ScaperMixer(bank, RECIPE).mix(plans(bank, 1)[0])
    assert logging.getLogger().level == level


def test_scaper_still_needs_np_inf() -> None:
    # Once it does not, the shim in scaper_engine.py can go.
    source = Path(scaper.core.__file__).read_text("utf-8")
    assert "np.Inf" in source


def test_importing_the_engine_prints_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import curation.scaper_engine"],
        capture_output=True,
        cwd=Path(__file__).parents[1],
        check=True,
    )
    assert (done.stdout, done.stderr) == (b"", b"")
