"""Encoders of transformers, small and random, through the code that loads real ones."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import small_encoders
import torch
from conftest import make_toy_dataset
from typer.testing import CliRunner

import cli
from manifests.errors import FlamError
from training import pretrained
from training.config import ModelConfig, TrainConfig
from training.detect import Detector
from training.loop import train
from training.model import FlamModel
from training.pretrained import PretrainedAudio, PretrainedText, interpolation, sample_rate_of
from training.recipe import load_config
from training.trainer import Trainer

AUDIO: dict[str, Callable[[Path], Path]] = {
    "ast": small_encoders.ast,
    "clap": small_encoders.clap,
    "eat": small_encoders.eat,
    "pe_audio": small_encoders.pe_audio,
    "pe_audio_with_text": small_encoders.pe_audio_with_text,
    "wav2vec2": small_encoders.wav2vec2,
}


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("encoders")
    for name, make in {**AUDIO, "roberta": small_encoders.roberta}.items():
        make(root / name)
    return root


@pytest.fixture(autouse=True)
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    """EAT has code of its own."""
    monkeypatch.setattr(pretrained, "_trusted", True)


def config_of(folder: Path, **settings: object) -> ModelConfig:
    rate = sample_rate_of(str(folder))
    chosen = {"width": 16, "num_layers": 1, "num_heads": 2, "text": "hash", "dropout": 0.0, **settings}
    return ModelConfig(audio=str(folder), sample_rate=rate, mel_hop_samples=rate // 100, **chosen)


@pytest.mark.parametrize("name", AUDIO)
@pytest.mark.parametrize("frame_mels", [4, 16])
def test_every_encoder_gives_a_vector_for_every_frame(name: str, frame_mels: int, encoders: Path) -> None:
    model = FlamModel(config_of(encoders / name, frame_mels=frame_mels)).eval()
    samples = model.config.frame_samples * 15
    frames, clips = model.embed_audio(0.1 * torch.randn(2, samples, generator=torch.Generator().manual_seed(0)))
    assert frames.shape == (2, 15, 256)
    assert clips.shape == (2, 256)
    assert not torch.allclose(frames[0, 2], frames[0, 12])


@pytest.mark.parametrize("name", AUDIO)
def test_a_click_changes_the_frames_at_its_time(name: str, encoders: Path) -> None:
    """To within a step of the encoder: 100 ms of AST, 310 ms of CLAP, 40 and 20 ms of the others."""
    audio = FlamModel(config_of(encoders / name)).eval().audio
    assert isinstance(audio, PretrainedAudio)
    rate, hop = audio.config.sample_rate, audio.config.hop
    seconds = 2.4 if name != "clap" else 10.0
    quiet = 0.01 * torch.randn(1, round(seconds * rate), generator=torch.Generator().manual_seed(0))
    for place in (0.3, 0.7):
        at = place * seconds
        loud = quiet.clone()
        loud[0, round(at * rate) : round((at + 0.03) * rate)] += torch.randn(round(0.03 * rate))
        with torch.no_grad():
            changed, plain = (audio._hidden(audio._inputs(waveform))[0][0] for waveform in (loud, quiet))
            centres = audio._hidden(audio._inputs(quiet))[1]
            steps = (changed - plain).norm(dim=1)
            peak = (
                float(interpolation(centres, (np.arange(round(seconds / hop)) + 0.5) * hop).matmul(steps).argmax())
                * hop
            )
        step = float(np.diff(centres).mean())
        assert abs(peak - at) <= step + 0.08, (peak, at)


def test_code_of_a_repository_runs_only_on_a_users_word_and_goes_with_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = small_encoders.eat(tmp_path / "eat")
    data = make_toy_dataset(tmp_path / "data", train=6, valid=2, test=0).root
    monkeypatch.setattr(pretrained, "_trusted", False)
    with pytest.raises(FlamError, match="code of its own: give --trust-remote-code if you trust it"):
        config_of(folder)
    monkeypatch.setattr(pretrained, "_trusted", True)
    train(data, tmp_path / "run", run_config(config_of(folder, audio_layers=1)))
    file = next((data / "audio").rglob("*.wav"))
    before = Detector.load(tmp_path / "run").activations(file, ["hiss"])
    folder.rename(tmp_path / "elsewhere")
    np.testing.assert_array_equal(Detector.load(tmp_path / "run").activations(file, ["hiss"]), before)
    monkeypatch.setattr(pretrained, "_trusted", False)
    with pytest.raises(FlamError, match="give --trust-remote-code"):
        Detector.load(tmp_path / "run")


def test_vectors_between_two_steps_are_mixed_by_distance() -> None:
    found = interpolation(np.array([0.1, 0.2, 0.4]), np.array([0.0, 0.1, 0.15, 0.35, 0.9]))
    expected = torch.tensor([[1, 0, 0], [1, 0, 0], [0.5, 0.5, 0], [0, 0.25, 0.75], [0, 0, 1]])
    assert torch.allclose(found, expected)


@pytest.mark.parametrize(
    ("layers", "learning"), [(0, set()), (1, {"layers.2", "layernorm"}), (2, {"layers.1", "layers.2", "layernorm"})]
)
def test_the_last_layers_learn_and_the_others_stay(layers: int, learning: set[str], encoders: Path) -> None:
    encoder = FlamModel(config_of(encoders / "ast", audio_layers=layers)).audio.encoder
    names = {name for name, value in encoder.named_parameters() if value.requires_grad}
    assert {".".join(name.split(".")[: 2 if name.startswith("layers") else 1]) for name in names} == learning
    everything = FlamModel(config_of(encoders / "ast", audio_layers=-1)).audio.encoder
    assert all(value.requires_grad for value in everything.parameters())


def test_the_last_layers_of_an_encoder_in_stages_are_those_of_its_last_stages() -> None:
    transformers = pretrained._transformers()
    config = transformers.ClapAudioConfig(
        spec_size=256, num_mel_bins=64, patch_embeds_hidden_size=8, hidden_size=64, depths=[1, 1, 5, 1],
        num_attention_heads=[1, 1, 2, 2], projection_dim=16, window_size=8,
    )  # fmt: skip
    encoder = transformers.ClapAudioModel(config)
    assert not pretrained.train_last_layers(encoder, 2)
    learning = {name for name, value in encoder.named_parameters() if value.requires_grad}
    stages = {match[1] for name in learning if (match := re.search(r"layers\.(\d\.(?:blocks\.\d|downsample))", name))}
    assert stages == {"2.blocks.4", "2.downsample", "3.blocks.0"}
    others = {name.removeprefix("audio_encoder.") for name in learning if ".layers." not in name}
    assert others == {"norm.weight", "norm.bias"}
    assert "audio_encoder.patch_embed.proj.weight" not in learning
    assert not pretrained.train_last_layers(encoder, 100)
    assert encoder.audio_encoder.layers[0].blocks[0].layernorm_before.weight.requires_grad


def test_a_frozen_encoder_does_not_change_and_another_learns_at_its_own_rate(encoders: Path, tmp_path: Path) -> None:
    data = make_toy_dataset(tmp_path / "data", train=6, valid=2, test=0).root
    before = FlamModel(config_of(encoders / "ast")).audio.encoder.state_dict()
    for layers, rate in ((0, 1e-3), (1, 1e-3), (1, 0.1)):
        config = run_config(config_of(encoders / "ast", audio_layers=layers), audio_learning_rate=rate)
        train(data, tmp_path / f"{layers}-{rate}", config)
    moved = {}
    for name in ("0-0.001", "1-0.001", "1-0.1"):
        after = Detector.load(tmp_path / name).model.audio.encoder.state_dict()
        moved[name] = {key: float((after[key] - before[key]).abs().max()) for key in before}
    assert not any(moved["0-0.001"].values())
    last = [key for key in before if key.startswith("layers.2") and key.endswith("weight")]
    assert all(moved["1-0.001"][key] > 0 for key in last)
    assert max(moved["1-0.1"][key] for key in last) > 10 * max(moved["1-0.001"][key] for key in last)
    assert not any(value for key, value in moved["1-0.1"].items() if key.startswith(("layers.0", "embeddings")))


@pytest.mark.parametrize(("layers", "learning"), [(0, set()), (1, {2}), (-1, {0, 1, 2})])
def test_of_a_text_encoder_the_last_layers_learn(
    layers: int, learning: set[int], encoders: Path, tmp_path: Path
) -> None:
    data = make_toy_dataset(tmp_path / "data", train=6, valid=2, test=0).root
    model = ModelConfig(
        channels=(16, 8, 8, 8), width=16, num_layers=1, num_heads=2, text=str(encoders / "roberta"), text_layers=layers
    )
    torch.manual_seed(0)
    before = FlamModel(model).text.words.encoder.state_dict()
    train(data, tmp_path / "run", run_config(model, text_learning_rate=0.01))
    after = Detector.load(tmp_path / "run").model.text.words.encoder.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert {layer for layer in range(3) if any(f"layer.{layer}." in name for name in moved)} == learning
    assert ("embeddings.word_embeddings.weight" in moved) == (layers == -1)


def test_the_averaged_model_knows_the_texts_that_the_other_heard(encoders: Path) -> None:
    """A frozen encoder hears each of them once."""
    config = TrainConfig(
        model=ModelConfig(channels=(16, 8, 8, 8), width=16, num_layers=1, num_heads=2, text=str(encoders / "roberta"))
    )
    taught = Trainer(config, device="cpu")
    with torch.no_grad():
        taught.model.embed_text(["rain"])
    assert "rain" in taught.average.text.words._known


def run_config(model: ModelConfig, **settings: object) -> TrainConfig:
    chosen = {
        "steps": 4,
        "batch_size": 2,
        "clip_duration": 2.0,
        "warmup_steps": 1,
        "evaluate_every": 4,
        "ema_decay": 0.5,
    }
    return TrainConfig(model=model, **{**chosen, **settings})


def test_a_text_is_embedded_the_same_from_memory_and_anew(encoders: Path) -> None:
    words = FlamModel(ModelConfig(text=str(encoders / "roberta"))).eval().text.words
    assert isinstance(words, PretrainedText)
    with torch.no_grad():
        first = words(["a dog barks", "rain"])
        assert len(words._known) == 2
        again = words(["rain", "a longer text about something else", "a dog barks"])
        words._known.clear()
        anew = words(["rain"])
        padded = words.project(words._pooled(["a dog barks", "a longer text about something else", "rain"]))
    assert float((again[2] - first[0]).abs().max()) < 1e-6
    assert float((again[0] - anew[0]).abs().max()) < 1e-6
    assert float((padded - again[[2, 1, 0]]).abs().max()) < 1e-6  # as an encoder that learns hears them, together
    assert not torch.allclose(first[0], first[1], atol=1e-3)


def test_the_order_of_words_is_heard(encoders: Path) -> None:
    words = FlamModel(ModelConfig(text=str(encoders / "roberta"))).eval().text.words
    for value in words.encoder.parameters():
        torch.nn.init.normal_(value, std=1.0)
    one, other = words(["rain then a dog", "a dog then rain"]).detach()
    same, _ = words(["rain then a dog", "a dog then rain"]).detach()
    assert torch.equal(one, same)
    assert float((one - other).norm() / one.norm()) > 1e-3  # the same words otherwise


@pytest.mark.parametrize(("audio", "layers"), [("ast", 0), ("wav2vec2", -1), ("clap", 2)])
def test_a_run_needs_its_encoders_only_to_begin(audio: str, layers: int, encoders: Path, tmp_path: Path) -> None:
    """Resumed and used after the encoders' own folder is gone."""
    data = make_toy_dataset(tmp_path / "data", train=6, valid=2, test=0).root
    places = {name: shutil.copytree(encoders / name, tmp_path / name) for name in {audio, "clap"}}
    model = config_of(places[audio], text=str(places["clap"]), audio_layers=layers, text_layers=min(layers, 1))
    config = run_config(model, audio_learning_rate=1e-3, text_learning_rate=1e-3)
    train(data, tmp_path / "whole", config.model_copy(update={"steps": 8}))
    from training import loop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_SAVE_EVERY", 2)
        real = loop.Trainer.learn

        def cut(self: loop.Trainer, batch: object) -> dict[str, float]:
            if self.step == 4:
                raise KeyboardInterrupt
            return real(self, batch)

        patch.setattr(loop.Trainer, "learn", cut)
        with pytest.raises(KeyboardInterrupt):
            train(data, tmp_path / "cut", config.model_copy(update={"steps": 8}))
    for place in places.values():
        shutil.rmtree(place)
    train(data, tmp_path / "cut", config.model_copy(update={"steps": 8}))
    whole, again = (Detector.load(tmp_path / name) for name in ("whole", "cut"))
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name]), name
    assert again.activations(next(data.rglob("*.wav")), ["a dog"]).shape == (100, 1)


@pytest.mark.parametrize("micro_batch", [None, 1])
def test_batch_normalisation_of_an_encoder_that_learns_stays_as_it_was(
    micro_batch: int | None, encoders: Path, tmp_path: Path
) -> None:
    data = make_toy_dataset(tmp_path / "data", train=6, valid=2, test=0).root
    model = config_of(encoders / "clap", audio_layers=-1)
    before = FlamModel(model).audio.encoder
    train(data, tmp_path / "run", run_config(model, audio_learning_rate=0.01, micro_batch=micro_batch))
    after = Detector.load(tmp_path / "run").model.audio.encoder
    norm = before.audio_encoder.batch_norm
    assert isinstance(norm, torch.nn.BatchNorm2d)
    for name, value in norm.named_buffers():
        assert torch.equal(value, getattr(after.audio_encoder.batch_norm, name)), name
    assert not torch.equal(norm.weight, after.audio_encoder.batch_norm.weight)


def test_the_two_encoders_learn_at_rates_of_their_own(encoders: Path) -> None:
    model = config_of(encoders / "ast", text=str(encoders / "roberta"), audio_layers=1, text_layers=1)
    config = run_config(model, audio_learning_rate=0.002, text_learning_rate=0.003, learning_rate=0.005)
    trainer = Trainer(config, device="cpu")
    rates = {
        id(one): rate
        for rate, group in zip(trainer.rates, trainer.optimizer.param_groups, strict=True)
        for one in group["params"]
    }
    found = {name: rates[id(one)] for name, one in trainer.model.named_parameters() if one.requires_grad}
    assert len(found) == len(rates)
    for name, rate in found.items():
        own = {"audio.encoder.": 0.002, "text.words.encoder.": 0.003}
        assert rate == next((value for start, value in own.items() if name.startswith(start)), 0.005), name
    assert set(found.values()) == {0.002, 0.003, 0.005}


def test_the_command_takes_names_and_hears_at_the_encoders_rate(encoders: Path, tmp_path: Path) -> None:
    config = load_config("finelap", audio=str(encoders / "clap"), text=str(encoders / "roberta"))
    assert (config.model.sample_rate, config.model.hop) == (48_000, 0.04)
    data = make_toy_dataset(tmp_path / "data", train=4, valid=0, test=0).root
    command = ["train", str(data), "--out", str(tmp_path / "run"), "--steps", "0", "--text-encoder"]
    done = CliRunner().invoke(cli.app, [*command, str(encoders / "roberta")])
    assert done.exit_code == 0, done.stderr
    assert Detector.load(tmp_path / "run").card.model.text == str(encoders / "roberta")


def test_an_encoder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(FlamError, match=r"nowhere/at-all: .*; give the name of a repository that is in the cache"):
        load_config("finelap", audio="nowhere/at-all")
    with pytest.raises(FlamError, match=r"nowhere/at-all"):
        FlamModel(ModelConfig(text="nowhere/at-all"))


def test_an_encoder_of_a_fixed_length_says_how_long_it_hears(encoders: Path) -> None:
    model = FlamModel(config_of(encoders / "ast"))
    with pytest.raises(FlamError, match=r"hears 2\.56 s at once; set clip_duration"):
        model.embed_audio(torch.zeros(1, 48_000))


def test_a_model_of_another_rate_than_its_encoder_is_refused(encoders: Path) -> None:
    with pytest.raises(FlamError, match="hears 48000 Hz, and the model's sample_rate is 16000"):
        FlamModel(ModelConfig(audio=str(encoders / "clap")))


def test_yamnet_hears_at_the_right_time_and_is_shared_by_copies(tmp_path: Path) -> None:
    config = load_config("finelap", audio="yamnet", hop_ms=160).model
    model = FlamModel(config.model_copy(update={"width": 16, "num_heads": 2, "text": "hash"})).eval()
    audio = model.audio
    quiet = 0.01 * torch.randn(1, 16_000 * 5, generator=torch.Generator().manual_seed(0))
    loud = quiet.clone()
    loud[0, 16_000 * 3 : 16_000 * 3 + 3_200] += 0.5 * torch.sin(torch.arange(3_200) * 0.3)
    (changed, centres), (plain, _) = audio.heard(loud), audio.heard(quiet)
    assert changed.shape[2] == 1536
    steps = (changed - plain)[0, :, :512].norm(dim=1)  # of the layer at 160 ms
    assert abs(float(centres[int(steps.argmax())]) - 3.1) < 0.2
    frames, _ = model.embed_audio(loud[:, : 2560 * 30])
    assert frames.shape == (1, 30, 256)
    data = make_toy_dataset(tmp_path / "data", train=4, valid=2, test=0).root
    train(data, tmp_path / "run", run_config(model.config))
    assert Detector.load(tmp_path / "run").activations(next(data.rglob("*.wav")), ["a dog"]).shape == (25, 1)
    with pytest.raises(FlamError, match="yamnet cannot learn"):
        FlamModel(config.model_copy(update={"audio_layers": 1}))


def test_yamnets_features_lead_to_its_classes() -> None:
    """The mean of the last layer's steps is what its classes are told from, so that they are the very same numbers."""
    from evaluation.yamnet import YamnetFeatures, _Network, _package_folder, log_mel_patches

    samples = 0.1 * np.random.default_rng(0).standard_normal(15_600)
    patches = log_mel_patches(samples)
    found = YamnetFeatures()._network.features(patches)
    network = _Network(_package_folder() / "YamNet_w8a8.onnx.zip", features=True)
    (pooled,) = network._session.run(
        ["/model/layer14/pointwise_conv/relu/Relu_output_0"], {"audio": network._quantised(patches)[:1, None]}
    )
    np.testing.assert_allclose(found[:, 512:].mean(0), pooled[0].mean((1, 2)), rtol=1e-5)
    assert found.shape == (6, 1536)
