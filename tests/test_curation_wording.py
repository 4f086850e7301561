import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.grammar import article, gerund, is_plural, third_person
from curation.wording import plain_words, wording, wordings


@pytest.mark.parametrize(
    ("label", "noun", "acts"),
    [
        ("dog_bark", "a dog bark", "a dog barks"),
        ("Dog", "a dog", "a dog barks"),
        ("crying_baby", "a crying baby", "a baby cries"),
        ("keyboard_typing", "someone typing on a keyboard", "someone types on a keyboard"),
        ("Subway_and_metro_and_underground", "a subway", "a subway is heard"),
        ("car-horn", "a car horn", "a car horn honks"),
        ("glassBreaking", "glass breaking", "glass breaks"),
        ("rain", "rain", "rain falls"),
        ("footsteps", "footsteps", "footsteps are heard"),
        ("church_bells", "church bells", "church bells ring"),
        ("washing_machine", "a washing machine", "a washing machine runs"),
        ("singing_bowl", "a singing bowl", "a singing bowl is heard"),
        ("wind_chime", "a wind chime", "a wind chime is heard"),
        ("sneezing", "sneezing", "someone sneezes"),
        ("Alarm_bell_ringing", "an alarm bell ringing", "an alarm bell rings"),
        ("children_playing", "children playing", "children play"),
        ("Female_singing", "a woman singing", "a woman sings"),
        ("burst of laughter", "a burst of laughter", "a burst of laughter is heard"),
        ("Vehicle horn, car horn, honking", "a vehicle horn", "a vehicle horn sounds"),
        ("Chewing_and_mastication", "chewing", "someone chews"),
        ("Male speech, man speaking", "a man speaking", "a man speaks"),
        ("Chopping (food)", "chopping", "chopping is heard"),
        ("wood_chopping", "someone chopping wood", "someone chops wood"),
        ("heavy_breathing", "someone breathing heavily", "someone breathes heavily"),
        ("footsteps_gravel", "footsteps on gravel", "footsteps on gravel are heard"),
        ("writing_with_chalk", "writing with chalk", "someone writes with chalk"),
        ("biting_an_apple", "biting an apple", "someone bites an apple"),
        ("Rain on surface", "rain on a surface", "rain falls on a surface"),
        ("city_street", "the sounds of a city street", "the sounds of a city street are heard"),
        ("Electric_shaver_toothbrush", "an electric shaver or toothbrush", "an electric shaver or toothbrush is heard"),
        ("pigeon_cooing", "a pigeon cooing", "a pigeon coos"),
        ("鳥", "the sound of 鳥", "the sound of 鳥 is heard"),
        ("007", "the sound of 007", "the sound of 007 is heard"),
        ("_", "a sound", "a sound is heard"),
    ],
)
def test_a_label_becomes_a_noun_phrase_and_a_clause(label: str, noun: str, acts: str) -> None:
    assert (wording(label).noun, wording(label).acts) == (noun, acts)


def test_the_same_sound_has_more_than_one_form() -> None:
    word = wording("dog_bark")
    assert word.doing == "a dog barking"
    assert word.is_acting == "a dog is barking"
    assert word.sound_of == "the sound of a dog bark"
    assert wording("crickets").is_acting == "crickets are chirping"
    assert wording("cafe").place == "in a cafe"
    assert wording("dog").place == ""


def test_only_what_happens_is_counted() -> None:
    assert wording("dog_bark").many == "dog barks"
    assert wording("door_wood_knock").many == "knocks on a wooden door"
    assert wording("key press").many == "key presses"
    assert not any(wording(label).many for label in ("rain", "engine", "footsteps", "zorgle", "鳥"))
    assert all(wording(label).lasting for label in ("rain", "car_engine", "music", "brushing_teeth", "washing_machine"))
    assert not any(wording(label).lasting for label in ("dog", "thunder", "glass_breaking", "train_whistle", "gunshot"))


@pytest.mark.parametrize(
    ("label", "called"),
    [
        ("dog_bark", "a faint dog bark"),
        ("engine", "a faint engine"),
        ("rain", "faint rain"),
        ("brushing_teeth", "the faint sound of someone brushing their teeth"),
        ("鳥", "the faint sound of 鳥"),
        ("ocean", "the faint ocean"),
    ],
)
def test_an_adjective_is_of_the_sound(label: str, called: str) -> None:
    assert wording(label).called("faint") == called


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("hour", "an"),
        ("unicorn", "a"),
        ("engine", "an"),
        ("uninformed man", "an"),
        ("umbrella", "an"),
        ("one way street", "a"),
        ("x ray", "an"),
        ("european siren", "a"),
        ("ukulele", "a"),
        ("mp3 player", "an"),
        ("owl", "an"),
        ("horse", "a"),
        ("user", "a"),
    ],
)
def test_the_article_follows_the_sound(words: str, expected: str) -> None:
    assert article(words) == expected


def test_verbs_change_by_rule() -> None:
    assert [gerund(verb) for verb in ("bark", "hum", "breathe", "cry", "tie", "rev", "type on a keyboard")] == [
        "barking",
        "humming",
        "breathing",
        "crying",
        "tying",
        "revving",
        "typing on a keyboard",
    ]
    assert [third_person(verb) for verb in ("bark", "cry", "buzz", "crash", "play", "moo")] == [
        "barks",
        "cries",
        "buzzes",
        "crashes",
        "plays",
        "moos",
    ]


def test_words_that_end_in_s_are_not_all_plurals() -> None:
    assert not any(map(is_plural, ("bus", "glass", "gas", "news", "s")))
    assert all(map(is_plural, ("bees", "footsteps", "people", "keys")))


def test_a_list_of_meanings_is_taken_apart() -> None:
    assert [word.noun for word in wordings("Subway_and_metro_and_underground")] == [
        "a subway",
        "a metro",
        "an underground",
    ]
    assert [word.noun for word in wordings("rock and roll")] == ["a rock and roll"]


@given(st.text(max_size=60))
def test_any_label_becomes_clean_words(label: str) -> None:
    words = plain_words(label)
    assert words == " ".join(words.split())
    assert "_" not in words
    assert words == words.lower() or not words.isascii()
    word = wording(label)
    for text in (word.noun, word.doing, word.acts, word.is_acting, word.sound_of):
        assert text
        assert "  " not in text
        assert text[0].isascii()
