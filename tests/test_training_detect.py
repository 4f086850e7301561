import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from evaluation.frame_scores import FrameScores
from evaluation.post_processing import PostProcessing, detections, smoothed
from manifests.errors import FlamError
from manifests.store import DatasetFolder
from training import Detector, text_encoder
from training.checkpoint import ModelCard, load_model, save_model, save_tensors
from training.config import ModelConfig
from training.detect import _OpenSpans
from training.model import FlamModel
from training.text_encoder import token_table

TINY = ModelConfig(channels=(16, 8, 8, 8), width=16, num_layers=1, num_heads=2, text="hash")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("run")
    card = ModelCard(model=TINY, trained_clusters=("dog",), threshold=0.3)
    model = FlamModel(TINY)
    torch.nn.init.constant_(model.frame_logit.bias, 0.0)  # an untrained model whose answers vary around 0.5
    save_model(folder, model, card)
    return folder


@pytest.fixture(scope="module")
def detector(run: Path) -> Detector:
    return Detector.load(run)


def recording(path: Path, *, seconds: float, rate: int = 16_000, channels: int = 1) -> Path:
    rng = np.random.default_rng(0)
    swell = np.linspace(0.01, 0.1, round(seconds * rate))[:, None]
    samples = swell * rng.standard_normal((len(swell), channels))
    soundfile.write(path, samples, rate)
    return path


def test_the_score_of_a_phrase_does_not_depend_on_the_others_asked(detector: Detector, tmp_path: Path) -> None:
    file = recording(tmp_path / "a.wav", seconds=12)
    alone = detector.activations(file, ["a dog barks"])
    beside = detector.activations(file, ["rain", "a dog barks", *(f"phrase {i}" for i in range(30))])
    np.testing.assert_array_equal(alone[:, 0], beside[:, 1])


def test_a_phrase_that_was_trained_is_taken_by_its_word_and_another_less(run: Path) -> None:
    model, card = load_model(run)
    card = card.model_copy(update={"trained_phrases": ("a dog", "rain")})
    trusting, doubting = (Detector(model, card.model_copy(update={"word_trust": power})) for power in (0.0, 3.0))
    asked = ["rain", "a crow caws"]
    (rain, crow), (same_rain, less_crow) = (one.embed_phrases(asked) for one in (trusting, doubting))
    kinds = (model.text.kinds_of(["a crow caws"])[0] @ model.text.kind_vectors()).detach()
    with torch.inference_mode():
        assert torch.allclose(rain, same_rain, atol=1e-5)
        assert float(less_crow @ kinds) > float(crow @ kinds) + 0.01


@pytest.mark.parametrize("seconds", [0.001, 0.03, 1.0, 9.99, 10.0, 10.02, 18.5, 65.0])
def test_any_length_gives_a_probability_for_every_40_ms(detector: Detector, tmp_path: Path, seconds: float) -> None:
    found = detector.activations(recording(tmp_path / "a.wav", seconds=seconds), ["hiss"])
    assert len(found) == int(np.ceil(round(seconds * 16_000) / 640))
    assert ((found > 0) & (found < 1)).all()


def test_a_long_file_is_heard_in_windows_that_agree_with_a_short_one(detector: Detector, tmp_path: Path) -> None:
    """Frames of a window's first 9 s are those of the same 10 s alone: only the margin may differ."""
    long = recording(tmp_path / "long.wav", seconds=30)
    samples, rate = soundfile.read(long)
    soundfile.write(tmp_path / "start.wav", samples[: 10 * rate], rate)
    whole = detector.activations(long, ["hiss"])
    start = detector.activations(tmp_path / "start.wav", ["hiss"])
    np.testing.assert_allclose(whole[:225], start[:225], atol=1e-5)


def test_every_window_of_a_long_file_gives_its_frames_their_place(detector: Detector, tmp_path: Path) -> None:
    """The second window is heard from 8 to 18 s and kept from 9 to 17 s, the third from 16 s and kept from 17 s."""
    long = recording(tmp_path / "long.wav", seconds=30)
    whole = detector.activations(long, ["hiss"])
    samples, rate = soundfile.read(long)
    for begin in (8, 16):
        soundfile.write(tmp_path / "part.wav", samples[begin * rate : (begin + 10) * rate], rate)
        part = detector.activations(tmp_path / "part.wav", ["hiss"])
        kept = slice((begin + 1) * 25, (begin + 9) * 25)
        np.testing.assert_allclose(whole[kept], part[25:225], atol=1e-4)


def test_channels_that_cancel_are_heard(detector: Detector, tmp_path: Path) -> None:
    one = 0.1 * np.random.default_rng(0).standard_normal(32_000)
    soundfile.write(tmp_path / "mono.wav", one, 16_000)
    soundfile.write(tmp_path / "antiphase.wav", np.stack([one, -one], axis=1), 16_000)
    mono, antiphase = (detector.activations(tmp_path / f"{name}.wav", ["hiss"]) for name in ("mono", "antiphase"))
    np.testing.assert_allclose(mono, antiphase, atol=1e-4)


def test_an_answer_that_is_no_number_is_an_error_and_not_nothing_found(detector: Detector, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "loud.wav", np.full(16_000, 1e25), 16_000, subtype="DOUBLE")
    with pytest.raises(FlamError, match=r"loud\.wav"):
        detector.detect(tmp_path / "loud.wav", ["dog"])


def test_a_device_that_is_not_there_is_one_line(run: Path) -> None:
    for name in ("cuda:7", "gpu"):
        with pytest.raises(FlamError, match=f"no device '{name}' here"):
            Detector.load(run, device=name)


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (44_100, 2), (48_000, 6), (192_000, 1), (44_101, 1)])
def test_any_rate_and_number_of_channels_is_heard(detector: Detector, tmp_path: Path, rate: int, channels: int) -> None:
    file = recording(tmp_path / "a.wav", seconds=3, rate=rate, channels=channels)
    assert abs(len(detector.activations(file, ["hiss"])) - 75) <= 1


def test_spans_bridge_short_gaps_and_end_where_the_sound_does() -> None:
    spans = _OpenSpans("x", 0.5, 0.04, PostProcessing())
    probabilities = np.zeros(40)
    probabilities[[3, 4, 5, 10, 11, 30]] = 0.9  # a gap of 4 frames, then one of 18
    spans.add(0, probabilities[:11], 0.44)
    spans.add(11, probabilities[11:], 1.6)
    found = [(round(d.onset, 2), round(d.offset, 2)) for d in spans.close()]
    assert found == [(0.12, 0.48), (1.2, 1.24)]


def test_a_probability_that_equals_the_threshold_is_no_detection() -> None:
    spans = _OpenSpans("x", 0.5, 0.04, PostProcessing())
    spans.add(0, np.array([0.5, 0.5]), 0.08)
    assert spans.close() == []


def test_detections_are_the_runs_of_the_activations(detector: Detector, tmp_path: Path) -> None:
    file = recording(tmp_path / "a.wav", seconds=25)
    values = detector.activations(file, ["hiss"])[:, 0]
    limit = float(np.median(values))
    found = detector.detect(file, ["hiss"], threshold=limit)
    covered = np.zeros(len(values), bool)
    for detection in found:
        covered[round(detection.onset / 0.04) : round(detection.offset / 0.04)] = True
    assert found
    assert covered[values > limit].all()
    assert covered.sum() >= (values > limit).sum()


def test_no_detection_ends_after_the_recording(detector: Detector, tmp_path: Path) -> None:
    found = detector.detect(recording(tmp_path / "a.wav", seconds=12.01), ["hiss"], threshold=0.0)
    assert [(detection.onset, detection.offset) for detection in found] == [(0.0, 12.01)]


def test_detections_are_made_as_was_best_on_validation_data(detector: Detector, tmp_path: Path) -> None:
    """Median, gaps and least duration of the card: as evaluation makes detections of a recording's scores."""
    file = recording(tmp_path / "a.wav", seconds=25.0)
    plain = detector.activations(file, ["hiss"])[:, 0]
    threshold = float(np.quantile(plain, 0.6))
    post = PostProcessing(median=5, max_gap=0.32, min_duration=0.2)
    careful = Detector(detector.model, detector.card.model_copy(update={"post_processing": post}))
    smooth = careful.activations(file, ["hiss"])[:, 0]
    np.testing.assert_allclose(smooth[:222], smoothed(plain, 5)[:222])  # of the first window: others' margins differ
    scores = FrameScores.empty(["hiss"], ["a"], [25.0], [625])
    scores.fill(0, np.minimum(np.arange(626) * 0.04, 25.0), smooth[:, None])
    _, onsets, offsets = detections(scores, 0, threshold=threshold, post=post)
    found = careful.detect(file, ["hiss"], threshold=threshold)
    np.testing.assert_allclose([(span.onset, span.offset) for span in found], np.stack([onsets, offsets], axis=1))
    assert len(found) > 1
    assert found != detector.detect(file, ["hiss"], threshold=threshold)
    save_model(tmp_path, careful.model, careful.card)
    assert Detector.load(tmp_path).card.post_processing == post


def test_an_unbiased_score_of_a_half_is_a_cosine_of_nothing(tmp_path: Path) -> None:
    """Whatever scale and bias a text has: FLAM's alpha cos is the log of how much likelier the sound became."""
    torch.manual_seed(1)
    config = TINY.model_copy(update={"frame_scale": "text"})
    model = FlamModel(config).eval()
    for parameter in model.frame_logit.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    card = ModelCard(
        model=config, trained_clusters=("dog",), threshold=0.9, calibration_scale=2.0, calibration_bias=3.0
    )
    file, phrases = recording(tmp_path / "a.wav", seconds=3), ["a dog", "rain"]
    detector = Detector(model, card, unbiased=True)
    found = detector.activations(file, phrases)
    waveform, _ = soundfile.read(file, dtype="float32")
    with torch.no_grad():
        frames, _ = model.embed_audio(torch.from_numpy(waveform)[None])
        texts = torch.cat([model.embed_text([phrase]) for phrase in phrases])
        p = torch.sigmoid(model.frame_logits(frames, texts))[0]
        prior = torch.sigmoid(model.phrase_biases(texts))[:, None]
        cosines = (frames[0] @ texts.T).numpy()
    np.testing.assert_allclose(found, (p / (p + prior)).T.numpy(), rtol=1e-4)
    assert (found > 0.5).tolist() == (cosines > 0).tolist()
    assert 0 < (found > 0.5).mean() < 1
    spans = detector.detect(file, phrases)
    assert spans
    assert all(span.probability > 0.5 for span in spans)


def test_a_model_without_biases_of_texts_has_no_unbiased_scores(run: Path) -> None:
    with pytest.raises(FlamError, match="no bias of each text: train one with `--recipe flam`"):
        Detector.load(run, unbiased=True)


@pytest.mark.parametrize("phrases", [[], [""], ["dog", "  "]])
def test_an_empty_phrase_is_refused(detector: Detector, tmp_path: Path, phrases: list[str]) -> None:
    with pytest.raises(FlamError, match=r"phrase is empty|no phrase to listen for"):
        detector.detect(recording(tmp_path / "a.wav", seconds=1), phrases)


@pytest.mark.parametrize("threshold", [-0.1, 1.0, float("nan")])
def test_a_threshold_that_is_no_probability_is_refused(detector: Detector, tmp_path: Path, threshold: float) -> None:
    with pytest.raises(FlamError, match="threshold"):
        detector.detect(recording(tmp_path / "a.wav", seconds=1), ["dog"], threshold=threshold)


def test_nan_samples_and_empty_and_missing_files_are_refused(detector: Detector, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "nan.wav", np.full(16_000, np.nan), 16_000, subtype="FLOAT")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16_000)
    for name, reason in [
        ("nan.wav", "nan.wav: holds samples that are no number"),
        ("empty.wav", "no audio"),
        ("missing.wav", "no such file"),
    ]:
        with pytest.raises(FlamError, match=reason):
            detector.detect(tmp_path / name, ["dog"])


def copied(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "copy"))


def test_a_pickle_in_place_of_the_weights_is_refused_unopened(run: Path, tmp_path: Path) -> None:
    import pickle

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (str(tmp_path / "executed"),))

    folder = copied(run, tmp_path)
    (folder / "model" / "weights.safetensors").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(FlamError, match=r"damaged or no safetensors"):
        Detector.load(folder)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("damage", ["cut", "header", "empty"])
def test_damaged_weights_are_refused(run: Path, tmp_path: Path, damage: str) -> None:
    folder = copied(run, tmp_path)
    path = folder / "model" / "weights.safetensors"
    content = path.read_bytes()
    bad = {"cut": content[: len(content) // 2], "header": (2**60).to_bytes(8, "little") + content[8:], "empty": b""}
    path.write_bytes(bad[damage])
    with pytest.raises(FlamError, match="damaged"):
        Detector.load(folder)


def test_weights_of_another_model_and_nan_weights_are_refused(run: Path, tmp_path: Path) -> None:
    folder = copied(run, tmp_path)
    path = folder / "model" / "weights.safetensors"
    other = FlamModel(TINY.model_copy(update={"width": 32}))
    save_tensors(path, other.state_dict(), {})
    with pytest.raises(FlamError, match="another model"):
        Detector.load(folder)
    broken = FlamModel(TINY)
    torch.nn.init.constant_(broken.frame_head.bias, float("nan"))
    save_tensors(path, broken.state_dict(), {})
    with pytest.raises(FlamError, match="NaN"):
        Detector.load(folder)


def test_a_model_card_of_a_later_format_or_with_an_unknown_key_is_refused(run: Path, tmp_path: Path) -> None:
    folder = copied(run, tmp_path)
    path = folder / "model" / "config.json"
    card = json.loads(path.read_text())
    path.write_text(json.dumps({**card, "format_version": 99, "new": 1}))
    with pytest.raises(FlamError, match="format_version 99"):
        Detector.load(folder)
    path.write_text(json.dumps({**card, "treshold": 0.5}))
    with pytest.raises(FlamError, match="treshold"):
        Detector.load(folder)


@pytest.mark.parametrize(
    ("entry", "value", "said"),
    [
        ("calibration_prior", [0.1] * 7, "calibration_prior must have 256 numbers"),
        ("post_processing", {"median": -3}, "median must be odd"),
        ("post_processing", {"median": 4}, "median must be odd"),
        ("post_processing", {"max_gap": -1.0}, "not below 0"),
    ],
)
def test_a_card_that_cannot_be_is_refused(entry: str, value: object, said: str, run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "model", tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), entry: value}))
    with pytest.raises(FlamError, match=said):
        Detector.load(tmp_path)


def test_phrases_are_a_list_of_unicode(detector: Detector, tmp_path: Path) -> None:
    file = recording(tmp_path / "a.wav", seconds=1)
    with pytest.raises(FlamError, match=r"phrases are given as a list: \['rain'\]"):
        detector.detect(file, "rain")
    with pytest.raises(FlamError, match="a phrase is not Unicode; set the terminal to UTF-8"):
        detector.detect(file, ["caf\udce9"])


def test_a_model_is_not_read_with_other_word_vectors_than_it_was_trained_with(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = json.loads((run / "model" / "config.json").read_text("utf-8"))
    table = token_table("hash")
    assert (card["words"], card["words_digest"]) == ("hash", table.digest)
    other = dataclasses.replace(table, name="wordllama 9.9", vectors=table.vectors.flip(0))
    monkeypatch.setattr(text_encoder, "token_table", lambda _: other)
    with pytest.raises(FlamError, match=r"word vectors of hash; those of wordllama 9\.9 here are others; pip install"):
        Detector.load(run)
    tokens = dataclasses.replace(table, tokenize=lambda texts: [[1] for _ in texts])
    assert tokens.digest != table.digest
    assert token_table("wordllama").name.startswith("wordllama 0.")


def test_a_folder_without_a_model_says_how_to_make_one(tmp_path: Path, toy_dataset: DatasetFolder) -> None:
    with pytest.raises(FlamError, match="flam-cli train"):
        Detector.load(tmp_path)
