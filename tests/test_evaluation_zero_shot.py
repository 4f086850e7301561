"""Zero-shot classification against sklearn, a case worked by hand, and duplicated clips."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from evaluation.bootstrap import clip_weights
from evaluation.zero_shot import ZeroShot


def random_clips(seed, *, num_clips=30, num_labels=4):
    rng = np.random.default_rng(seed)
    there = rng.random((num_clips, num_labels)) < 0.3
    there[0] = True
    similarity = rng.random((num_clips, num_labels)) + 0.3 * there
    return ZeroShot(similarity=similarity, there=there, known=rng.random((num_clips, num_labels)) < 0.8)


@pytest.mark.parametrize("seed", range(3))
def test_map_of_drawn_clips_is_sklearn_s_of_the_clips_drawn(seed):
    found = random_clips(seed)
    weights = clip_weights(30)[:10]
    expected = []
    for times in weights.astype(int):
        clips = np.repeat(np.arange(30), times)
        values = []
        for label in range(4):
            chosen = clips[found.known[clips, label]]
            there = found.there[chosen, label]
            if there.any() and not there.all():
                values.append(average_precision_score(there, found.similarity[chosen, label]))
        expected.append(np.mean(values))
    np.testing.assert_allclose(found.resampled_map(weights), expected, atol=0.02)  # copies of a clip are ties
    everything = np.ones((1, 30), np.float32)
    assert found.resampled_map(everything)[0] == pytest.approx(found.average_precision().macro)


def test_accuracy_draws_between_equals_and_needs_one_label_a_clip():
    similarity = np.array([[0.9, 0.1, 0.1], [0.5, 0.5, 0.1], [0.2, 0.2, 0.2], [0.9, 0.1, 0.1]])
    there = np.eye(3, dtype=bool)[[0, 1, 2, 1]]
    found = ZeroShot(similarity=similarity, there=there, known=np.ones((4, 3), bool))
    assert found.is_single_label
    np.testing.assert_allclose(found.correct, [1.0, 0.5, 1 / 3, 0.0])
    assert not random_clips(0).is_single_label


def test_a_label_that_sounds_everywhere_or_nowhere_has_no_precision():
    there = np.array([[True, False], [True, False]])
    found = ZeroShot(similarity=np.ones((2, 2)), there=there, known=np.ones((2, 2), bool))
    assert found.average_precision().macro is None
    assert np.isnan(found.resampled_map(np.ones((1, 2), np.float32))[0])
