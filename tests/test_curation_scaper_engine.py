"""The reference engine, and both engines held together on the same plans."""

import csv
import logging
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from small_bank import Sound, noise, tone, write_bank

from curation.bank import Bank, build_bank
from curation.catalogue import Catalogue
from curation.config import Recipe
from curation.distributions import Choice, Constant, Uniform
from curation.effects import EventEffects, processed, processed_length
from curation.mix import Mixer
from curation.plan import Plan, PlannedBackground, PlannedEvent, plan
from curation.rendered import Mixture
from curation.scaper_engine import ScaperMixer, scaper
from manifests.audio import to_int16

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
    difference = one.samples().astype(np.float64) - two.samples()
    power = np.square(one.samples().astype(np.float64)).sum()
    return float(10 * np.log10(power / max(np.square(difference).sum(), 1e-9)))


def assert_same_labels(one: Mixture, two: Mixture, *, close_db: float = 1e-5) -> None:
    """By default as near as 32-bit floats, in which the bank stores its measures, let them be."""
    assert one.num_inaudible == two.num_inaudible
    assert one.mix_gain_db == pytest.approx(two.mix_gain_db, abs=close_db)
    assert one.background.lufs == pytest.approx(two.background.lufs, abs=close_db)
    assert len(one.events) == len(two.events)
    for left, right in zip(one.events, two.events, strict=True):
        assert (left.label, left.start, left.num_samples) == (
            right.label,
            right.start,
            right.num_samples,
        )
        assert left.snr_db == pytest.approx(right.snr_db, abs=close_db)
        assert left.gain_db == pytest.approx(right.gain_db, abs=close_db)
        assert left.pitch_semitones == right.pitch_semitones
        assert left.time_stretch == right.time_stretch
        assert len(left.activity) == len(right.activity)
        for a, b in zip(left.activity, right.activity, strict=True):
            assert (a.onset, a.offset) == pytest.approx((b.onset, b.offset), abs=0.0051)


def assert_engines_agree(
    bank: Bank, made: list[Plan], recipe: Recipe, *, least_db: float = 60.0, close_db: float = 1e-5
) -> None:
    fast, reference = Mixer(bank, recipe), ScaperMixer(bank, recipe)
    for one in made:
        mixed, by_scaper = fast.mix(one), reference.mix(one)
        assert agreement_db(mixed, by_scaper) >= least_db, one
        assert_same_labels(mixed, by_scaper, close_db=close_db)


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


PITCH = {"pitch_semitones": Uniform(low=-3.0, high=3.0)}
STRETCH = {"time_stretch": Uniform(low=0.8, high=1.25)}
EFFECTS = {  # changes to a recipe; how near the engines are to each other in dB, and in dB of gains and SNRs
    "pitch": (PITCH, 60.0, 0.01),
    "stretch": (STRETCH, 85.0, 1e-5),
    "both": (PITCH | STRETCH, 60.0, 0.01),
}


@pytest.mark.parametrize("name", EFFECTS)
def test_they_agree_on_pitch_and_duration(bank: Bank, name: str) -> None:
    changes, least_db, close_db = EFFECTS[name]
    recipe = RECIPE.model_copy(update=changes)
    assert_engines_agree(bank, plans(bank, 6, recipe), recipe, least_db=least_db, close_db=close_db)


def stretched_to_the_end(bank: Bank, num_samples: int, effects: EventEffects) -> Plan:
    """A plan with one event, a slice of the first foreground clip, that ends with the soundscape."""
    clip = next(place for place, one in enumerate(bank.clips) if one.role == "foreground")
    length = processed_length(num_samples, effects)
    start = 1000
    return Plan(
        index=0,
        split="train",
        num_samples=start + length,
        background=PlannedBackground(clip=0, source_start=0, lufs=-50.0),
        events=(
            PlannedEvent(
                clip=clip,
                source_start=0,
                source_samples=num_samples,
                start=start,
                num_samples=length,
                snr_db=20.0,
                fade=160,
                effects=effects,
            ),
        ),
    )


@pytest.mark.parametrize(
    ("num_samples", "time_stretch"),
    [
        (30001, 1.25),  # lasts a quarter of a sample longer than it has samples
        (30003, 1.166666),  # half a sample
        (1_920_000, 1 / 0.7999996),  # sox is told 0.8; by the exact factor a sample and a half longer
    ],
)
def test_an_event_that_is_stretched_to_the_end_begins_where_it_should(
    tmp_path: Path, num_samples: int, time_stretch: float
) -> None:
    sounds = [
        Sound(samples=noise(20, 1), role="background", label="wind"),
        Sound(samples=noise(num_samples / 16000, 2), label="hiss"),  # a sample off is another sound
    ]
    bank = write_bank(tmp_path / "bank", sounds)
    made = stretched_to_the_end(bank, num_samples, EventEffects(time_stretch=time_stretch))
    assert_engines_agree(bank, [made], RECIPE, least_db=85.0)


def test_sox_does_not_clip_what_an_effect_raises_above_full_scale(tmp_path: Path) -> None:
    square = np.sign(tone(2.0, 441.0)) * (32767 / 32768)
    sounds = [Sound(samples=noise(13, 1), role="background", label="wind"), Sound(samples=square, label="buzz")]
    bank = write_bank(tmp_path / "bank", sounds)
    shifted = EventEffects(pitch_semitones=2.0)
    assert np.abs(processed(square.astype(np.float32), shifted, 16000)).max() > 1.1
    assert_engines_agree(bank, [stretched_to_the_end(bank, len(square), shifted)], RECIPE, close_db=0.01)


@pytest.fixture(scope="module")
def real_bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    """Of some of the benchmark's recordings."""
    tmp_path = tmp_path_factory.mktemp("real")
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
    return build_bank([source], tmp_path / "made", sample_rate=16000, workers=1).bank


@pytest.mark.skipif(not REAL.is_dir(), reason=f"needs the recordings of {REAL}")
def test_they_agree_on_real_recordings(real_bank: Bank) -> None:
    assert_engines_agree(real_bank, plans(real_bank, 12), RECIPE)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"needs the recordings of {REAL}")
@pytest.mark.parametrize("name", EFFECTS)
def test_they_agree_on_real_recordings_of_another_pitch_and_duration(real_bank: Bank, name: str) -> None:
    changes, least_db, close_db = EFFECTS[name]
    recipe = RECIPE.model_copy(update=changes)
    assert_engines_agree(real_bank, plans(real_bank, 10, recipe), recipe, least_db=least_db, close_db=close_db)


def test_scaper_makes_a_soundscape_of_its_jams_file_also_in_another_place(bank: Bank, tmp_path: Path) -> None:
    changes = {**STRETCH, "snr_db": Uniform(low=-25.0, high=20.0), "background_lufs": Choice(values=(-50.0, -15.0))}
    recipe = RECIPE.model_copy(update=changes)
    reference = ScaperMixer(bank, recipe)
    num_left_out = num_scaled = 0
    for made in plans(bank, 4, recipe):
        mixture = reference.mix(made)
        num_left_out += mixture.num_inaudible
        num_scaled += mixture.mix_gain_db < 0
        path = reference.write_jams(made, tmp_path / "written" / str(made.index))
        moved = shutil.move(path.parent, tmp_path / "moved" / str(made.index))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of jams, and of clipping that is mended
            samples, jam, annotated, _ = scaper.generate_from_jams(
                str(moved / path.name), fg_path=str(moved / "foreground"), bg_path=str(moved / "background")
            )
        assert (to_int16(samples[:, 0]) == mixture.samples()).all()
        assert [label for _, _, label in annotated] == [event.label for event in mixture.events]
        assert [onset for onset, _, _ in annotated] == pytest.approx([e.onset for e in mixture.events], abs=1e-4)
        assert next(iter(jam.annotations[0].data)).value["label"] == mixture.background.label
    assert num_left_out > 0
    assert num_scaled > 0


def test_a_label_that_is_no_name_of_a_folder_does_not_leave_it(tmp_path: Path) -> None:
    sounds = [
        Sound(samples=noise(13, 1), role="background", label=".wind"),
        Sound(samples=noise(1, 2), label="../../rain / hail" + 60 * "雨"),
    ]
    bank = write_bank(tmp_path / "bank", sounds)
    ScaperMixer(bank, RECIPE).write_jams(plans(bank, 1)[0], tmp_path / "out" / "0")
    assert [path.name for path in (tmp_path / "out" / "0" / "foreground").iterdir()] == [
        "______rain _ hail" + 43 * "雨"
    ]
    assert [path.name for path in (tmp_path / "out" / "0" / "background").iterdir()] == ["_wind"]


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
