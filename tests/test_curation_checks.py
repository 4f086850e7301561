import importlib.util
import json
import random
import sys
from pathlib import Path
from types import ModuleType

import pytest
from soundscape_rows import Span, event, soundscape

from curation.checks import CHECKS, Checker, Limits, Result, failed
from curation.phrases import phrases_of
from curation.templates import template_caption
from curation.vocabulary import vocabulary
from manifests.schema import Check, Phrase, Soundscape

ROOT = Path(__file__).parents[1]
CONTENT = {"complete", "nothing_invented", "order", "counts", "loudness"}


def scene(background: str | None = None, **events: list[Span]) -> Soundscape:
    """A soundscape with one event for each span."""
    rows = [event(label, span) for label, spans in events.items() for span in spans]
    return soundscape("s", rows, background)


def problems(text: str, of: Soundscape, phrases: list[Phrase] | None = None) -> dict[str, str]:
    results = Checker(phrases or []).check(text, of)
    assert [result.name for result in results] == list(CHECKS)
    assert all(bool(result.problem) != result.passed for result in results)
    return {result.name: result.problem for result in results if not result.passed}


TWO = scene("rain", dog_bark=[(1.0, 2.0), (4.0, 5.0)], glass_breaking=[(7.0, 8.0)])


@pytest.mark.parametrize(
    "text",
    [
        "A dog barks twice and then glass shatters in the rain.",
        "Two barks from a hound, followed by breaking glass.",
        "Barking, rainfall, and finally a smashing window.",
        "After a canine woofs, glass breaks as it rains.",
        "Before the glass smashes, a puppy is barking repeatedly.",
        "Dog barking, glass breaking",
        "Glass breaks after a dog barks, with no thunder and without any voices.",
    ],
)
def test_captions_that_say_what_is_heard_pass(text: str) -> None:
    assert problems(text, TWO) == {}


@pytest.mark.parametrize(
    ("text", "name", "problem"),
    [
        ("Glass shatters in the rain.", "complete", "it does not mention: dog bark"),
        ("A cat meows before glass shatters.", "complete", "it does not mention: dog bark"),
        (
            "A dog barks, thunder rolls and glass breaks.",
            "nothing_invented",
            "it mentions what is not there: thunder rolls",
        ),
        (
            "A dog barks and glass breaks near a purring cat.",
            "nothing_invented",
            "it mentions what is not there: purring cat",
        ),
        (
            "Glass breaks, and then a dog barks.",
            "order",
            "it tells of 'glass breaks' before 'dog barks', but 'dog barks' comes first",
        ),
        (
            "A dog barks three times and glass breaks.",
            "counts",
            "it says that 'dog barks' is heard 3 times, but it is heard twice",
        ),
    ],
)
def test_the_model_is_told_what_is_wrong(text: str, name: str, problem: str) -> None:
    assert problems(text, TWO)[name] == problem


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("A sea lion barks", "sea_lion_barking"),
        ("A pistol is cocked", "gun_cocking"),
        ("Someone opens a can", "can_opening"),
        ("Somebody throws up", "vomiting"),
        ("A toilet is flushed", "toilet_flush"),
        ("The wood is sawn by hand", "hand_saw"),
        ("A locomotive toots", "train_whistle"),
        ("The hiss of a snake", "snake_hiss"),
        ("Knuckles rap on a wooden door", "door_wood_knock"),
        ("A hinge squeaks", "door_wood_creaks"),
        ("An animal calls", "cow"),
        ("Some machinery whirs", "washing_machine"),
        ("A bell rings", "bicycle_bell"),
    ],
)
def test_other_words_for_a_sound_are_understood(text: str, label: str) -> None:
    assert not CONTENT & set(problems(text, scene(**{label: [(1.0, 2.0)]})))


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("A dog barks", "sea_lion_barking"),
        ("A gunshot rings out", "gun_cocking"),
        ("A cat hisses", "snake_hiss"),
        ("A door slams shut", "door_wood_creaks"),
        ("An owl hoots", "bird_chirping"),
        ("A church bell tolls", "bicycle_bell"),
        ("A computer keyboard clatters", "mouse_click"),
        ("A mouse squeaks in its nest", "mouse_click"),
        ("Glasses clink in a toast", "glass_breaking"),
        ("A sheep bleats", "goat_bleating"),
    ],
)
def test_a_sound_like_it_is_another_sound(text: str, label: str) -> None:
    assert {"complete", "nothing_invented"} <= set(problems(text, scene(**{label: [(1.0, 2.0)]})))


def test_words_of_many_meanings_mention_no_sound_where_they_mean_another_thing() -> None:
    of = scene("wind", footsteps=[(1.0, 5.0)])
    for text in (
        "Footsteps can be heard in an open field as the wind blows.",
        "Someone walks past the tree bark in a light wind.",
        "In the background, steps in a row pass a wooden door.",
        "Footsteps on the stairs, and no birds, only wind.",
    ):
        assert not CONTENT & set(problems(text, of)), text


@pytest.mark.parametrize(
    ("label", "right", "wrong"),
    [
        ("zorb", "A zorb hums and rattles.", "A quiet corner."),
        ("glorping of the frumious zorb", "The zorb glorps away.", "A quiet corner."),
        ("x__17", "There is an x 17.", "A quiet corner."),
        ("\u9ce5", "A \u9ce5 sings while it is quiet.", "A quiet little corner."),
        ("\u9ce5", "\u9ce5\u304c sings somewhere near.", "A quiet little corner."),
        ("caf\u00e9-\u00fcber", "The caf\u00e9 \u00fcber is near.", "A quiet corner."),
    ],
)
def test_labels_of_unknown_words_are_recognised_by_these(label: str, right: str, wrong: str) -> None:
    of = soundscape("s", [event(label, (1.0, 2.0))])
    assert not CONTENT & set(problems(right, of))
    assert "complete" in problems(wrong, of)


@pytest.mark.parametrize("label", ["", "___", "!!!", "the of", "\U0001f436", "7", "\ud800", "a" * 5000, "no no no"])
def test_no_label_breaks_the_checks(label: str) -> None:
    of = soundscape("s", [event(label, (1.0, 2.0))], label or None)
    for text in ("", label, f"A {label} is heard."):
        assert len(Checker(phrases_of([("dog", "dog")])).check(text, of)) == len(CHECKS)
        assert len(Checker().check_event(text, of, label)) == len(CHECKS)


def test_phrases_tell_of_other_words_for_a_cluster() -> None:
    of = scene(zorb=[(1.0, 2.0)])
    phrase = Phrase(
        phrase="a wibbly contraption", label="zorb", cluster="zorb", origin="model", ancestors=[], near_misses=[]
    )
    assert "complete" in problems("A wibbly contraption whirs.", of)
    assert "complete" not in problems("A wibbly contraption whirs.", of, [phrase])


def test_what_sources_and_background_contain_is_no_invention() -> None:
    of = scene("city_street", dog_bark=[(1.0, 2.0)])
    assert "nothing_invented" in problems("A dog barks as a siren wails.", of)
    of.events[0].contains.append("siren")
    assert "nothing_invented" not in problems("A dog barks as a siren wails.", of)
    assert "nothing_invented" not in problems("A dog barks in the traffic.", of)


@pytest.mark.parametrize(
    "text",
    [
        "A dog doesn't bark and glass breaks.",
        "A dog does not bark and glass breaks.",
        "A dog never barks and glass breaks.",
        "A dog isn\u2019t heard, and glass breaks.",
        "A dog can't be heard, and glass breaks.",
        "The dog is silent and glass breaks.",
        "Barking is absent, and glass breaks.",
        "No dog barks, and glass breaks.",
        "No dog can be heard barking, and glass breaks.",
        "There isn't a dog barking, and glass breaks.",
        "One can't hear a dog, and glass breaks.",
        "Glass breaks with no distant barking.",
        "Without any dog barking, glass breaks.",
        "Glass breaks in the absence of barking.",
        "Glass breaks, with no voices or barking.",
    ],
)
def test_a_sound_that_is_said_not_to_be_heard_is_not_mentioned(text: str) -> None:
    assert problems(text, TWO)["complete"] == "it does not mention: dog bark"


@pytest.mark.parametrize("text", ["a cat does not meow", "a cat is absent", "no cat meows", "no cats are meowing"])
def test_nobody_describes_what_does_not_happen(text: str) -> None:
    assert "nothing_invented" in problems(f"A dog barks, glass breaks and {text}.", TWO)


@pytest.mark.parametrize(
    "text",
    [
        "A dog does not stop barking, and glass breaks in rain that never stops.",
        "A dog barks and does not bark again before glass breaks.",
        "A dog barks, not loudly, and glass breaks.",
        "Glass breaks once the dog is silent.",
        "The dog's barking isn't the only sound: glass breaks.",
        "A dog that cannot be seen barks, and glass breaks.",
        "Not only does a dog bark but glass breaks.",
        "A dog barks twice and is silent before glass breaks.",
    ],
)
def test_a_denial_of_anything_else_leaves_the_mention(text: str) -> None:
    assert not CONTENT & set(problems(text, TWO)), text


def test_a_verb_after_what_is_there_is_no_other_sound() -> None:
    of = scene("wind", subway_train=[(1.0, 5.0)])
    for text in ("A train screeches to a halt.", "A train rattles and squeals in the wind."):
        assert not CONTENT & set(problems(text, of)), text
    assert "nothing_invented" in problems("A train passes and squealing is heard, with a screaming man.", of)


def test_doubtful_sounds_may_be_told_of_or_left_out() -> None:
    of = scene(dog_bark=[(1.0, 2.0)], cow=[(4.0, 5.0)])
    of.events[1].activity[0].audible_db = -3.0
    assert not CONTENT & set(problems("A dog barks, alone.", of))
    assert not CONTENT & set(problems("A dog barks and a cow moos.", of))


APART = scene(dog_bark=[(1.0, 2.0)], cow=[(5.0, 6.0)])


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("A dog barks, then a cow moos.", True),
        ("A cow moos, then a dog barks.", False),
        ("A dog barks before a cow moos.", True),
        ("A cow moos before a dog barks.", False),
        ("A cow moos after a dog barks.", True),
        ("A dog barks after a cow moos.", False),
        ("After a dog barks, a cow moos.", True),
        ("After a cow moos, a dog barks.", False),
        ("Barking is followed by mooing.", True),
        ("Mooing is followed by barking.", False),
        ("A cow follows a dog.", True),
        ("A dog's bark follows a cow's moo.", False),
        ("First a dog barks and a cow moos later.", True),
        ("First a cow moos and a dog barks later.", False),
        ("It starts with a barking dog and ends with a cow.", True),
        ("It starts with a cow and ends with a barking dog.", False),
        ("A dog barks while a cow moos.", False),
        ("A dog and a cow are heard at the same time.", False),
        ("A dog barks and a cow moos.", True),
        ("A cow moos and a dog barks.", True),
        ("A dog bark precedes a cow's moo.", True),
        ("A cow's moo precedes a dog's bark.", False),
        ("A cow moos, preceding a dog's bark.", False),
        ("Following a bark, a cow moos.", True),
        ("Following a moo, a dog barks.", False),
        ("Followed by a moo, a dog barks.", True),
        ("Followed by a bark, a cow moos.", False),
        ("Preceded by a bark, a cow moos.", True),
        ("Preceded by a moo, a dog barks.", False),
        ("A cow moos prior to a bark.", False),
        ("A dog barks simultaneously with a cow.", False),
        ("A dog and a cow are heard simultaneously.", False),
        ("A dog barks, and at the same time a cow moos.", False),
        ("A dog and a cow, in that order.", True),
        ("A cow and a dog, in that order.", False),
        ("In this order: a dog, a cow.", True),
        ("In this order: a cow, a dog.", False),
        ("Once the dog has stopped barking, a cow moos.", True),
        ("Once the cow has gone quiet, a dog barks.", False),
    ],
)
def test_order_words_are_held_against_the_times(text: str, right: bool) -> None:
    assert ("order" not in problems(text, APART)) == right


def test_sounds_that_come_again_and_again_may_be_told_in_either_order() -> None:
    of = scene(dog_bark=[(1.0, 2.0), (5.0, 6.0)], cow=[(3.0, 4.0), (7.0, 8.0)])
    for text in ("A dog barks, then a cow moos.", "A cow moos, then a dog barks.", "A dog barks before a cow moos."):
        assert "order" not in problems(text, of)
    assert "order" in problems("A cow moos before any bark.", of)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("A dog barks.", True),
        ("A dog barks twice.", True),
        ("A dog barks three times.", True),
        ("A dog barks at least twice.", True),
        ("A dog barks once.", False),
        ("A dog barks only once.", False),
        ("A single bark from a dog.", False),
        ("A dog barks four times.", False),
        ("Five barks from a dog.", False),
        ("A dog barks more than three times.", False),
        ("Two dogs bark.", True),
        ("Seven dogs bark.", True),  # how many dogs there are, nobody can know
        ("A dog barks repeatedly.", True),
        ("One after another, dogs bark.", True),
    ],
)
def test_counts_from_spans_to_bursts_are_right(text: str, right: bool) -> None:
    of = soundscape("s", [event("dog_bark", (1.0, 1.5), (2.0, 2.4)), event("dog_bark", (5.0, 6.0))])
    assert ("counts" not in problems(text, of)) == right


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("A loud dog bark and a faint moo.", True),
        ("A faint bark is drowned out by a deafening moo.", False),
        ("A dog barks very quietly, then a cow moos much louder than the bark.", False),
        ("A dog barks softly and a cow moos loudly.", False),
        ("A dog barks loudly and a cow moos softly.", True),
        ("A dog barks softly and a cow moos.", True),
        ("A quiet bark, a quiet moo.", True),
    ],
)
def test_what_is_called_faint_is_not_clearly_louder_than_what_is_called_loud(text: str, right: bool) -> None:
    for quieter, told in ((20.1, True), (19.9, right), (None, True)):
        of = scene(dog_bark=[(1.0, 2.0)], cow=[(5.0, 6.0)])
        of.events[0].snr_db, of.events[1].snr_db = 30.0, quieter
        assert ("loudness" not in problems(text, of)) == told, quieter


def test_a_doubtful_event_widens_what_may_be_counted() -> None:
    of = scene(gunshot=[(1.0, 1.2), (3.0, 3.2), (5.0, 5.2)])
    of.events[2].activity[0].audible_db = -1.0
    for text, right in (("once", True), ("twice", True), ("three times", True), ("four times", False)):
        assert ("counts" not in problems(f"A gun is fired {text}.", of)) == right
    assert "counts" in problems("A gun is fired several times.", scene(gunshot=[(1.0, 1.2)]))


@pytest.mark.parametrize(
    "text",
    [
        "Ein Hund bellt und eine Glasscheibe zerbricht im Regen.",
        "Un perro ladra mientras se rompe un cristal bajo la lluvia.",
        "Un chien aboie puis du verre se brise sous la pluie.",
        "Yi zhi gou zai jiao, ran hou boli sui le.",
        "Pies szczeka, a potem t\u0142ucze si\u0119 szk\u0142o.",
        "\u0421\u043e\u0431\u0430\u043a\u0430 \u043b\u0430\u0435\u0442.",
        "A dog barks, und dann zerbricht ein Glas im Regen.",
    ],
)
def test_other_languages_are_found(text: str) -> None:
    assert "english" in problems(text, TWO)


@pytest.mark.parametrize(
    "text", ["Dog barking, heavy rain", "zorb, flurble", "A caf\u00e9 na\u00efvely hums", "barking"]
)
def test_short_english_is_english(text: str) -> None:
    assert "english" not in problems(text, scene(dog_bark=[(1.0, 2.0)], zorb=[(1.0, 2.0)], flurble=[(1.0, 2.0)]))


@pytest.mark.parametrize(
    "text",
    [
        "After one second a dog barks, and glass breaks.",
        "A dog barks after three seconds of rain, and glass breaks.",
        "A dog barks for half a minute, and glass breaks.",
        "A dog barks and glass breaks at second seven.",
        "A dog barks and glass breaks in the seventh second.",
        "A dog barks and glass breaks at 7.",
        "A dog barks and glass breaks at seven.",
        "At 7, glass breaks after a dog barks.",
        "A dog barks and glass breaks seven seconds in.",
        "A dog barks from 1 to 5, and glass breaks.",
        "A three-second silence follows the dog's barks, and glass breaks.",
    ],
)
def test_times_may_not_be_given_in_words_either(text: str) -> None:
    assert problems(text, TWO)["no_times"] == "it gives times"


@pytest.mark.parametrize(
    "text",
    [
        "A dog barks, a second one follows, and glass breaks a few seconds later.",
        "A dog barks at two separate moments, and glass breaks.",
        "A dog barks two times, and at one point glass breaks.",
        "A dog barks from one end to another, and glass breaks in the second half.",
    ],
)
def test_counts_and_ordinals_are_no_times(text: str) -> None:
    assert "no_times" not in problems(text, TWO)


@pytest.mark.parametrize(
    ("more", "name"),
    [
        (" (id 1)", "no_echo"),
        (" (ids: 1, 2)", "no_echo"),
        (" at 12 dB", "no_echo"),
        (", 12dB louder", "no_echo"),
        (" at -23 LUFS", "no_echo"),
        (" \U0001f600", "plain"),
        (" \u266b", "plain"),
        ("\u202e", "one_line"),
        ("\u200b", "one_line"),
        ("\ufeff", "one_line"),
        ("\u00ad", "one_line"),
    ],
)
def test_numbers_of_the_question_symbols_and_invisible_characters_are_found(more: str, name: str) -> None:
    assert list(problems(f"A dog barks and glass breaks{more}", TWO)) == [name]


def test_the_words_of_a_label_are_no_data_of_the_question() -> None:
    assert "no_echo" not in problems("A db zorb is heard.", scene(db_zorb=[(1.0, 2.0)]))


def test_limits_are_what_the_prompt_asks_for() -> None:
    def names(text: str, limits: Limits) -> list[str]:
        return failed(Checker().check(text, scene(dog_bark=[(2.0, 3.0)]), limits=limits))

    assert names("barking", Limits()) == ["length"]
    assert names("barking", Limits(fewest_words=1)) == []
    assert names("A dog barks at 2.0 seconds.", Limits()) == ["no_times"]
    assert names("A dog barks at 2.0 seconds.", Limits(times=True)) == []
    assert names("A dog barks loudly and long.", Limits(most_words=5)) == ["length"]
    assert failed([Result("order", passed=False), Check(name="counts", passed=False)]) == ["order", "counts"]


def test_a_phrase_about_one_sound_mentions_that_and_no_other() -> None:
    def names(text: str) -> list[str]:
        return failed(Checker().check_event(text, TWO, "dog_bark", limits=Limits(fewest_words=2, most_words=13)))

    assert names("a barking dog") == []
    assert names("two barks") == []
    assert names("breaking glass") == ["complete", "nothing_invented"]
    assert names("a dog barking in the rain") == ["nothing_invented"]
    assert names("a dog barking and a cat meowing") == ["nothing_invented"]


@pytest.mark.parametrize(
    "text",
    [
        "x" * 1_000_000,
        "1" * 1_000_000,
        "dog " * 250_000,
        "while dog " * 100_000,
        "then a dog barks before glass breaks after " * 20_000,
        "one two three dogs " * 50_000,
        "first finally at the end " * 40_000,
        "of " * 300_000,
        "here is " * 100_000,
        "\x00\x07\ud800\u202e" * 10_000,
        "".join(map(chr, range(1, 5000))),
        "_" * 100_000,
        "-" * 100_000,
        "1." * 100_000,
        "\u0130" * 3000,
    ],
)
def test_hostile_answers_fail_and_do_not_hang(text: str) -> None:
    assert failed(Checker().check(text, TWO))


def test_templates_pass_the_checks_of_what_they_say() -> None:
    rng = random.Random(0)
    labels = [
        "dog_bark",
        "cat",
        "rain",
        "zorb",
        "car_horn",
        "Speech",
        "Tick",
        "Run",
        "door_wood_knock",
        "Bird",
        "can_opening",
        "鳥",
        "Buzz",
        "siren",
    ]
    checker = Checker(phrases_of((label, label) for label in labels))
    num_disordered = 0
    for index in range(300):
        chosen = rng.sample(labels, rng.randint(1, 4))
        starts = [rng.uniform(0, 8) for _ in chosen]
        of = soundscape(
            str(index),
            [event(label, (on, on + rng.uniform(0.3, 2))) for label, on in zip(chosen, starts, strict=True)],
            rng.choice([None, "city_street"]),
        )
        wrong = CONTENT & set(failed(checker.check(template_caption(of, seed=index), of)))
        assert wrong <= {"order"}, (template_caption(of, seed=index), wrong)
        num_disordered += bool(wrong)
    assert num_disordered <= 6  # the check takes "X and Y come first" to be about Y alone: docs/captions.md


def test_upper_case_and_more_spaces_change_no_content_check() -> None:
    for text in ("A dog barks, then glass breaks.", "Glass breaks, then a cat meows.", "A dog barks once."):
        expected = CONTENT & set(problems(text, TWO))
        assert CONTENT & set(problems(text.upper(), TWO)) == expected
        assert CONTENT & set(problems(text.replace(" ", "   "), TWO)) == expected


def test_every_entry_of_the_vocabulary_can_be_reached() -> None:
    known = vocabulary()
    reached = 0
    for terms in known.terms.values():
        for _, meaning in terms:
            reached |= meaning.claimed | meaning.hinted
    assert not [name for name, bit in known.bits.items() if name != "nothing" and not reached & bit]


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("caption_checks", ROOT / "benchmarks" / "caption_checks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = before
    return module


def test_labelled_captions_are_told_right_from_wrong(benchmark: ModuleType) -> None:
    path = ROOT / "benchmarks" / "captions" / "tuning.jsonl"
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    result = benchmark.measured(rows)
    for category, row in result["categories"].items():
        assert row["precision"] >= 0.95, category
        assert row["recall"] >= 0.94, category
    assert result["right_passed"] >= 0.98
    assert result["wrong_failed"] >= 0.97


def test_can_before_a_verb_is_no_tin_and_one_before_can_no_count() -> None:
    sip = soundscape("a", [event("drinking_sipping", (1, 2))], "rain")
    assert not CONTENT & set(failed(Checker().check("Someone sipping a drink can be heard in the rain.", sip)))
    tin = soundscape("a", [event("can_opening", (1, 2)), event("can_opening", (4, 5))], "rain")
    assert not CONTENT & set(failed(Checker().check("One can hear a can opening in the rain.", tin)))
    assert "counts" in failed(Checker().check("One can is opened in the rain.", tin))
