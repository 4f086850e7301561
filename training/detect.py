"""When does a recording sound like a text? Any length, any rate, in constant memory."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from evaluation.post_processing import PostProcessing, smoothed
from manifests import audio
from manifests.audio import Recording, Source
from manifests.errors import FlamError
from training.checkpoint import ModelCard, device_of, digest_of, load_model
from training.model import FlamModel
from training.text_encoder import TokenWords, Trust

_WINDOW_SECONDS, _MARGIN_SECONDS = 10.0, 1.0  # what the model hears at once; what it hears beyond the frames kept


@dataclass(frozen=True, kw_only=True, slots=True)
class Detection:
    """One span in which a phrase was heard. Times are seconds from the start of the file."""

    phrase: str
    onset: float
    offset: float
    probability: float  # mean over its active frames


class Detector:
    """A trained model that answers free text. The score of a phrase does not depend on which others are asked.

    Args:
        model: the model.
        card: what it is, how it is calibrated and where to cut.
        device: as torch names it.
        unbiased: scores are FLAM's (arXiv 2505.05335, eq. 7), s = p / (p + sigmoid(beta)), not probabilities: 0.5 says
            that a sound is as likely as before anything was heard. Only a model whose texts have biases has them.
    """

    def __init__(self, model: FlamModel, card: ModelCard, *, device: str = "cpu", unbiased: bool = False) -> None:
        if unbiased and card.model.frame_scale != "text":
            raise FlamError("this model has no bias of each text: train one with `--recipe flam` for unbiased scores")
        self.unbiased = unbiased
        self.device = device_of(device)
        self.model = model.to(self.device).eval()
        self.card = card
        self.hop = card.model.hop
        self.sample_rate = card.model.sample_rate
        self.window_frames = int(min(_WINDOW_SECONDS, model.longest or _WINDOW_SECONDS) / self.hop + 1e-6)
        self.margin_frames = round(_MARGIN_SECONDS / self.hop)
        prior = card.calibration_prior
        self._prior = torch.tensor(prior, device=self.device) if prior else None
        self._texts: dict[str, Tensor] = {}  # embedded before
        words = self.model.text.words
        self.trust = None
        if card.word_trust and card.trained_phrases and isinstance(words, TokenWords):
            self.trust = Trust(words, card.trained_phrases, card.word_trust)

    @cached_property
    def identity(self) -> str:
        """Of weights, card and kind of score: models of the same answer the same."""
        return hashlib.sha256(
            f"{self.card.model_dump_json()}{digest_of(self.model)}{self.unbiased}".encode()
        ).hexdigest()

    @classmethod
    def load(cls, run: Path | str, *, device: str = "cpu", unbiased: bool = False) -> "Detector":
        """The model that `flam-cli train` left in RUN; raises FlamError if there is none or it is damaged."""
        model, card = load_model(Path(run))
        return cls(model, card, device=device, unbiased=unbiased)

    @property
    def threshold(self) -> float:
        """Where detections are cut if nothing else is said: the best on validation data."""
        return 0.5 if self.unbiased else self.card.threshold

    def detect(
        self, source: Source | str, phrases: Sequence[str], *, threshold: float | None = None
    ) -> list[Detection]:
        """Spans in which each phrase's probability is above `threshold` (default: the best on validation data).

        Gaps are bridged and short spans left out as was best there. Sorted by onset. Raises FlamError for a file that
        cannot be read, an empty phrase, or a threshold outside [0, 1).
        """
        limit = self.threshold if threshold is None else threshold
        if not 0.0 <= limit < 1.0:
            raise FlamError(f"threshold {limit:g} is not in [0, 1): give a probability, such as 0.5")
        if not phrases:
            raise FlamError("no phrase to listen for; give one, for example --phrase 'a dog barks'")
        spans = [_OpenSpans(phrase, limit, self.hop, self.card.post_processing) for phrase in phrases]
        for start, block, end in self.stream(_source(source), phrases):
            for column, found in enumerate(spans):
                found.add(start, block[:, column], end)
        detections = [detection for found in spans for detection in found.close()]
        return sorted(detections, key=lambda detection: (detection.onset, detection.phrase))

    def activations(self, source: Source | str, phrases: Sequence[str]) -> Float[np.ndarray, "frame phrase"]:
        """Probability of each phrase in each frame; frame i covers [i * hop, (i + 1) * hop) seconds."""
        return self.hear(source, phrases)[0]

    def clip_embedding(self, source: Source | str) -> Float[np.ndarray, " dim"]:
        """Unit vector of a recording as a whole, to compare with those of captions."""
        return self.hear(source, [])[1]

    def hear(
        self, source: Source | str, phrases: Sequence[str]
    ) -> tuple[Float[np.ndarray, "frame phrase"], Float[np.ndarray, " dim"]]:
        """Both `activations` and `clip_embedding`, in one pass over the recording."""
        blocks, total = [], torch.zeros(1)
        for block, _, clip, length in self._blocks(_source(source), self.embed_phrases(phrases)):
            blocks.append(block)
            total = clip * length + total
        return np.concatenate(blocks), torch.nn.functional.normalize(total, dim=0).numpy()

    def stream(
        self, source: Source, phrases: Sequence[str]
    ) -> Iterator[tuple[int, Float[np.ndarray, "frame phrase"], float]]:
        """Activations in blocks: index of the first frame, probabilities, and up to which second was heard."""
        first = 0
        for block, end, _, _ in self._blocks(source, self.embed_phrases(phrases)):
            yield first, block, end
            first += len(block)

    def _blocks(
        self, source: Source, texts: Sequence[Float[Tensor, " dim"]]
    ) -> Iterator[tuple[Float[np.ndarray, "frame phrase"], float, Float[Tensor, " dim"], int]]:
        """Probabilities, up to which second was heard, and the window's own vector and samples."""
        margin, first = self.margin_frames, True
        for window, end, is_last in self._windows(source):
            block, clip = self._listen(window, texts)
            block = block[0 if first else margin : None if is_last else -margin]
            if not np.isfinite(block).all():
                raise FlamError(f"{source}: the model has no finite answer to it; is its level sane? else train again")
            yield block, end, clip, len(window)
            first = False

    @torch.inference_mode()
    def _listen(
        self, window: Float[np.ndarray, " sample"], texts: Sequence[Float[Tensor, " dim"]]
    ) -> tuple[Float[np.ndarray, "frame phrase"], Float[Tensor, " dim"]]:
        frames, clips = self.model.embed_audio(self._tensor(window))
        if not texts:
            return np.zeros((frames.shape[1], 0), np.float32), clips[0].cpu()
        # One phrase at a time: products and exponentials may round differently with others beside it
        scores = [self._score(self.model.frame_logits(frames, text[None])[0, 0], text) for text in texts]
        probabilities = torch.stack(scores, dim=1).cpu().numpy()
        median = self.card.post_processing.median
        return np.stack([smoothed(column, median) for column in probabilities.T], axis=1), clips[0].cpu()

    def _score(self, logits: Float[Tensor, " frame"], text: Float[Tensor, " dim"]) -> Float[Tensor, " frame"]:
        if self.unbiased:
            posterior = torch.sigmoid(logits)
            return posterior / (posterior + torch.sigmoid(self.model.phrase_biases(text[None])))
        bias: float | Tensor = self.card.calibration_bias
        if self._prior is not None:  # more for a sound that is common, as its text tells
            bias = (text * self._prior).sum() + bias
        return torch.sigmoid(logits * self.card.calibration_scale + bias)

    @torch.inference_mode()
    def caption_embeddings(self, captions: Sequence[str]) -> Float[np.ndarray, "caption dim"]:
        """Unit vectors of captions."""
        blocks = [self.model.embed_text(captions[i : i + 256]).cpu().numpy() for i in range(0, len(captions), 256)]
        return np.concatenate(blocks)

    @torch.inference_mode()
    def embed_phrases(self, phrases: Sequence[str]) -> list[Float[Tensor, " dim"]]:
        """The unit vector of each phrase; raises FlamError for an empty one."""
        if isinstance(phrases, str):
            raise FlamError(f"phrases are given as a list: [{phrases!r}]")
        try:
            "".join(phrases).encode()
        except UnicodeEncodeError:
            raise FlamError("a phrase is not Unicode; set the terminal to UTF-8, for example LC_ALL=C.UTF-8") from None
        if not all(phrase.strip() for phrase in phrases):
            raise FlamError("a phrase is empty; say what to look for, for example --phrase 'a dog barks'")
        for phrase in phrases:
            if phrase not in self._texts:  # one at a time: rounding must not depend on what is asked beside it
                trust = None if self.trust is None else self.trust(*self.trust.words.prepare([phrase]))
                self._texts[phrase] = self.model.embed_text([phrase], trust)[0]
        return [self._texts[phrase] for phrase in phrases]

    def _windows(self, source: Source) -> Iterator[tuple[Float[np.ndarray, " sample"], float, bool]]:
        """Overlapping windows of at most 10 s, the time in seconds at which each ends, and whether it is the last."""
        frame = self.card.model.frame_samples
        size = self.window_frames * frame
        step = size - 2 * self.margin_frames * frame
        waiting, heard = np.zeros(0, np.float32), 0  # samples
        for block in audio.stream(source, self.sample_rate):
            if not np.isfinite(block).all():  # it would be heard as nothing at all: say so rather than answer
                raise FlamError(f"{source}: holds samples that are no number; repair or encode it again")
            waiting, heard = np.concatenate([waiting, block]), heard + len(block)
            while len(waiting) > size:
                yield waiting[:size], (heard - len(waiting) + size) / self.sample_rate, False
                waiting = waiting[step:]
        if not heard:
            raise FlamError(f"{source}: no audio in it; give a file with at least one sample")
        yield np.pad(waiting, (0, -len(waiting) % frame)), heard / self.sample_rate, True

    def _tensor(self, window: Float[np.ndarray, " sample"]) -> Float[Tensor, "one sample"]:
        return torch.from_numpy(window.astype(np.float32))[None].to(self.device)


def _source(source: Source | str) -> Source:
    return source if isinstance(source, Recording) else Path(source)


class _OpenSpans:
    """Turns one phrase's probabilities into spans as they come in."""

    def __init__(self, phrase: str, threshold: float, hop: float, post: PostProcessing) -> None:
        self.phrase, self.threshold, self.hop, self.min_duration = phrase, threshold, hop, post.min_duration
        self.gap = int(post.max_gap / hop + 1e-6)
        self.done: list[Detection] = []
        self.first = self.last = -1  # frames of the open span
        self.end = 0.0  # of what was heard so far, in seconds
        self.total, self.count = 0.0, 0

    def add(self, start: int, probabilities: Float[np.ndarray, " frame"], end: float) -> None:
        self.end = end
        for index in np.flatnonzero(probabilities > self.threshold):
            frame = start + int(index)
            if self.count and frame - self.last - 1 > self.gap:
                self.close()
            if not self.count:
                self.first = frame
            self.last = frame
            self.total += float(probabilities[index])
            self.count += 1

    def close(self) -> list[Detection]:
        if self.count:
            onset, offset = self.first * self.hop, min((self.last + 1) * self.hop, self.end)
            if offset - onset >= self.min_duration - 1e-6:
                probability = self.total / self.count
                self.done.append(
                    Detection(
                        phrase=self.phrase, onset=round(onset, 6), offset=round(offset, 6), probability=probability
                    )
                )
        self.total, self.count = 0.0, 0
        return self.done
