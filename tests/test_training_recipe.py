import re
import tomllib
from pathlib import Path

import pytest

from manifests.errors import FlamError
from manifests.store import write_json
from training.checkpoint import ModelCard
from training.config import SIZES, ModelConfig, TrainConfig
from training.recipe import BUILT_IN, load_config, recipe_path


def test_the_default_recipe_names_every_setting_and_its_default() -> None:
    text = recipe_path("finelap").read_text("utf-8")
    named = tomllib.loads(re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE))  # those that are left out, too
    assert named["model"].keys() == ModelConfig.model_fields.keys()
    assert named.keys() == TrainConfig.model_fields.keys()
    assert load_config("finelap") == TrainConfig()


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_recipe_is_one(name: str) -> None:
    assert load_config(name).model_dump()


def test_what_is_given_comes_before_the_file_and_the_file_before_the_default(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("steps = 7\nseed = 3\n[model]\nwidth = 64\ndropout = 0.5\n")
    config = load_config(str(path), seed=5, batch_size=None)
    assert (config.steps, config.seed, config.batch_size, config.model.width) == (7, 5, 32, 64)
    large = load_config(str(path), size="large", hop_ms=160).model
    assert (large.width, large.dropout, large.frame_mels) == (SIZES["large"]["width"], 0.5, 16)


def test_frames_are_as_long_as_asked_at_any_sample_rate(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[model]\nsample_rate = 32000\nwidth = 64\n")
    assert load_config(str(path), hop_ms=40).model.hop == pytest.approx(0.04)
    assert load_config(str(path), hop_ms=160).model.hop == pytest.approx(0.16)
    assert load_config(str(path), size="base").model.width == ModelConfig().width  # which the file has otherwise


def test_a_run_that_begins_with_another_may_change_what_learns_and_nothing_else(tmp_path: Path) -> None:
    begun = ModelConfig(width=64, text="hash")
    write_json(
        tmp_path / "run" / "model" / "config.json",
        ModelCard(model=begun, trained_clusters=(), threshold=0.5).model_dump(),
    )
    path = tmp_path / "mine.toml"
    path.write_text("steps = 7\n[model]\ndropout = 0.4\nwidth = 64\n")
    config = load_config(str(path), init=tmp_path / "run")
    assert (config.steps, config.model) == (7, begun.model_copy(update={"dropout": 0.4}))
    assert load_config("finelap", init=tmp_path / "run").model == begun
    with pytest.raises(FlamError, match=r"flam trains a bias of each text, and that of .*run has one for all"):
        load_config("flam", init=tmp_path / "run")
    path.write_text("[model]\nwidth = 32\n")
    with pytest.raises(FlamError, match=r"mine.toml: model.width: the model of .*run has 64, which cannot change"):
        load_config(str(path), init=tmp_path / "run")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stepz = 7", r"mine.toml: stepz: Extra inputs are not permitted"),
        ("model = 7", r"mine.toml: model: not a table"),
        ("steps = ", r"mine.toml: Invalid value .*--show-recipe finelap"),
        ("prior_weight = 1.0", r"a prior_weight needs frame_scale = text"),
        ("negatives = { cluster = 0.0 }", r"negatives must name at least one kind"),
        ("[model]\naudio_layers = 2", r"audio_layers and text_layers are of pretrained encoders"),
        ("[model]\ntext_layers = 1", r"audio_layers and text_layers are of pretrained encoders"),
        ('num_masks = 1\n[model]\naudio = "yamnet"', r"num_masks masks what the compact encoder hears"),
        ('steps = "3"', r"mine.toml: steps: Input should be a valid integer"),
        ("batch_size = true", r"mine.toml: batch_size: Input should be a valid integer"),
        ("steps = 2026-01-01", r"mine.toml: steps: Input should be a valid integer"),
        ("learning_rate = nan", r"mine.toml: learning_rate: Input should be a finite number"),
        ("[model]\nchannels = [7, 8, 8, 8]", r"mine.toml: model: channels must be multiples of 8"),
    ],
)
def test_a_recipe_that_is_wrong_is_refused_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(FlamError, match=message):
        load_config(str(tmp_path / "mine.toml"))


def test_a_recipe_that_is_not_there_names_those_that_are() -> None:
    for name in ("nothing", "n" * 300):
        with pytest.raises(FlamError, match=rf"no training recipe '{name}': built in are finelap, flam; else name"):
            load_config(name)
