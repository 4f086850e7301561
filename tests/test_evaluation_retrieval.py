"""Recall at k against a case worked by hand and an average over all orders of ties."""

import itertools

import numpy as np
import pytest

from evaluation.queries import normalised
from evaluation.retrieval import retrieval


def unit(rows):
    rows = np.asarray(rows, np.float64)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def recall_over_all_orders(scores, relevant, k):
    """Chance that a relevant candidate is among the first k, over every order of the candidates that sorts them."""
    hits, orders = 0, 0
    for order in itertools.permutations(range(len(scores))):
        ranked = [scores[index] for index in order]
        if ranked == sorted(ranked, reverse=True):
            orders += 1
            hits += any(relevant[index] for index in order[:k])
    return hits / orders


def precision_over_all_orders(scores, relevant):
    """Mean of the average precision at 10 over every order that sorts the candidates."""
    found = []
    for order in itertools.permutations(range(len(scores))):
        ranked = [scores[index] for index in order]
        if ranked == sorted(ranked, reverse=True):
            right = [relevant[index] for index in order[:10]]
            precisions = [sum(right[: place + 1]) / (place + 1) for place in range(len(right)) if right[place]]
            found.append(sum(precisions) / min(sum(relevant), 10))
    return np.mean(found)


def test_recall_worked_by_hand():
    audio = unit([[1, 0], [0, 1], [1, 1]])
    captions = unit([[1, 0.1], [1, 0.2], [0.1, 1]])  # of clips 0, 1, 2: the second and the third are swapped
    result = retrieval(audio, captions, clip_of=np.array([0, 1, 2]), texts=["a", "b", "c"])
    # a: clip 0 first. b: clips 0, 2, then 1. c: clips 1, then 2
    found = result.text_to_audio.means()
    assert [found[f"recall_at_{k}"] for k in (1, 5, 10)] == pytest.approx([1 / 3, 1.0, 1.0])
    assert found["map_at_10"] == pytest.approx((1 + 1 / 3 + 1 / 2) / 3)
    # clip 0: a first. clip 1: c, b. clip 2: b (.83), then a and c (.77): its own is tied for second
    assert result.audio_to_text.hits[1].mean() == pytest.approx(1 / 3)
    assert (len(result.text_to_audio.clip), len(result.audio_to_text.clip)) == (3, 3)


def test_one_embedding_for_everything_scores_chance():
    num = 40
    same = unit(np.ones((num, 3)))
    result = retrieval(same, same, clip_of=np.arange(num), texts=[f"caption {i}" for i in range(num)])
    for k in (1, 5, 10):
        assert result.text_to_audio.hits[k].mean() == pytest.approx(k / num)
        assert result.audio_to_text.hits[k].mean() == pytest.approx(k / num)


def test_clips_with_the_same_caption_are_correct_answers_for_each_other():
    audio = unit([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    captions = unit([[0, 1, 0.1], [0, 1, 0.1], [0, 0, 1]])  # clip 0's own caption points at clip 1, which shares it
    same = retrieval(audio, captions, clip_of=np.arange(3), texts=["A dog  barks.", "a dog barks", "rain"])
    assert same.text_to_audio.hits[1].mean() == 1.0
    other = retrieval(audio, captions, clip_of=np.arange(3), texts=["A dog barks.", "a cat meows", "rain"])
    assert other.text_to_audio.hits[1].mean() < 1.0


def test_a_text_is_one_candidate_however_often_it_occurs():
    audio = unit([[1.0, 0], [0, 1.0], *[[1.0, 0.05]] * 10])
    captions = unit([[0.9, 0.3], [0, 1.0], *[[1.0, 0]] * 10])
    texts = ["mine", "other", *["everybody's"] * 10]
    result = retrieval(audio, captions, clip_of=np.arange(12), texts=texts)
    assert result.audio_to_text.hits[5].mean() == 1.0  # clip 0: second of three texts, not eleventh


@pytest.mark.parametrize("seed", range(6))
def test_recall_equals_the_mean_over_all_orders_of_ties(seed):
    rng = np.random.default_rng(seed)
    audio = unit(rng.integers(1, 3, (6, 2)))  # few directions: many ties
    captions = unit(rng.integers(1, 3, (6, 2)))
    clip_of = np.array([0, 0, 1, 2, 3, 5])  # two captions for clip 0, none for clip 4
    texts = ["a", "b", "c", "d", "c", "e"]  # clips 1 and 3 share one
    result = retrieval(audio, captions, clip_of=clip_of, texts=texts)
    similarity = np.round(captions @ audio.T, 6)
    relevant = np.array(
        [[any(texts[row] == text for row in np.flatnonzero(clip_of == c)) for c in range(6)] for text in texts]
    )
    for k in (1, 5):
        expected = np.mean([recall_over_all_orders(list(similarity[q]), relevant[q], k) for q in range(6)])
        assert result.text_to_audio.hits[k].mean() == pytest.approx(expected)
    expected = np.mean([precision_over_all_orders(list(similarity[q]), relevant[q]) for q in range(6)])
    assert result.text_to_audio.precision.mean() == pytest.approx(expected)
    distinct = [0, 1, 2, 3, 5]
    if np.allclose(captions[2], captions[4]):
        clips = [0, 1, 2, 3, 5]
        rows = [recall_over_all_orders(list(similarity[distinct, c]), relevant[distinct, c], 1) for c in clips]
        assert result.audio_to_text.hits[1].mean() == pytest.approx(np.mean(rows))


def test_average_precision_counts_the_first_ten_of_many():
    audio = unit([[1.0, 0.01 * place] for place in range(30)])
    captions = unit([[1.0, -0.01]] * 12)  # a text, correct for clips 5, 6 and ten beyond the first ten
    clips = np.array([4, 5, *range(20, 30)])
    result = retrieval(audio, captions, clip_of=clips, texts=["a dog barks"] * 12)
    assert result.text_to_audio.precision[0] == pytest.approx((1 / 5 + 2 / 6) / 10)


def test_captions_that_differ_in_case_spaces_or_the_final_stop_are_the_same():
    assert normalised(" A  Dog barks. ") == normalised("a dog barks")
    assert normalised("a dog barks") != normalised("a dog barked")
