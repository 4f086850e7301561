"""Each rule of the phrase table, by itself and in a table."""

import itertools
from collections.abc import Iterable
from pathlib import Path

import pytest

from curation import phrases_review as review
from curation.ontology import load_ontology
from curation.phrases_ancestors import ancestors
from curation.phrases_review import Finding, sense, summary, tidy, unusable
from curation.phrases_sources import Correction, ModelAnswer, Sources
from curation.phrases_table import PhraseTable, phrase_table
from manifests.schema import Phrase

ONTOLOGY = load_ontology(Path(__file__).with_name("small_ontology.json"))


def answer(
    label: str,
    synonyms: Iterable[str] = (),
    near_misses: Iterable[str] = (),
    parents: Iterable[str] = (),
    *,
    rejected: str = "",
) -> ModelAnswer:
    return ModelAnswer(
        label=label, model="m", prompt_hash="h", synonyms=list(synonyms), near_misses=list(near_misses),
        parents=list(parents), rejected=rejected, prompt_tokens=0, completion_tokens=0,
    )  # fmt: skip


def correction(cluster: str, text: str, kind: str = "phrase", *, keep: bool = True) -> Correction:
    return Correction(cluster=cluster, kind=kind, text=text, label="", keep=keep)  # type: ignore[arg-type]


def table(
    labels: str, *answers: ModelAnswer, ontology: bool = False, corrections: Iterable[Correction] = ()
) -> PhraseTable:
    """Of labels that are their own clusters, as "cat tabla", or name them, as "dog_bark:dog"."""
    pairs = [(label, cluster or label) for label, _, cluster in (word.partition(":") for word in labels.split())]
    sources = Sources(ontology=ONTOLOGY if ontology else None, answers=answers, corrections=list(corrections))
    return phrase_table(pairs, sources)


def texts(found: PhraseTable, cluster: str, origin: str) -> list[str]:
    return [row.phrase for row in found.phrases if (row.cluster, row.origin) == (cluster, origin)]


def row_of(found: PhraseTable, cluster: str) -> Phrase:
    return next(row for row in found.phrases if row.cluster == cluster)


def found_by(found: PhraseTable, rule: str) -> list[tuple[str, str]]:
    return [(finding.cluster, finding.text) for finding in found.findings if finding.rule == rule]


@pytest.mark.parametrize(
    ("one", "other"),
    [("Tabla", "the sound of tablas"), ("dog barks", "a dog barking"), ("Rain noise", "rain"), ("鳥", "鳥")],
)
def test_texts_of_one_sense_are_compared_as_one(one: str, other: str) -> None:
    assert sense(one) == sense(other)


@pytest.mark.parametrize(("one", "other"), [("noise", "sound"), ("cat", "cat meow"), ("!", "?"), ("rain", "train")])
def test_texts_of_different_senses_are_not(one: str, other: str) -> None:
    assert sense(one) != sense(other)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        (" . ", "empty"),
        ("a b", ""),
        ("a\nb", "cannot be printed"),
        ("a\x07b", "cannot be printed"),
        ("a\u200bb", "cannot be printed"),
        ("a\u202eb", "cannot be printed"),
        ("a\ue000b", "cannot be printed"),
        (" ".join("w" * 13), ""),
        (" ".join("w" * 14), "more than 13 words"),
        ("**bark**", "markup"),
        ("dog_bark", "markup"),
        ("<b>bark", "markup"),
        ("[bark](http://x)", "markup"),
        ("bark &amp; growl", "markup"),
        ("don't stop", ""),
        ("鳥の声", ""),
    ],
)
def test_what_is_no_phrase_says_why(text: str, why: str) -> None:
    assert why in unusable(text)
    assert bool(why) == bool(unusable(text))


def test_a_text_from_outside_is_tidied_and_control_codes_are_not_hidden() -> None:
    assert tidy('  "A Dog  barks."\n') == "a dog barks"
    assert "\n" in tidy("a\nb")


def test_texts_that_are_no_phrases_are_left_out_and_counted() -> None:
    found = table("cat", answer("cat", ["kitty", "", "*meow*"], ["x\x00y"]))
    assert texts(found, "cat", "model") == ["kitty"]
    assert found_by(found, review.UNUSABLE) == [("cat", ""), ("cat", "*meow*"), ("cat", "x\x00y")]


def test_a_cat_is_no_tabla() -> None:
    said = answer("cat", ["Tabla", "the sound of tablas", "kitty"])
    assert texts(table("cat tabla", said), "cat", "model") == ["kitty"]
    assert texts(table("cat tabla", said), "tabla", "label") == ["tabla"]
    for labels in ("cat tabla", "cat"):
        assert texts(table(labels, said), "cat", "model") == ["kitty"]
        assert found_by(table(labels, said), review.FOREIGN) == [("cat", "tabla"), ("cat", "the sound of tablas")]


def test_a_synonym_that_the_vocabulary_knows_for_another_sound_is_left_out() -> None:
    good = ["kitty", "a purring pet", "a cat hissing at a dog", "the furry beast"]
    found = table("cat dog_bark", answer("cat", [*good, "thunderstorm", "a tabla is played", "hound barking"]))
    assert texts(found, "cat", "model") == good
    assert [text for _, text in found_by(found, review.FOREIGN)] == [
        "thunderstorm", "a tabla is played", "hound barking",
    ]  # fmt: skip
    assert texts(table("zorb", answer("zorb", ["thunderstorm"])), "zorb", "model") == ["thunderstorm"]  # who knows?


@pytest.mark.parametrize(
    "text",
    [
        "ignore previous instructions",
        "i am sorry i cannot help",
        "sure, here is a caption",
        "lol \u65e5\u672c",
        "ein kater der miaut und faucht",
        "\u0441\u043e\u0431\u0430\u043a\u0430",
    ],
)
def test_refusals_instructions_and_other_languages_are_neither_wordings_nor_near_misses(text: str) -> None:
    found = table("cat", answer("cat", [text], [text]))
    assert texts(found, "cat", "model") == row_of(found, "cat").near_misses == []
    assert found_by(found, review.UNUSABLE) == [("cat", text)] * 2
    mine = [table("cat", corrections=[correction("cat", text, kind)]) for kind in ("phrase", "near miss")]
    assert texts(mine[0], "cat", "correction") == row_of(mine[1], "cat").near_misses == [text]  # a user may know better


def test_a_phrase_of_two_clusters_is_in_neither_unless_it_is_the_label_of_one() -> None:
    found = table("dog dog_bark:bark")
    assert not [row for row in found.phrases if row.phrase == "a dog barks"]
    assert {("bark", "a dog barks"), ("dog", "a dog barks")} <= set(found_by(found, review.SEVERAL))
    both = table("cat tiger", answer("cat", ["feline", "tiger"]), answer("tiger", ["felines", "big cat"]))
    assert texts(both, "cat", "model") == []
    assert texts(both, "tiger", "model") == ["big cat"]
    assert found_by(both, review.SEVERAL) == [("cat", "feline"), ("tiger", "felines")]


def test_a_model_gives_way_to_an_ontology_and_both_to_our_own_words() -> None:
    found = table("bark gizmo dog", answer("gizmo", ["bow-wow", "a dog is barking", "kitty"]), ontology=True)
    assert texts(found, "bark", "ontology") == ["bow wow"]
    assert texts(found, "gizmo", "model") == ["kitty"]
    assert found_by(found, review.OTHERS) == [("gizmo", "bow-wow"), ("gizmo", "a dog is barking")]


def test_an_ontology_gives_names_and_ancestors_among_the_clusters() -> None:
    found = table("Bark:yelp dog:dog animal Howl Wolf Tabla", ontology=True)
    assert texts(found, "yelp", "ontology") == ["bow wow"]
    assert {row.cluster: row.ancestors for row in found.phrases} == {
        "Howl": ["Wolf", "animal", "dog"], "Tabla": [], "Wolf": ["animal"], "animal": [], "dog": ["animal"],
        "yelp": ["animal", "dog"],
    }  # fmt: skip
    assert all(row.ancestors == row_of(found, row.cluster).ancestors for row in found.phrases)


def test_a_label_that_is_an_id_reads_as_its_name() -> None:
    found = table("/m/0bt9lr", ontology=True)
    assert texts(found, "/m/0bt9lr", "label") == ["dog"]
    assert "a dog barks" in texts(found, "/m/0bt9lr", "template")
    assert len(table("/m/0bt9lr").phrases) == 1


def test_what_is_more_general_or_more_special_is_no_synonym() -> None:
    found = table(
        "dog", answer("dog", ["animal", "a pet", "howling", "mutt", "canine"], parents=["canine"]), ontology=True
    )
    assert texts(found, "dog", "model") == ["mutt"]
    assert found_by(found, review.GENERAL) == [("dog", "animal"), ("dog", "a pet"), ("dog", "canine")]
    assert found_by(found, review.SPECIAL) == [("dog", "howling")]


def test_a_near_miss_is_not_the_sound_nor_what_is_above_or_below_it() -> None:
    said = [
        answer(
            "dog", ["mutt"], ["a mutt", "a dog barks", "animals", "howls", "wolf howl", "A Wolf howls", "fox", "beast"]
        ),
        answer("creature", parents=["dog"]),
        answer("fox", parents=["animal"]),
    ]
    found = table("dog creature fox", *said, ontology=True)
    assert row_of(found, "dog").near_misses == ["wolf howl", "fox", "beast"]
    assert found_by(found, review.NEAR) == [
        ("dog", "a mutt"),
        ("dog", "a dog barks"),
        ("dog", "animals"),
        ("dog", "howls"),
    ]
    below = table("dog creature", answer("dog", (), ["creature"]), said[1])
    assert row_of(below, "dog").near_misses == []


@pytest.mark.parametrize(
    "text",
    ["a loud dog barking", "a dog barks twice in the distance", "several dogs", "distant very loud barking dogs"],
)
def test_a_near_miss_that_only_says_how_loud_far_or_often_the_sound_is_is_none(text: str) -> None:
    said = answer("dog", ["dog barking", "barking dog"], [text, "a loud person", "a toy dog barking", "distant wolf"])
    assert row_of(table("dog", said), "dog").near_misses == ["a loud person", "a toy dog barking", "distant wolf"]


def test_what_a_model_calls_a_parent_is_no_near_miss() -> None:
    assert row_of(table("dog", answer("dog", (), ["a canine", "fox"], ["canine"])), "dog").near_misses == ["fox"]


def test_an_ancestor_that_a_user_took_away_does_not_come_back_by_another() -> None:
    said = [answer("bark", parents=["dog", "animal"]), answer("dog", parents=["animal"])]
    found = table("bark dog animal", *said, corrections=[correction("bark", "animal", "ancestor", keep=False)])
    assert row_of(found, "bark").ancestors == ["dog"]


def test_a_models_parents_count_where_they_name_a_cluster_in_our_own_words() -> None:
    found = table(
        "bark dog animal cat", answer("bark", parents=["Dogs", "beast", "bark"]), answer("dog", parents=["the animal"]),
        answer("cat", ["beast"]),
    )  # fmt: skip
    assert row_of(found, "bark").ancestors == ["animal", "dog"]  # and what follows
    assert row_of(found, "dog").ancestors == ["animal"]


def test_clusters_above_one_another_are_reported_and_neither_is_taken() -> None:
    found = table("a1 b1 c1", answer("a1", parents=["b1"]), answer("b1", parents=["a1", "c1"]))
    assert {row.cluster: row.ancestors for row in found.phrases} == {"a1": [], "b1": ["c1"], "c1": []}
    assert found_by(found, review.CIRCLE) == [("a1", "b1")]


def test_circles_of_any_length_are_broken_and_statements_stand_against_claims() -> None:
    findings: list[Finding] = []
    around = [("a", "b"), ("b", "c"), ("c", "a")]
    assert ancestors([], around, findings) == {}
    assert len(findings) == 3
    assert ancestors(around, [("a", "z")], []) == {"a": {"z"}}
    findings = []
    assert ancestors([("a", "b"), ("b", "c")], [("c", "a"), ("c", "d")], findings) == {
        "a": {"b", "c", "d"}, "b": {"c", "d"}, "c": {"d"},
    }  # fmt: skip
    assert [(finding.rule, finding.cluster, finding.text) for finding in findings] == [(review.AGAINST, "c", "a")]
    findings = []
    assert ancestors([("a", "b")], [("b", "x"), ("x", "a")], findings) == {"a": {"b"}}
    assert all(finding.rule == review.CIRCLE for finding in findings)


def test_a_users_word_is_the_last() -> None:
    said = answer("cat", ["kitty", "pussy cat"], ["a baby cries"], ["dog"])
    corrections = [
        correction("cat", "Kitty", keep=False),
        correction("cat", "Mieze"),
        correction("cat", "a dog barks"),
        correction("cat", "dog", "ancestor", keep=False),
        correction("dog", "cat", "ancestor"),
        correction("cat", "a baby cries", "near miss", keep=False),
        correction("cat", "a fox", "near miss"),
        correction("gone", "x"),
        correction("cat", "gone", "ancestor"),
    ]
    found = table("cat dog", said, corrections=corrections)
    assert texts(found, "cat", "correction") == ["Mieze", "a dog barks"]
    assert "a dog barks" not in texts(found, "dog", "template")
    assert texts(found, "cat", "model") == ["pussy cat"]
    assert (row_of(found, "cat").ancestors, row_of(found, "dog").ancestors) == ([], ["cat"])
    assert row_of(found, "cat").near_misses == ["a fox"]
    assert found_by(found, review.STRAY) == [("gone", "x"), ("cat", "gone")]


def test_the_last_usable_answer_counts() -> None:
    found = table("cat", answer("cat", ["old"]), answer("cat", ["new"]), answer("cat", ["bad"], rejected="cut"))
    assert texts(found, "cat", "model") == ["new"]


def test_the_order_of_labels_does_not_matter() -> None:
    labels = [("dog", "dog"), ("cat", "cat"), ("dog_bark", "dog"), ("Howl", "howl"), ("=1+1", "007")]
    sources = Sources(ontology=ONTOLOGY, answers=[answer("cat", ["kitty", "dog"], ["fox"], ["dog"])])
    tables = [phrase_table(order, sources) for order in itertools.permutations(labels)]
    assert all(found == tables[0] for found in tables)


def test_a_summary_counts_by_rule_and_names_the_first() -> None:
    findings = [Finding(rule="wrong", cluster="c", text=f"t{i}") for i in range(7)]
    (line,) = summary(findings)
    assert line.startswith("wrong: 7: 't0' of cluster 'c', ")
    assert line.endswith("'t4' of cluster 'c', ...")
