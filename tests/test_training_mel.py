import librosa
import numpy as np
import pytest
import torch

from training.audio_encoder import Dropout
from training.mel import LogMel, mel_filters


@pytest.mark.parametrize(("rate", "mels", "fft"), [(16_000, 64, 512), (32_000, 128, 1024)])
def test_the_filters_are_librosas(rate: int, mels: int, fft: int) -> None:
    ours = mel_filters(sample_rate=rate, num_mels=mels, fft_samples=fft).numpy()
    np.testing.assert_allclose(ours, librosa.filters.mel(sr=rate, n_fft=fft, n_mels=mels), atol=1e-7)


def test_the_spectrogram_is_librosas_on_the_same_frames() -> None:
    samples = np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    ours = LogMel(sample_rate=16_000, num_mels=64, fft_samples=512, hop_samples=160)(torch.from_numpy(samples)[None])
    padded = np.pad(samples, (176, 176))  # so that librosa's first window is centred at half a hop
    theirs = librosa.feature.melspectrogram(y=padded, sr=16_000, n_fft=512, hop_length=160, n_mels=64, center=False)
    np.testing.assert_allclose(ours[0].numpy(), np.log(theirs + 1e-8), atol=1e-3)


def test_a_click_falls_in_the_frame_that_holds_its_time() -> None:
    samples = torch.zeros(1, 16_000)
    samples[0, 8_080] = 1.0  # the centre of frame 50
    mel = LogMel(sample_rate=16_000, num_mels=64, fft_samples=512, hop_samples=160)(samples)
    assert mel.shape == (1, 64, 100)
    assert int(mel[0].sum(0).argmax()) == 50


def test_another_device_than_a_cpu_gets_the_whole_batch_at_once() -> None:
    """As far as shapes tell: the meta device has no values."""
    mel = LogMel(sample_rate=16_000, num_mels=64, fft_samples=512, hop_samples=160).to("meta")
    assert mel(torch.zeros(3, 16_000, device="meta")).shape == (3, 64, 100)
    dropout = Dropout(0.5).train()
    assert dropout(torch.zeros(3, 5, device="meta")).shape == (3, 5)


def test_dropout_keeps_the_mean_and_drops_its_share() -> None:
    torch.manual_seed(0)
    values = Dropout(0.25).train()(torch.ones(100_003))
    assert float((values == 0).float().mean()) == pytest.approx(0.25, abs=0.01)
    assert float(values.mean()) == pytest.approx(1.0, abs=0.01)
