"""Small encoders of transformers with random weights, saved as the real ones are."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from training.pretrained import _transformers

transformers = _transformers()


def ast(folder: Path) -> Path:
    torch.manual_seed(0)
    config = transformers.ASTConfig(
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        max_length=256,
        num_mel_bins=64,
    )
    transformers.ASTModel(config).save_pretrained(folder)
    transformers.ASTFeatureExtractor(max_length=256, num_mel_bins=64).save_pretrained(folder)
    return folder


def clap(folder: Path) -> Path:
    torch.manual_seed(0)
    audio = {
        "spec_size": 256, "num_mel_bins": 64, "patch_embeds_hidden_size": 8, "hidden_size": 64, "depths": [1, 1, 1, 1],
        "num_attention_heads": [1, 1, 2, 2], "projection_dim": 16, "window_size": 8,
    }  # fmt: skip
    text = {
        "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 40,
        "projection_dim": 16, "max_position_embeddings": 90,
    }  # fmt: skip
    config = transformers.ClapConfig(text_config=text, audio_config=audio, projection_dim=16)
    transformers.ClapModel(config).save_pretrained(folder)
    transformers.ClapFeatureExtractor(truncation="rand_trunc", padding="pad").save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    return folder


def pe_audio(folder: Path) -> Path:
    torch.manual_seed(0)
    config = transformers.PeAudioEncoderConfig(
        hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, head_dim=16,
        dac_config={
            "encoder_hidden_size": 8, "codebook_dim": 8, "n_codebooks": 1, "codebook_size": 8,
            "downsampling_ratios": [2, 8, 10, 12],
        },
    )  # fmt: skip
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    transformers.PeAudioFeatureExtractor().save_pretrained(folder)
    return folder


def pe_audio_with_text(folder: Path) -> Path:
    """As it is published: sound is a part of it."""
    sound = transformers.AutoConfig.from_pretrained(pe_audio(folder))
    text = transformers.ModernBertConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=40, pad_token_id=0,
        eos_token_id=1, bos_token_id=2, cls_token_id=2, sep_token_id=1,
    )  # fmt: skip
    config = transformers.PeAudioConfig(text_config=text.to_dict(), audio_config=sound.to_dict())
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    return folder


def wav2vec2(folder: Path) -> Path:
    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, conv_dim=(8,) * 7,
        num_feat_extract_layers=7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4,
        feat_extract_norm="layer", do_stable_layer_norm=True,
    )  # fmt: skip
    transformers.Wav2Vec2Model(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(return_attention_mask=False, do_normalize=False).save_pretrained(folder)
    return folder


_EAT_CONFIG = """
from transformers import PretrainedConfig

class EATConfig(PretrainedConfig):
    model_type = "eat"

    def __init__(self, embed_dim=768, depth=12, max_length=768, **others):
        super().__init__(**others)
        self.embed_dim, self.depth, self.max_length = embed_dim, depth, max_length
"""
_EAT_MODEL = """
import torch
from torch import nn
from transformers import PreTrainedModel
from .configuration_eat import EATConfig
from .eat_layers import Layers

class EATModel(PreTrainedModel):
    config_class = EATConfig

    def __init__(self, config):
        super().__init__(config)
        self.model = Layers(config)

    def extract_features(self, x):
        return self.model(x)
"""
_EAT_LAYERS = """
import torch
from torch import nn

class Layers(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.patches = nn.Conv2d(1, config.embed_dim, 16, 16)
        self.clip = nn.Parameter(torch.zeros(1, 1, config.embed_dim))
        self.blocks = nn.ModuleList(nn.Linear(config.embed_dim, config.embed_dim) for _ in range(config.depth))

    def forward(self, mels):
        hidden = self.patches(mels).flatten(2).transpose(1, 2)
        hidden = torch.cat([self.clip.expand(len(hidden), -1, -1), hidden], dim=1)
        for block in self.blocks:
            hidden = hidden + torch.tanh(block(hidden))
        return hidden
"""


def eat(folder: Path) -> Path:
    """As EAT's repositories are: code of their own, and no settings of a feature extractor."""
    torch.manual_seed(0)
    folder.mkdir()
    settings = {
        "model_type": "eat",
        "architectures": ["EATModel"],
        "auto_map": {"AutoConfig": "configuration_eat.EATConfig", "AutoModel": "modeling_eat.EATModel"},
        "embed_dim": 24,
        "depth": 3,
    }
    (folder / "config.json").write_text(json.dumps(settings))
    for name, code in (("configuration_eat", _EAT_CONFIG), ("modeling_eat", _EAT_MODEL), ("eat_layers", _EAT_LAYERS)):
        (folder / f"{name}.py").write_text(code)
    namespace: dict[str, Any] = {}
    exec(_EAT_LAYERS, namespace)
    layers = namespace["Layers"](SimpleNamespace(embed_dim=24, depth=3))
    weights = {f"model.{name}": value for name, value in layers.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def roberta(folder: Path) -> Path:
    torch.manual_seed(0)
    config = transformers.RobertaConfig(
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=16,
        vocab_size=40,
        max_position_embeddings=90,
    )
    transformers.RobertaModel(config).save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    return folder


def _tokenizer() -> Any:
    """Letters."""
    words = ["<s>", "<pad>", "</s>", "<unk>", *"abcdefghijklmnopqrstuvwxyz "]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        model_max_length=77,
    )
