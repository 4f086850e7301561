import pytest
import torch

from training.config import ModelConfig
from training.model import FlamModel
from training.text_encoder import TextEncoder, Trust, frozen_vectors


@pytest.fixture(scope="module")
def model() -> FlamModel:
    torch.manual_seed(0)
    return FlamModel(ModelConfig()).eval()


def test_the_model_is_compact(model: FlamModel) -> None:
    assert 1e6 < sum(parameter.numel() for parameter in model.parameters()) < 2e6


@pytest.mark.parametrize("frames", [1, 2, 3, 26, 250])
def test_every_length_gives_a_unit_vector_for_every_40_ms(model: FlamModel, frames: int) -> None:
    assert model.config.hop == 0.04
    vectors, clip = model.embed_audio(torch.randn(1, frames * 640, generator=torch.Generator().manual_seed(1)))
    assert vectors.shape == (1, frames, 256)
    assert torch.allclose(vectors.norm(dim=-1), torch.ones(1, frames), atol=1e-5)
    assert torch.allclose(clip.norm(dim=-1), torch.ones(1), atol=1e-5)


def test_untrained_text_is_the_frozen_space_in_which_wordings_of_one_sound_are_near() -> None:
    text = TextEncoder(ModelConfig()).eval()
    dog, bark, horn = text(["a dog barks", "dog barking", "car horn"]).detach()
    assert float(dog @ bark) > 0.7
    assert abs(float(dog @ horn)) < 0.3


def test_trained_text_hears_the_order_of_words() -> None:
    text = TextEncoder(ModelConfig(text="hash")).eval()
    torch.nn.init.normal_(text.words.residual.weight, std=0.1)
    torch.nn.init.normal_(text.words.positions, std=0.1)
    first, second = text(["rain then a dog", "a dog then rain"]).detach()
    assert float(first @ second) < 0.999


def test_a_text_is_embedded_alike_alone_and_beside_longer_ones() -> None:
    text = TextEncoder(ModelConfig(text="hash")).eval()
    torch.nn.init.normal_(text.words.residual.weight, std=0.1)
    alone = text(["a dog"])[0].detach()
    beside = text(["a dog", "a much longer phrase that needs padding beside it"])[0].detach()
    assert torch.allclose(alone, beside, atol=1e-5)


def test_capitals_underscores_and_spaces_do_not_matter() -> None:
    text = TextEncoder(ModelConfig()).eval()
    one, two, three = text(["car horn", "Car_Horn", " CAR  horn "]).detach()
    assert torch.equal(one, two)
    assert torch.equal(one, three)


@pytest.mark.parametrize("text", ["鳥", "🐶", "x" * 3000, "a\nb", "007"])
def test_any_text_has_a_unit_vector(text: str) -> None:
    encoder = TextEncoder(ModelConfig()).eval()
    assert torch.allclose(encoder([text]).norm(dim=-1), torch.ones(1), atol=1e-4)


def test_a_word_that_was_never_heard_is_near_to_others_of_its_kind() -> None:
    torch.manual_seed(0)
    text = TextEncoder(ModelConfig()).eval()
    crow, rooster, click, nonsense = text(["crow", "rooster", "click", "flumph"]).detach()
    assert float(crow @ rooster) > float(crow @ click) + 0.2
    assert abs(float(nonsense @ rooster)) < 0.2


def test_words_are_trusted_as_far_as_they_were_trained() -> None:
    torch.manual_seed(0)
    text = TextEncoder(ModelConfig()).eval()
    trust = Trust(text.words, ["dog barking", "rain"], 2.0)
    asked = ["Dog_Barking", "rain", "a barking dog", "crow", "flumph"]
    found = trust(*text.words.prepare(asked))
    assert torch.allclose(found[:2], torch.ones(2), atol=1e-5)
    cosine = frozen_vectors(["crow"]) @ frozen_vectors(["dog barking", "rain"]).T
    assert float(found[3]) == pytest.approx(float(cosine.max()) ** 2, rel=1e-4)
    assert 1 > float(found[2]) > 2 * float(found[3])
    trusted, doubted, nonsense = text(["crow", "crow", "flumph"], torch.tensor([1.0, 1e-6, 1e-6])).detach()
    kinds = text.kinds_of(["crow"]) @ text.kind_vectors()
    assert torch.allclose(doubted, torch.nn.functional.normalize(kinds, dim=-1)[0], atol=1e-4)
    assert torch.allclose(trusted, text(["crow"])[0], atol=1e-6)
    assert torch.allclose(nonsense, text(["flumph"])[0], atol=1e-6)  # of no kind: its words are all there is


def test_vectors_of_kinds_are_learned_from_kinds_only(model: FlamModel) -> None:
    frames, _ = model.embed_audio(torch.randn(1, 640 * 25, generator=torch.Generator().manual_seed(1)))
    model.frame_logits(frames, model.embed_text(["a crow caws"])).sum().backward(retain_graph=True)
    assert model.text.kinds.grad is None
    model.kind_logits(frames).sum().backward()
    assert float(model.text.kinds.grad.abs().sum()) > 0
    model.zero_grad()


def test_in_training_some_texts_go_without_their_kinds() -> None:
    torch.manual_seed(0)
    text = TextEncoder(ModelConfig(dropout=0.0))
    with torch.no_grad():
        vectors = text(["crow"] * 200)
    words, kinds = text.eval()(["crow"])[0], (vectors @ vectors[0]).detach()
    assert 0.6 < float((vectors @ words > 0.999).float().mean()) < 0.8  # with 0.3 left out
    assert float(kinds.min()) < 0.9


def test_the_level_of_a_recording_does_not_matter(model: FlamModel) -> None:
    samples = 0.1 * torch.randn(1, 64_000, generator=torch.Generator().manual_seed(2))
    loud, _ = model.embed_audio(samples)
    quiet, _ = model.embed_audio(0.05 * samples)
    assert torch.allclose(loud, quiet, atol=1e-2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": (16, 4, 8, 8)}, "channels must be multiples of 8"),  # the heap is lost on some CPUs
        ({"channels": (16, 0, 8, 8)}, "channels must be multiples of 8"),
        ({"channels": (8, 8, 8, 8)}, "the first at least 16"),
        ({"width": 30, "num_heads": 4}, "multiple of num_heads"),
        ({"num_mels": 40}, "and num_mels of 16"),
    ],
)
def test_sizes_that_the_layers_cannot_have_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ModelConfig(**settings)
