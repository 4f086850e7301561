"""Bands, clip lengths and wordings, with detectors that read the truth from the sound itself."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from soundscape_rows import event, soundscape
from test_evaluation_evaluate import Oracle, small_dataset

from evaluation import robustness
from evaluation.baselines import Chance
from evaluation.clip_length import scores_at_length
from evaluation.evaluate import evaluate, with_curves
from evaluation.frame_auroc import frame_auroc
from evaluation.low_pass import LowPassed, low_passed
from evaluation.queries import Query, Trained
from evaluation.report import write_report
from evaluation.robustness import CLIP_SECONDS, drawn, robustness_curves
from evaluation.scored import Detector, collect_scores, split_soundscapes
from evaluation.wording_distance import wording_distances
from manifests import audio
from manifests.audio import Recording
from manifests.errors import FlamError
from manifests.schema import Phrase
from manifests.store import DatasetFolder

RATE, HOP = 8_000, 0.04
FRAME = round(HOP * RATE)
LABELS = ("bell", "cat", "dog", "owl")
STEP = 2000  # of the sample value, for each label's bit


class Reader:
    """Hears in a frame the labels whose bits its samples spell; writes down what it was given."""

    hop = HOP

    def __init__(self):
        self.lengths = []

    @property
    def identity(self):
        return "reader"

    def hear(self, source, phrases):
        samples = audio.read(source, RATE)
        self.lengths.append(len(samples))
        frames = np.pad(samples, (0, -len(samples) % FRAME)).reshape(-1, FRAME)
        bits = np.round(np.median(frames, axis=1) * 32768 / STEP).astype(int)
        found = [0.1 + 0.8 * (bits >> LABELS.index(phrase) & 1) for phrase in phrases]
        return np.stack(found, axis=1).astype(np.float32), np.ones(2) / np.sqrt(2)

    def caption_embeddings(self, captions):
        return np.tile([1.0, 0.0], (len(captions), 1))


def spelt_dataset(root: Path, num: int, *, seconds: float = 10.0) -> DatasetFolder:
    """Soundscapes whose samples say which labels sound."""
    rng, rows, sounds = np.random.default_rng(0), [], {}
    num_frames = round(seconds / HOP)
    for index in range(num):
        bits, events = np.zeros(num_frames, int), []
        for bit in rng.choice(len(LABELS), size=2, replace=False):
            first, last = np.sort(rng.choice(num_frames + 1, size=2, replace=False))
            bits[first:last] += 1 << int(bit)
            events.append(event(LABELS[bit], (first * HOP, last * HOP)))
        row = dataclasses.replace(soundscape(f"{index:03d}", events), duration=seconds, sample_rate=RATE)
        rows.append(row)
        sounds[row.audio_path] = np.repeat(bits * STEP, FRAME).astype(np.int16)
    folder = small_dataset(root, rows)
    for path, samples in sounds.items():
        audio.write(root / path, samples, RATE)
    return folder


@pytest.fixture(scope="module")
def spelt(tmp_path_factory: pytest.TempPathFactory) -> DatasetFolder:
    return spelt_dataset(tmp_path_factory.mktemp("spelt") / "data", 12)


def tone(hertz: float, *, seconds: float = 1.0, rate: int = 16_000) -> Recording:
    samples = 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    return Recording(samples=audio.to_int16(samples.astype(np.float32)), sample_rate=rate, name="tone")


def level_db(recording: Recording) -> float:
    middle = recording.samples[len(recording.samples) // 4 : -len(recording.samples) // 4].astype(float)
    return 10 * np.log10(max((middle**2).mean(), 1e-9) / (0.5 * 16_384**2))


@pytest.mark.parametrize("cutoff", [1000.0, 2000.0, 4000.0])
def test_a_low_pass_keeps_a_tone_below_and_takes_one_above(cutoff):
    assert level_db(low_passed(tone(cutoff / 2), cutoff)) == pytest.approx(0.0, abs=0.01)
    assert level_db(low_passed(tone(cutoff), cutoff)) == pytest.approx(-6.02, abs=0.05)
    assert level_db(low_passed(tone(cutoff * 1.9), cutoff)) < -70
    kept = slice(1000, -1000)  # what was mirrored at the ends shows there
    np.testing.assert_allclose(
        low_passed(tone(cutoff / 2), cutoff).samples[kept], tone(cutoff / 2).samples[kept], atol=2
    )


def test_a_low_pass_does_not_delay():
    click = np.zeros(8000, np.int16)
    click[3000] = 20_000
    found = low_passed(Recording(samples=click, sample_rate=16_000, name="click"), 1000.0).samples
    assert found.argmax() == 3000
    np.testing.assert_allclose(found[2900:3000], found[3001:3101][::-1], atol=1)


def test_a_low_pass_reads_files_at_their_own_rate_and_leaves_what_holds_nothing_above(tmp_path):
    audio.write(tmp_path / "a.wav", tone(900, rate=44_100).samples, 44_100)
    found = low_passed(tmp_path / "a.wav", 8000.0)
    assert (found.sample_rate, len(found.samples), found.name) == (44_100, 44_100, str(tmp_path / "a.wav"))
    for cutoff in (8000.0, 20_000.0):
        np.testing.assert_array_equal(low_passed(tone(7900), cutoff).samples, tone(7900).samples)
    for num_samples in (0, 1, 5):
        short = Recording(samples=np.full(num_samples, 9, np.int16), sample_rate=16_000, name="short")
        assert len(low_passed(short, 1000.0).samples) == num_samples
    assert isinstance(LowPassed(Reader(), 1000.0), Detector)
    assert LowPassed(Reader(), 1000.0).identity != LowPassed(Reader(), 2000.0).identity


def test_scores_of_cut_and_joined_clips_go_back_to_their_place(tmp_path):
    """Two frames and a half, then three: six frames on the tape, in clips of four."""
    rows = [soundscape("a", [event("dog", (0.0, 0.08))]), soundscape("b", [event("cat", (0.04, 0.12))])]
    rows = [dataclasses.replace(row, duration=seconds) for row, seconds in zip(rows, (0.1, 0.12), strict=True)]
    folder = small_dataset(tmp_path, rows)
    dog, cat, half = np.full(FRAME, 4 * STEP), np.full(FRAME, 2 * STEP), np.zeros(FRAME // 2)
    audio.write(tmp_path / "audio/a.wav", np.concatenate([dog, dog, half]).astype(np.int16), RATE)
    audio.write(tmp_path / "audio/b.wav", np.concatenate([0 * cat, cat, cat]).astype(np.int16), RATE)
    rows, reader = split_soundscapes(folder, "test"), Reader()
    scored = collect_scores(Reader(), folder, rows)
    assert [query.phrase for query in scored.labels] == ["cat", "dog"]
    for seconds, lengths in ((0.04, [1] * 6), (0.16, [4, 2]), (0.08, [2, 2, 2]), (0.24, [6]), (9.0, [6])):
        reader.lengths.clear()
        found = scores_at_length(reader, folder, rows, scored, seconds=seconds)
        assert reader.lengths == [length * FRAME for length in lengths]
        np.testing.assert_allclose(found.values, [[0.1] * 4 + [0.9] * 2, [0.9] * 2 + [0.1] * 4])
        np.testing.assert_array_equal(found.edges, [0, 0.04, 0.08, 0.1, 0, 0.04, 0.08, 0.12])


def test_soundscapes_of_several_rates_are_joined_at_the_highest(tmp_path):
    rows = [soundscape("a", [event("dog", (0.0, 0.4))]), soundscape("b", [event("dog", (0.0, 0.4))])]
    rows = [
        dataclasses.replace(row, duration=0.4, sample_rate=rate) for row, rate in zip(rows, (4000, RATE), strict=True)
    ]
    folder = small_dataset(tmp_path, rows)
    for row in rows:
        audio.write(
            tmp_path / row.audio_path, np.full(round(0.4 * row.sample_rate), 4 * STEP, np.int16), row.sample_rate
        )
    rates = []

    class Rated(Reader):
        def hear(self, source, phrases):
            rates.append(source.sample_rate)
            return super().hear(source, phrases)

    rows = split_soundscapes(folder, "test")
    scored = collect_scores(Reader(), folder, rows)
    found = scores_at_length(Rated(), folder, rows, scored, seconds=0.8)
    assert rates == [RATE]
    np.testing.assert_allclose(found.values, 0.9)


def test_a_detector_that_leaves_out_part_of_a_joined_clip_is_refused(spelt):
    class Short(Reader):
        def hear(self, source, phrases):
            found, embedding = super().hear(source, phrases)
            return found[: 250 * 2], embedding

    rows = split_soundscapes(spelt, "test", limit=3)
    scored = collect_scores(Short(), spelt, rows)
    with pytest.raises(FlamError, match="0 to 30 s of the joined soundscapes lasts 30 s, its audio only 20 s"):
        scores_at_length(Short(), spelt, rows, scored, seconds=30.0)


def test_an_oracle_is_right_and_a_guess_at_chance_in_every_band_and_at_every_length(spelt):
    rows, trained = split_soundscapes(spelt, "test"), Trained(threshold=0.5)
    for detector, auroc, tolerance in ((Reader(), 1.0, 1e-9), (Chance(hop=HOP), 0.5, 0.05)):
        scored = collect_scores(detector, spelt, rows)
        found = robustness_curves(detector, spelt, rows, scored, trained=trained)
        assert [point.name for point in found["bandwidth"]] == ["1 kHz", "2 kHz", "unfiltered"]
        assert [point.name for point in found["clip_length"]] == ["1 s", "2 s", "5 s", "10 s", "30 s", "1 min", "2 min"]
        assert tuple(point.at for point in found["clip_length"]) == CLIP_SECONDS[:-1]  # no longer than all together
        assert sorted(found) == ["bandwidth", "clip_length"]
        for point in (*found["bandwidth"], *found["clip_length"]):
            assert point.auroc_all == pytest.approx(auroc, abs=tolerance), point
            assert point.auroc_active == pytest.approx(auroc, abs=tolerance), point
            assert (point.false_alarms_per_hour == 0.0) == isinstance(detector, Reader)
            assert point.num_texts == 4


def test_an_oracle_is_right_in_a_clip_of_ten_minutes(tmp_path):
    folder = spelt_dataset(tmp_path, 5, seconds=120.0)
    rows, reader = split_soundscapes(folder, "test"), Reader()
    scored = collect_scores(reader, folder, rows)
    found = scores_at_length(reader, folder, rows, scored, seconds=CLIP_SECONDS[-1])
    assert reader.lengths[-1] == 600 * RATE
    np.testing.assert_array_equal(found.values, scored.scores.values)
    assert frame_auroc(found, scored.truth, active_only=True).macro == 1.0


def test_what_lies_above_the_band_is_not_heard(tmp_path):
    class Listener(Reader):
        """Hears energy."""

        def hear(self, source, phrases):
            samples = audio.read(source, 16_000).reshape(-1, 640)
            return np.repeat((samples**2).mean(axis=1)[:, None], len(phrases), axis=1), np.ones(1)

    folder = small_dataset(tmp_path, [soundscape("a", [event("dog", (4.0, 6.0))])])
    samples = 1e-3 * np.random.default_rng(0).standard_normal(160_000)
    samples[64_000:96_000] += tone(3000, seconds=2.0).samples / 32768
    audio.write(tmp_path / "audio/a.wav", audio.to_int16(samples.astype(np.float32)), 16_000)
    rows = split_soundscapes(folder, "test")
    found = robustness_curves(Listener(), folder, rows, collect_scores(Listener(), folder, rows), trained=Trained())
    assert [point.name for point in found["bandwidth"]] == ["1 kHz", "2 kHz", "4 kHz", "unfiltered"]
    low, _, high, every = (point.auroc_all for point in found["bandwidth"])
    assert low < 0.75
    assert (high, every) == (1.0, 1.0)
    assert found["bandwidth"][0].false_alarms_per_hour is None


class Compass(Oracle):
    """Its texts are directions, by the degrees that they end in, and it hears those up to 50 degrees from its label."""

    def caption_embeddings(self, captions):
        angles = np.radians([float(text.rstrip(".").split()[-1]) for text in captions])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)

    def answer(self, row, phrase, num_frames):
        label, degrees = phrase.rstrip(".").split()
        right = super().answer(row, f"{label.lower()} 0" if label.lower() == "dog" else phrase, num_frames)
        return right if float(degrees) <= 50 else np.full_like(right, 0.1)


def phrase(text, cluster, origin="model"):
    return Phrase(phrase=text, label=cluster, cluster=cluster, origin=origin, ancestors=[], near_misses=[])


DOGS = [phrase("dog 0", "dog 0", "label"), phrase("dog 10", "dog 0"), phrase("dog 40", "dog 0"),
        phrase("dog 80", "dog 0")]  # fmt: skip
TRAINED = Trained(clusters=["dog 0", "cat 90"], phrases=["dog 0", "Dog 10.", "cat 90"])


def test_a_wordings_distance_is_from_the_nearest_that_its_own_label_was_trained_with():
    asked = [("dog 0", "dog 0"), ("dog 0", "DOG 10"), ("dog 0", "dog 40"), ("dog 0", "dog 80"), ("owl 75", "owl 75"),
             ("cat 90", "cat 60")]  # fmt: skip
    queries = [Query(cluster=cluster, label=cluster, phrase=text) for cluster, text in asked]
    detector = Compass.__new__(Compass)
    found = wording_distances(detector, queries, DOGS, TRAINED)
    # an owl is held out and nearest to a trained cat; no wording of "cat 90" in the table is trained, so all count
    degrees = np.radians([0, 0, 30, 70, 15, 30])
    np.testing.assert_allclose(found, 1 - np.cos(degrees), atol=1e-12)
    assert found[:2].tolist() == [0.0, 0.0]


def test_curves_of_wordings_tell_near_from_far_and_known_from_held_out(tmp_path):
    rows = [soundscape("a", [event("dog 0", (1.0, 2.0))]), soundscape("b", [event("owl 75", (3.0, 4.0))])]
    folder = small_dataset(tmp_path, rows, DOGS)
    trained = dataclasses.replace(TRAINED, threshold=0.5)
    detector = Compass(folder)
    scored = collect_scores(detector, folder, split_soundscapes(folder, "test"), trained=trained)
    found = robustness._wordings(detector, scored, folder.phrases(), trained)
    known = {point.name: point for point in found["wording_distance"]}
    assert {name: point.num_texts for name, point in known.items()} == {
        "< 0.001": 1, "0.001 to 0.05": 0, "0.05 to 0.1": 0, "0.1 to 0.2": 1, "0.2 to 0.4": 0, "≥ 0.4": 1,
    }  # fmt: skip
    assert [known[name].auroc_all for name in ("< 0.001", "0.1 to 0.2", "0.2 to 0.4", "≥ 0.4")] == [1.0, 1.0, None, 0.5]
    assert known["0.1 to 0.2"].auroc_active == 1.0  # against the owl's frames
    assert known["≥ 0.4"].at == pytest.approx(1 - np.cos(np.radians(70)))
    assert known["≥ 0.4"].false_alarms_per_hour == 0.0
    held_out = [point for point in found["label_distance"] if point.num_texts]
    assert [(point.name, point.auroc_all) for point in held_out] == [("0.001 to 0.05", 0.5)]
    for nothing in (Trained(), Trained(clusters=["dog 0"])):
        assert robustness._wordings(detector, scored, folder.phrases(), nothing) == {}


def test_curves_that_were_stopped_go_on_where_they_were(spelt, tmp_path):
    class Stopped(Reader):
        """Once, in its third band."""

        calls = 0

        def hear(self, source, phrases):
            Stopped.calls += 1
            if Stopped.calls == 30:
                raise KeyboardInterrupt
            return super().hear(source, phrases)

    rows = split_soundscapes(spelt, "test")
    scored = collect_scores(Reader(), spelt, rows)
    with pytest.raises(KeyboardInterrupt):
        robustness_curves(Stopped(), spelt, rows, scored, trained=Trained(), work=tmp_path)
    first = json.loads((tmp_path / "points.json").read_text())["points"]
    assert list(first["bandwidth"]) == ["1 kHz", "2 kHz"]
    whole = robustness_curves(Stopped(), spelt, rows, scored, trained=Trained(), work=tmp_path)
    calls = Stopped.calls
    assert whole == robustness_curves(Reader(), spelt, rows, scored, trained=Trained())
    assert robustness_curves(Stopped(), spelt, rows, scored, trained=Trained(), work=tmp_path) == whole
    assert Stopped.calls == calls
    other = robustness_curves(Chance(hop=HOP), spelt, rows, scored, trained=Trained(), work=tmp_path)
    assert all(point.auroc_all < 0.9 for point in other["clip_length"])  # another detector's, measured anew
    (tmp_path / "points.json").write_text("{")
    assert robustness_curves(Stopped(), spelt, rows, scored, trained=Trained(), work=tmp_path) == whole


def test_up_to_120_soundscapes_are_drawn_always_the_same():
    rows = [soundscape(f"{index}", []) for index in range(200)]
    names = [row.soundscape_id for row in drawn(rows)]
    assert len(set(names)) == 120
    assert names == [row.soundscape_id for row in drawn(rows)]
    assert names != sorted(names, key=int)
    assert {row.soundscape_id for row in drawn(rows[:7])} == set("0123456")


def test_curves_are_in_the_metrics_the_picture_and_the_page(spelt, tmp_path):
    plain = evaluate(Reader(), spelt, num_replicates=0, limit=1)
    assert "curves" not in plain.to_dict()
    result = with_curves(plain, Reader(), spelt, limit=1)
    found = json.loads(json.dumps(result.to_dict(), allow_nan=False))["curves"]
    assert found["bandwidth"][-1] == {
        "name": "unfiltered", "at": None, "auroc_all": 1.0, "auroc_active": 1.0, "false_alarms_per_hour": None,
        "num_texts": len(result.scored.labels),
    }  # fmt: skip
    sizes = []
    for shown in (plain, result):
        page = write_report(tmp_path, shown, spelt).read_text("utf-8")
        assert ("<td>unfiltered</td><td>1.000</td>" in page) == bool(shown.robustness)
        sizes.append((tmp_path / "metrics.png").read_bytes())
    assert sizes[0] != sizes[1]
