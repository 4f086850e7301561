"""Plans: reproducible, inside the clip, within one split, never a sound over its own copies."""

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_bank import Sound, noise, tone, write_bank

from curation.bank import Bank
from curation.catalogue import Catalogue
from curation.config import Microphone, Recipe, Shares
from curation.distributions import Constant, IntegerUniform, Uniform
from curation.filters import LEAST_HZ
from curation.plan import Plan, plan
from manifests.errors import FlamError

RECIPE = Recipe(name="test")


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    return write_bank(tmp_path_factory.mktemp("plan") / "bank")


def catalogue_of(bank: Bank, recipe: Recipe = RECIPE) -> Catalogue:
    return Catalogue(bank.clips, sample_rate=bank.sample_rate, recipe=recipe)


def plans(bank: Bank, num: int, recipe: Recipe = RECIPE, seed: int = 0) -> list[Plan]:
    catalogue = catalogue_of(bank, recipe)
    return [plan(index, catalogue=catalogue, recipe=recipe, seed=seed) for index in range(num)]


def many(low: int, high: int) -> IntegerUniform:
    return IntegerUniform(distribution="integer_uniform", low=low, high=high)


def test_a_plan_depends_on_seed_and_index_only(bank: Bank) -> None:
    forward = plans(bank, 20)
    catalogue = catalogue_of(bank)
    backward = [plan(i, catalogue=catalogue, recipe=RECIPE, seed=0) for i in reversed(range(20))]
    assert forward == backward[::-1]
    assert forward[:10] == plans(bank, 10)
    assert forward != plans(bank, 20, seed=1)


def test_all_sounds_of_a_soundscape_are_of_its_split(bank: Bank) -> None:
    for made in plans(bank, 300):
        used = {bank.clips[event.clip].split for event in made.events}
        assert used | {bank.clips[made.background.clip].split} == {made.split}


def test_splits_get_the_shares_of_the_recipe(bank: Bank) -> None:
    recipe = Recipe(name="test", split=Shares(train=0.5, valid=0.3, test=0.2))
    counts = Counter(made.split for made in plans(bank, 2000, recipe))
    assert counts["train"] == pytest.approx(1000, abs=90)
    assert counts["test"] == pytest.approx(400, abs=70)


def test_a_fixed_split_is_every_soundscapes(bank: Bank) -> None:
    made = plan(3, catalogue=catalogue_of(bank), recipe=RECIPE, seed=0, split="test")
    assert made.split == "test"


@settings(max_examples=100, deadline=None)
@given(
    index=st.integers(0, 10**9),
    duration=st.floats(0.5, 12),
    longest=st.floats(0.05, 9),
    repeats=st.integers(1, 12),
    seed=st.integers(0, 2**63),
)
def test_everything_fits(bank: Bank, index: int, duration: float, longest: float, repeats: int, seed: int) -> None:
    recipe = Recipe(
        name="test",
        duration=duration,
        max_event_duration=longest,
        repeat_below=20,
        repeats=many(repeats, repeats),
    )
    made = plan(index, catalogue=catalogue_of(bank, recipe), recipe=recipe, seed=seed)
    assert made.num_samples == round(duration * 16000)
    background = bank.clips[made.background.clip]
    last = max(background.num_samples - made.num_samples, background.num_samples - 1)
    assert 0 <= made.background.source_start <= last
    by_clip: dict[int, list[tuple[int, int]]] = {}
    for event in made.events:
        clip = bank.clips[event.clip]
        assert clip.role == "foreground"
        assert 0 <= event.source_start <= clip.num_samples - event.num_samples
        assert 0 <= event.start <= made.num_samples - event.num_samples
        assert 1 <= event.num_samples <= max(1, round(longest * 16000))
        by_clip.setdefault(event.clip, []).append((event.start, event.start + event.num_samples))
    for spans in by_clip.values():
        ordered = sorted(spans)
        assert all(one[1] <= two[0] for one, two in itertools.pairwise(ordered))


def most_at_once(made: Plan) -> int:
    """Event by event, sample by sample."""
    heard = np.zeros(made.num_samples, int)
    for event in made.events:
        heard[event.start : event.start + event.num_samples] += 1
    return int(heard.max(initial=0))


@settings(max_examples=50, deadline=None)
@given(index=st.integers(0, 10**9), polyphony=st.integers(1, 3), events=st.integers(1, 8), repeats=st.integers(1, 5))
def test_never_more_events_at_once_than_the_recipe_allows(
    bank: Bank, index: int, polyphony: int, events: int, repeats: int
) -> None:
    recipe = Recipe(name="test", polyphony=polyphony, events=many(events, events), repeats=many(repeats, repeats))
    made = plan(index, catalogue=catalogue_of(bank, recipe), recipe=recipe, seed=0)
    assert 1 <= most_at_once(made) <= polyphony


def test_a_polyphony_that_is_never_reached_changes_nothing(bank: Bank) -> None:
    crowded = Recipe(name="test", events=many(8, 8))
    assert max(most_at_once(made) for made in plans(bank, 50, crowded)) > 2
    assert plans(bank, 50, Recipe(name="test", polyphony=1000)) == plans(bank, 50, Recipe(name="test"))


def test_sources_of_a_soundscape_are_different_and_as_many_as_drawn(bank: Bank) -> None:
    recipe = Recipe(name="test", events=many(4, 4))
    for made in plans(bank, 50, recipe):
        assert len({event.clip for event in made.events}) == 4


def test_short_sources_repeat_and_long_ones_do_not(bank: Bank) -> None:
    recipe = Recipe(name="test", repeats=many(3, 3))
    for made in plans(bank, 50, recipe):
        for clip, count in Counter(event.clip for event in made.events).items():
            assert count == (3 if bank.clips[clip].duration < 3.0 else 1)


def test_copies_are_spread_evenly_over_what_fits(tmp_path: Path) -> None:
    sounds = [
        Sound(samples=noise(3, 1), role="background", label="wind"),
        Sound(samples=tone(1, 500), label="beep"),
    ]
    recipe = Recipe(name="test", duration=4, events=many(1, 1), repeats=many(2, 2))
    made = plans(write_bank(tmp_path / "bank", sounds), 2000, recipe)
    first, second = np.array([[event.start for event in one.events] for one in made]).T / 16000
    # two ordered points in the 2 s that the copies leave, at one third and at two thirds on average
    assert first.mean() == pytest.approx(2 / 3, abs=0.05)
    assert second.mean() == pytest.approx(1 + 4 / 3, abs=0.05)


def test_no_foreground_shares_a_cluster_with_the_background(tmp_path: Path) -> None:
    sounds = [
        Sound(samples=noise(3, 1), role="background", label="street", contains=["car", "horn"]),
        Sound(samples=noise(3, 2), role="background", label="rain_bed", cluster="rain"),
        Sound(samples=tone(1, 500), label="car"),
        Sound(samples=tone(1, 501), label="engine", contains=["car"]),
        Sound(samples=tone(1, 502), label="drops", cluster="rain"),
        Sound(samples=tone(1, 503), label="dog"),
        Sound(samples=tone(1, 504), label="hooter", cluster="horn"),
    ]
    bank = write_bank(tmp_path / "bank", sounds)
    heard: dict[str, set[str]] = {"street": set(), "rain_bed": set()}
    for made in plans(bank, 200):
        labels = {bank.clips[event.clip].label for event in made.events}
        heard[bank.clips[made.background.clip].label] |= labels
    assert heard == {"street": {"drops", "dog"}, "rain_bed": {"car", "engine", "dog", "hooter"}}


@pytest.mark.parametrize(("balance", "share"), [("sources", 0.1), ("labels", 0.5)])
def test_either_each_source_or_each_label_is_equally_likely(tmp_path: Path, balance: str, share: float) -> None:
    sounds = [Sound(samples=noise(3, 1), role="background", label="wind")]
    sounds += [Sound(samples=tone(1, 500 + i), label="many") for i in range(9)]
    sounds += [Sound(samples=tone(1, 700), label="one")]
    bank = write_bank(tmp_path / "bank", sounds)
    recipe = Recipe(name="test", balance=balance, events=many(1, 1))
    rare = [bank.clips[made.events[0].clip].label == "one" for made in plans(bank, 1500, recipe)]
    assert np.mean(rare) == pytest.approx(share, abs=0.05)


def test_a_slice_starts_where_its_source_is_active(tmp_path: Path) -> None:
    late = np.concatenate([np.zeros(8 * 16000), tone(2, 500), np.zeros(6 * 16000), tone(2, 600)])
    sounds = [Sound(samples=noise(3, 1), role="background", label="wind"), Sound(samples=late)]
    bank = write_bank(tmp_path / "bank", sounds)
    recipe = Recipe(name="test", max_event_duration=4.0)
    starts = np.array([made.events[0].source_start for made in plans(bank, 300, recipe)]) / 16000
    assert ((starts > 7.9) & (starts < 10.1)).all()
    # 18 s long: a slice of 4 s from the second tone on would not fit
    assert starts.max() - starts.min() > 1.5


def test_a_slice_of_a_source_that_is_active_near_its_end_only_is_its_end(tmp_path: Path) -> None:
    late = np.concatenate([np.zeros(8 * 16000), tone(2, 500)])
    sounds = [Sound(samples=noise(3, 1), role="background", label="wind"), Sound(samples=late)]
    bank = write_bank(tmp_path / "bank", sounds)
    recipe = Recipe(name="test", max_event_duration=4.0)
    assert {made.events[0].source_start for made in plans(bank, 20, recipe)} == {6 * 16000}


def test_a_fade_longer_than_half_a_clip_leaves_it_out(bank: Bank) -> None:
    recipe = Recipe(name="test", fade=0.1)
    catalogue = catalogue_of(bank, recipe)
    assert catalogue.num_too_short == 3
    used = {event.clip for made in plans(bank, 100, recipe) for event in made.events}
    assert not any(bank.clips[clip].label == "click" for clip in used)


def test_splits_without_both_roles_are_left_out(tmp_path: Path) -> None:
    sounds = [
        Sound(samples=noise(3, 1), role="background", label="wind", split="train"),
        Sound(samples=tone(1, 500), split="train"),
        Sound(samples=tone(1, 501), split="test"),
        # in valid, the only foreground can be heard in the only background
        Sound(samples=noise(3, 1), role="background", label="wind", contains=["beep"], split="valid"),
        Sound(samples=tone(1, 502), split="valid"),
    ]
    bank = write_bank(tmp_path / "bank", sounds)
    catalogue = catalogue_of(bank)
    assert catalogue.splits == ["train"]
    assert catalogue.shares(None) == {"train": 1.0}
    with pytest.raises(FlamError, match=r"for split test \(test: 1 foregrounds and 0 backgrounds\)"):
        catalogue.shares("test")
    only_test = Recipe(name="test", split=Shares(test=1.0))
    with pytest.raises(FlamError, match="for any split that the recipe asks for"):
        catalogue_of(bank, only_test).shares(None)


def test_levels_are_drawn_for_every_copy(bank: Bank) -> None:
    recipe = Recipe(
        name="test",
        background_lufs=Constant(distribution="constant", value=-33.0),
        repeats=many(3, 3),
    )
    made = plans(bank, 50, recipe)
    assert {one.background.lufs for one in made} == {-33.0}
    levels = [event.snr_db for one in made for event in one.events]
    assert len(set(levels)) == len(levels)
    assert 12 <= min(levels) < 12.5
    assert 19.5 < max(levels) <= 20


def test_what_is_held_out_is_met_in_test_soundscapes_only(bank: Bank) -> None:
    held = min(clip.label for clip in bank.clips if clip.role == "foreground" and clip.split == "test")
    assert any(clip.label == held and clip.split == "train" for clip in bank.clips)
    met: Counter[str] = Counter()
    for made in plans(bank, 300, Recipe(name="held", hold_out=(held,))):
        met[made.split] += any(bank.clips[event.clip].label == held for event in made.events)
    assert met["train"] == met["valid"] == 0
    assert met["test"] > 0


def test_a_held_out_label_that_no_clip_has_is_an_error(bank: Bank) -> None:
    with pytest.raises(FlamError, match="hold_out names 'zebar'"):
        catalogue_of(bank, Recipe(name="held", hold_out=("zebar",)))


def background_starts(tmp_path: Path, samples: np.ndarray, num: int) -> np.ndarray:
    sounds = [Sound(samples=samples, role="background", label="park"), Sound(samples=tone(1, 500))]
    made = plans(write_bank(tmp_path / "bank", sounds), num)
    return np.array([one.background.source_start for one in made]) / 16000


def test_a_background_is_never_taken_from_where_its_clip_is_silent(tmp_path: Path) -> None:
    park = np.concatenate([noise(2.5, 1), np.zeros(20 * 16000), noise(1, 2)])
    starts = background_starts(tmp_path, park, 300)
    assert (starts <= 1.3).all()  # half of the 2.5 s are in it
    assert set(np.round(starts * 10)) == set(range(13))  # every tenth of a second of them


def test_a_background_that_is_active_for_a_moment_only_is_taken_with_it(tmp_path: Path) -> None:
    moment = np.concatenate([noise(0.05, 1), np.zeros(100 * 16000), noise(0.5, 2)])
    assert (background_starts(tmp_path, moment, 20) > 90.2).all()


def test_a_background_that_is_active_throughout_starts_anywhere(tmp_path: Path) -> None:
    starts = background_starts(tmp_path, noise(13, 1), 1000)
    counts = np.bincount(np.rint(starts * 10).astype(int), minlength=31)
    assert len(counts) == 31  # from 0 to 3 s
    assert counts.min() > 10


def test_holding_out_a_label_holds_out_all_of_its_cluster(tmp_path: Path) -> None:
    sounds = [Sound(samples=noise(3, 1), role="background", label="wind", split=split) for split in ("train", "test")]
    sounds += [
        Sound(samples=tone(1, 500), label="bark", cluster="dog", split="test"),
        Sound(samples=tone(1, 501), label="dog_bark", cluster="dog"),
        Sound(samples=tone(1, 502), label="kennel", contains=["dog"]),
        Sound(samples=tone(1, 503), label="horn"),
    ]
    bank = write_bank(tmp_path / "bank", sounds)
    made = plans(bank, 100, Recipe(name="held", hold_out=("bark",)))
    met = {(one.split, bank.clips[event.clip].label) for one in made for event in one.events}
    assert met == {("train", "horn"), ("test", "bark")}


@pytest.mark.parametrize("stretch", [1.0, 0.7])
def test_no_slice_and_no_piece_is_shorter_than_two_fades(bank: Bank, stretch: float) -> None:
    recipe = Recipe(
        name="test",
        fade=0.27,
        max_event_duration=Uniform(low=0.54, high=2.0),
        cut_share=1.0,
        repeat_share=0.0,
        time_stretch=stretch,
    )
    lengths = [event.num_samples for made in plans(bank, 100, recipe) for event in made.events]
    assert min(lengths) >= 2 * int(0.27 * 16000)


def test_a_microphone_whose_lower_edge_is_below_hearing_cuts_nothing_there(bank: Bank) -> None:
    recipe = Recipe(name="test", microphone=Microphone(share=1.0, low_hz=Uniform(low=0.0, high=50.0)))
    edges = [made.microphone.low_hz for made in plans(bank, 100, recipe) if made.microphone]
    assert len(edges) == 100
    assert any(edge == 0 for edge in edges)
    assert all(edge == 0 or edge >= LEAST_HZ for edge in edges)


def test_a_pair_of_labels_weighs_once_however_many_sources_of_one_there_are(tmp_path: Path) -> None:
    sounds = [Sound(samples=noise(2, 1), role="background", label="wind")]
    sounds += [Sound(samples=tone(0.1, 300 + i), label="a") for i in range(120)]
    sounds += [Sound(samples=tone(0.1, 500 + i), label=label) for i, label in enumerate(("b", "c"))]
    bank = write_bank(tmp_path / "bank", sounds)
    recipe = Recipe(name="test", events=many(119, 119), together=[{"labels": ("a", "b"), "weight": 1000}])
    assert len({event.clip for event in plans(bank, 1, recipe)[0].events}) == 119
    few = Recipe(name="test", events=many(3, 3), together=[{"labels": ("a", "b"), "weight": 2}])
    drawn = [
        [bank.clips[clip].label for clip in {event.clip for event in one.events}] for one in plans(bank, 2000, few)
    ]
    # b is drawn as the first of 122 sources, or among 2 of 122 once the first was another
    assert np.mean(["b" in labels for labels in drawn]) == pytest.approx(1 / 122 + 2 * 2 / 122, abs=0.009)


def test_more_repeats_than_fit_take_no_time(bank: Bank) -> None:
    recipe = Recipe(name="test", repeats=many(100_000, 100_000), repeat_below=0.1, balance="labels")
    counts = [
        Counter(bank.clips[event.clip].label for event in made.events)["click"] for made in plans(bank, 3, recipe)
    ]
    assert max(counts) == 200  # of 0.05 s in 10 s


def test_rooms_that_a_split_lacks_are_an_error_before_anything_is_made(bank: Bank) -> None:
    recipe = Recipe(name="test", reverb={"share": 0.01, "rooms": "bank"})
    with pytest.raises(FlamError, match="takes rooms from the bank, which has none for train"):
        catalogue_of(bank, recipe).shares(None)


def test_a_drawn_fade_is_the_same_for_the_copies_of_a_source_and_at_most_half_of_it(bank: Bank) -> None:
    recipe = Recipe(name="test", fade=Uniform(low=0.0, high=0.3), repeats=3, repeat_below=2.0)
    fades = set()
    for made in plans(bank, 50, recipe):
        for clip in {event.clip for event in made.events}:
            copies = [event for event in made.events if event.clip == clip]
            assert len({event.fade for event in copies}) == 1
            assert copies[0].fade <= min(0.3 * bank.sample_rate, copies[0].num_samples / 2)
            fades.add(copies[0].fade)
    assert len(fades) > 30
