"""Phrases and captions -> unit vectors: frozen word vectors, trained layers over their sequence, and kinds of sound."""

import functools
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from training.config import ModelConfig
from training.memory import make_room
from training.pretrained import PretrainedText
from training.sound_kinds import load_kinds

MAX_TOKENS = 64
_KIND_SCALE = 1.5  # of the kinds' mean beside the words' unit vector


@dataclass(frozen=True)
class TokenTable:
    """Text as the rows of a frozen table of vectors."""

    name: str  # and version
    vectors: Float[Tensor, "token dim"]
    tokenize: Callable[[Sequence[str]], list[list[int]]]  # the rows of each text, in order

    @functools.cached_property
    def digest(self) -> str:
        """Of vectors and tokens: a model that was trained with others would say anything."""
        tokens = self.tokenize(load_kinds("1").names)
        return hashlib.sha256(self.vectors.numpy().tobytes() + repr(tokens).encode()).hexdigest()[:16]


@functools.cache
def token_table(name: str) -> TokenTable:
    """The frozen table of a name: word vectors, or random ones for tests."""
    return _wordllama() if name == "wordllama" else _hashed()


def frozen_vectors(texts: Sequence[str]) -> Float[np.ndarray, "text dim"]:
    """Unit vectors of texts by their words alone, as no model was trained."""
    table = token_table("wordllama")
    sums = [table.vectors[ids or [0]].sum(0) for ids in table.tokenize([_plain(text) for text in texts])]
    vectors: Float[np.ndarray, "text dim"] = functional.normalize(torch.stack(sums), dim=-1).numpy()
    return vectors


def _wordllama() -> TokenTable:
    """wordllama's token vectors (256-d, MIT), from the files inside its wheel: no download."""
    import wordllama

    loaded = wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
    tokenizer = loaded.tokenizer
    tokenizer.no_padding()

    def tokenize(texts: Sequence[str]) -> list[list[int]]:
        return [encoded.ids for encoded in tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    vectors = torch.from_numpy(np.array(loaded.embedding, dtype=np.float32))
    return TokenTable(f"wordllama {metadata.version('wordllama')}", vectors, tokenize)


def _hashed() -> TokenTable:
    """A random but fixed vector per word, chosen by a hash of its letters: it knows no synonyms."""
    vectors = torch.randn(512, 64, generator=torch.Generator().manual_seed(0)) / 8

    def row(word: str) -> int:
        return int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "little") % len(vectors)

    def tokenize(texts: Sequence[str]) -> list[list[int]]:
        return [[row(word) for word in re.findall(r"\w+", text.lower())] for text in texts]

    return TokenTable("hash", vectors, tokenize)


WORD_TABLES = ("wordllama", "hash")


class TextEncoder(nn.Module):
    """A text's words, and the kinds of sound that they name, as one unit vector.

    The vectors of the kinds are learned from sound only (`FlamModel.kind_logits`), and a word that was never heard gets
    them all the same.

    Args:
        config: which word vectors, or which pretrained encoder.
        folder: where the settings of a pretrained encoder are kept, without its weights; None: loaded by its name.
    """

    def __init__(self, config: ModelConfig, folder: Path | None = None) -> None:
        super().__init__()
        self.words = TokenWords(config) if config.text in WORD_TABLES else PretrainedText(config, folder)
        self.sound_kinds = load_kinds(config.sound_kinds)
        self.kind_dropout = config.kind_dropout
        self.kinds = nn.Parameter(torch.randn(len(self.sound_kinds.names), config.embed_dim))
        self._shares: dict[str, Float[np.ndarray, " kind"]] = {}

    def forward(self, texts: Sequence[str], trust: Float[Tensor, " text"] | None = None) -> Float[Tensor, "text dim"]:
        """One unit vector a text. A text without any known token gets the vector of nothing."""
        kinds = self.kinds_of(texts)
        if self.training:  # some texts go without their kinds, lest words be forgotten
            kinds = kinds * (torch.rand(len(texts), 1) >= self.kind_dropout).to(kinds)
        return self.united(self.words(texts), kinds, trust)

    def united(
        self,
        words: Float[Tensor, "text dim"],
        kinds: Float[Tensor, "text kind"],
        trust: Float[Tensor, " text"] | None = None,
    ) -> Float[Tensor, "text dim"]:
        """Unit vectors of texts, of those of their words and how much of each kind they name.

        Args:
            words: of texts.
            kinds: how much of each kind each names.
            trust: above 0, how much words count of what they do in training (`Trust`); None: all of it.
        """
        words = functional.normalize(words, dim=-1)
        if trust is not None:
            words = words * trust[:, None]
        return functional.normalize(words + _KIND_SCALE * (kinds @ self.kind_vectors().detach()), dim=-1)

    def kind_vectors(self) -> Float[Tensor, "kind dim"]:
        """The unit vector of each kind."""
        return functional.normalize(self.kinds, dim=-1)

    def kinds_of(self, texts: Sequence[str]) -> Float[Tensor, "text kind"]:
        """How much of each kind each text names."""
        make_room(self._shares)
        for text in texts:
            if text not in self._shares:
                self._shares[text] = self.sound_kinds.shares(text)
        return torch.from_numpy(np.stack([self._shares[text] for text in texts])).to(self.kinds)


class TokenWords(nn.Module):
    """Frozen token vectors, averaged, plus a trained residual from a layer over their sequence.

    The residual starts at zero: an untrained encoder is the frozen space itself, in which unseen words have their
    place already.
    """

    vectors: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.table = table = token_table(config.text)
        self._known: dict[str, list[int]] = {}
        dim = table.vectors.shape[1]
        self.register_buffer("vectors", table.vectors, persistent=False)
        self.positions = nn.Parameter(torch.zeros(MAX_TOKENS, dim))
        self.order = nn.TransformerEncoderLayer(
            dim, 4, dim_feedforward=dim, dropout=config.dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.residual = nn.Linear(dim, config.embed_dim)
        self.project = nn.Linear(dim, config.embed_dim, bias=False)
        nn.init.zeros_(self.residual.weight)
        nn.init.zeros_(self.residual.bias)
        nn.init.eye_(self.project.weight)

    def forward(self, texts: Sequence[str]) -> Float[Tensor, "text dim"]:
        """Vectors of texts."""
        return self.embed(*self.prepare(texts))

    def prepare(self, texts: Sequence[str]) -> tuple[Int[Tensor, "text token"], Bool[Tensor, "text token"]]:
        """Rows of the token table, padded, and which are no padding."""
        rows = [self._tokens(text) for text in texts]
        length = max(map(len, rows))
        device = self.vectors.device
        tokens = torch.tensor([ids + [0] * (length - len(ids)) for ids in rows], device=device)
        present = torch.tensor([[i < len(ids) for i in range(length)] for ids in rows], device=device)
        return tokens, present

    def embed(
        self, tokens: Int[Tensor, "text token"], present: Bool[Tensor, "text token"]
    ) -> Float[Tensor, "text dim"]:
        """The vectors of prepared texts."""
        weights = present.unsqueeze(-1).to(self.vectors.dtype)
        vectors = functional.normalize(self.vectors[tokens], dim=-1) * weights
        pooled = self.pooled(tokens, present)
        seen = self.order(vectors + self.positions[: tokens.shape[1]], src_key_padding_mask=~present)
        change: Tensor = self.residual((seen * weights).sum(1) / weights.sum(1))
        found: Tensor = change + self.project(pooled)
        return found

    def pooled(
        self, tokens: Int[Tensor, "text token"], present: Bool[Tensor, "text token"]
    ) -> Float[Tensor, "text dim"]:
        """The unit vectors of prepared texts before any training."""
        weights = present.unsqueeze(-1).to(self.vectors.dtype)
        return functional.normalize(self.vectors[tokens].mul(weights).sum(1), dim=-1)

    def _tokens(self, text: str) -> list[int]:
        """Of one text; phrases and captions come again every epoch."""
        if text not in self._known:
            make_room(self._known)
            (ids,) = self.table.tokenize([_plain(text)])
            self._known[text] = ids[:MAX_TOKENS] or [0]
        return self._known[text]


class Trust(nn.Module):
    """How far words are trusted: as near as they are to the nearest text that was trained, to a power.

    Trained layers know where the sounds that they heard belong, and put others anywhere between; what is said of those
    by their kinds carries over. Words that were trained count 1.

    Args:
        words: of the model.
        trained: the texts.
        power: 0 trusts everything.
    """

    def __init__(self, words: TokenWords, trained: Sequence[str], power: float) -> None:
        super().__init__()
        self.words, self.power = words, power
        blocks = [words.pooled(*words.prepare(trained[i : i + 1000])) for i in range(0, len(trained), 1000)]
        self.register_buffer("trained", torch.cat(blocks), persistent=False)

    trained: Tensor

    def forward(self, tokens: Int[Tensor, "text token"], present: Bool[Tensor, "text token"]) -> Float[Tensor, " text"]:
        """Of prepared texts, above 0 and at most 1."""
        nearest = (self.words.pooled(tokens, present) @ self.trained.T).amax(1)
        trust: Tensor = nearest.clamp(0.01, 1.0) ** self.power
        return trust


def _plain(text: str) -> str:
    """`Car_Horn ` is asked as `car horn`: word vectors tell capitals, underscores and spaces apart, ears do not."""
    return " ".join(text.casefold().replace("_", " ").split())
