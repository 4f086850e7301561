"""The page and the picture of an evaluation show what was measured, whatever labels are called."""

import base64
import dataclasses
import re

import numpy as np
from matplotlib.image import imread
from soundscape_rows import event, soundscape
from test_evaluation_evaluate import Oracle, small_dataset

from evaluation.evaluate import evaluate
from evaluation.queries import Trained
from evaluation.report import worst_clips, write_report


def page_of(folder, detector, data, **options):
    return write_report(folder, evaluate(detector, data, **options), data).read_text("utf-8")


def test_the_page_plays_and_draws_the_worst_soundscapes_the_worst_first(toy_dataset, tmp_path):
    class Worse(Oracle):
        def answer(self, row, phrase, num_frames):
            right = super().answer(row, phrase, num_frames)
            return 1 - right if int(row.soundscape_id) % 4 == 3 else right

    result = evaluate(Worse(toy_dataset), toy_dataset, trained=Trained(clusters=["hiss"], threshold=0.3))
    clips = [(int(result.scored.scores.clips[clip]), error) for clip, error in worst_clips(result)]
    assert [clip % 4 == 3 for clip, _ in clips] == [True] * 2 + [False] * 6
    assert [error for _, error in clips] == sorted((error for _, error in clips), reverse=True)
    page = write_report(tmp_path, result, toy_dataset).read_text("utf-8")
    assert re.findall(r"<h3>(\d+):", page) == [f"{clip:08d}" for clip, _ in clips]
    sounds = [base64.b64decode(found) for found in re.findall(r"audio/wav;base64,([^>]+)>", page)]
    assert [(sound[:4], len(sound)) for sound in sounds] == [(b"RIFF", 44 + 2 * 4 * 16_000)] * 8
    assert page.count("data:image/png;base64,iVBOR") == 8
    assert "PSDS1_A" in page
    assert imread(tmp_path / "metrics.png").shape[0] > 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.html", "metrics.png"]


def test_labels_are_text_wherever_they_stand(tmp_path):
    odd = ["<script>alert(1)</script>", "$\\frac{$", "狗叫", "a & b"]
    rows = [soundscape(f"<b>{i}", [event(label, (1.0, 2.0))]) for i, label in enumerate(odd)]
    data = small_dataset(tmp_path / "data", [dataclasses.replace(row, duration=0.1) for row in rows])
    page = page_of(tmp_path, Oracle(data), data)
    assert "<script" not in page
    assert "&lt;b&gt;0" in page
    assert "<b>" not in page


def test_a_split_in_which_nothing_is_known_has_a_page_too(tmp_path):
    rows = [dataclasses.replace(soundscape("a", [event("dog", (1.0, 2.0))]), annotation="open")]
    data = small_dataset(tmp_path / "data", rows)
    page = page_of(tmp_path, Oracle(data), data)
    assert "The 0 soundscapes" in page


def test_the_picture_marks_what_is_held_out(toy_dataset, tmp_path):
    orange = np.array([0xD5, 0x5E, 0x00]) / 255
    for trained, there in ((Trained(clusters=["hiss"]), True), (Trained(), False)):
        page_of(tmp_path, Oracle(toy_dataset), toy_dataset, trained=trained)
        image = imread(tmp_path / "metrics.png")
        right_half = image[: len(image) // 2, image.shape[1] // 2 :, :3]
        assert (np.abs(right_half - orange).max(axis=-1) < 0.02).any() == there
