"""The recipes that come with it, each on a small bank."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from small_bank import write_bank

from curation.bank import Bank
from curation.catalogue import Catalogue
from curation.config import built_in_recipes, load_recipe
from curation.mix import Mixer
from curation.placing import most_at_once
from curation.plan import Plan, plan
from curation.simulate import simulate
from manifests.validate import validate


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    return write_bank(tmp_path_factory.mktemp("recipes") / "bank")


def plans(bank: Bank, name: str, num: int) -> list[Plan]:
    recipe = load_recipe(name)
    catalogue = Catalogue(bank.clips, sample_rate=bank.sample_rate, recipe=recipe)
    return [plan(index, catalogue=catalogue, recipe=recipe, seed=3) for index in range(num)]


def test_there_are_these() -> None:
    assert built_in_recipes() == ["finelap-100k", "flam-1m", "hard", "urban-sed"]


@pytest.mark.parametrize("name", built_in_recipes())
def test_a_dataset_by_each_keeps_every_rule(bank: Bank, tmp_path: Path, name: str) -> None:
    simulate(bank.root, tmp_path / "data", recipe=load_recipe(name), num=12, audio_format="shards", workers=1)
    assert validate(tmp_path / "data", read_audio=True) == []


def test_finelaps_has_one_to_five_sources_at_12_to_20_db(bank: Bank) -> None:
    made = plans(bank, "finelap-100k", 60)
    assert {len({event.clip for event in one.events}) for one in made} == {1, 2, 3, 4, 5}
    snrs = [event.snr_db for one in made for event in one.events]
    assert 12 <= min(snrs) < 13 < 19 < max(snrs) <= 20


def test_flams_has_up_to_three_at_once_some_repeated_some_in_pieces(bank: Bank) -> None:
    made = plans(bank, "flam-1m", 200)
    assert max(most_at_once([(e.start, e.start + e.num_samples) for e in one.events]) for one in made) == 3
    repeated = pieces = sources = 0
    for one in made:
        for _, events in itertools.groupby(sorted(one.events, key=lambda e: (e.clip, e.start)), lambda e: e.clip):
            slices = [event.source_start for event in events]
            sources += 1
            repeated += len(slices) > 1 and len(set(slices)) == 1
            pieces += len(set(slices)) > 1
            assert slices == sorted(slices)  # pieces come in the order that they have in their source
    assert 0.05 < repeated / sources < 0.15
    assert 0.01 < pieces / sources < 0.13  # what is too short or pauses in a piece stays whole


def test_the_hard_one_has_soundscapes_without_events_rooms_microphones_and_changed_sources(bank: Bank) -> None:
    made = plans(bank, "hard", 300)
    empty = [one for one in made if not one.events]
    assert 0.03 < len(empty) / len(made) < 0.13
    assert any(one.background.lufs < -60 for one in empty)
    assert 0.4 < np.mean([one.room is not None for one in made]) < 0.57
    assert 0.2 < np.mean([one.microphone is not None for one in made]) < 0.4
    effects = [event.effects for one in made for event in one.events]
    assert len({effect.pitch_semitones for effect in effects}) > 300
    assert min(effect.time_stretch for effect in effects) < 0.85 < 1.2 < max(effect.time_stretch for effect in effects)


def test_what_nobody_could_hear_is_left_out_of_the_hard_one(bank: Bank) -> None:
    mixer, num_masked = Mixer(bank, load_recipe("hard")), 0
    for one in plans(bank, "hard", 30):
        mixture = mixer.mix(one)
        num_masked += mixture.num_masked
        for event in mixture.events:
            assert max(stretch.audible_db for stretch in event.activity) >= -5
    assert num_masked > 0


def test_urban_seds_events_are_half_a_second_to_four_long_and_changed_in_pitch(bank: Bank) -> None:
    made = plans(bank, "urban-sed", 100)
    assert {one.split for one in made} == {"train", "valid", "test"}
    events = [event for one in made for event in one.events]
    assert max(event.num_samples for event in events) <= 4 * bank.sample_rate
    assert 0.7 < np.std([event.effects.pitch_semitones for event in events]) / (6 / 12**0.5) < 1.3
