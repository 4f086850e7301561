"""A dataset's numbers against hand-worked ones, and against a slow count on made soundscapes."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from small_bank import write_bank
from soundscape_rows import event, soundscape

from curation.config import Microphone, Recipe, Reverb
from curation.distributions import Choice, Uniform
from curation.simulate import simulate
from curation.stats import dataset_stats
from curation.stats_view import plot_stats, stats_tables
from manifests.errors import FlamError
from manifests.schema import Event, Soundscape, Stretch
from manifests.store import DatasetFolder, write_json, write_rows


def written(root: Path, rows: list[Soundscape]) -> DatasetFolder:
    folder = DatasetFolder(root)
    write_json(folder.info_path, {"schema_version": rows[0].schema_version if rows else 1})
    write_rows(folder.soundscape_shard(0), rows, Soundscape)
    return folder


def active(label: str, *spans: tuple[float, float], **fields: object) -> Event:
    return dataclasses.replace(event(label, *spans), **fields)


def test_numbers_of_two_soundscapes_worked_by_hand(tmp_path: Path) -> None:
    first = [
        active("dog", (1.0, 2.0), (3.0, 5.0), snr_db=6.0, source_id="d1", licence="CC0"),
        active("dog", (4.0, 6.0), snr_db=6.0, source_id="d1", licence="CC0"),
        active("cat", (4.5, 4.75), snr_db=None, source_id="c1", licence=""),
    ]
    rows = [soundscape("a", first, background="dog"), soundscape("b", [])]
    found = dataset_stats(written(tmp_path, rows).root).to_dict()
    duration = sum(row.duration for row in rows)
    assert (found["soundscapes"], found["events"], found["hours"]) == (2, 3, duration / 3600)
    assert found["labels"] == {
        "cat": {"events": 1, "active_seconds": 0.25, "sources": 1},
        "dog": {"events": 2, "active_seconds": 5.0, "sources": 1},
    }
    assert found["events_per_soundscape"] == {"0": 1, "3": 1}
    shares = {count: share * duration for count, share in found["share_of_time_with_so_many_active"].items()}
    # one: 1-2, 3-4, 5-6; two: 4-4.5, 4.75-5; three: 4.5-4.75
    assert shares == pytest.approx({"0": duration - 4.0, "1": 3.0, "2": 0.75, "3": 0.25})
    assert found["snr_db"]["median"] == pytest.approx(6.0, abs=0.5)
    assert found["events_without_snr"] == 1
    assert found["licences_of_sources"] == {"CC0": 1, "CC0-1.0": 1, "not stated": 1}
    assert (found["backgrounds"], found["sources"]) == ({"dog": 1}, {"background": 1, "event": 2})


def test_audibility_of_stretches_worked_by_hand(tmp_path: Path) -> None:
    heard = [
        Stretch(onset=place, offset=place + 0.5, audible_db=db) for place, db in enumerate((-60.0, -5.0, 0.0, 60.0))
    ]
    unknown = Stretch(onset=8.0, offset=9.0)
    rows = [soundscape("a", [active("dog", activity=[*heard, unknown])])]
    found = dataset_stats(written(tmp_path, rows).root).to_dict()
    assert found["audible_db"]["share_below_0"] == 0.5  # -5 is below 0; 0 is not
    assert found["audible_db"]["share_below_minus_5"] == 0.25
    assert found["stretches_without_audible_db"] == 1


def test_what_was_left_out_is_told_where_it_is_known(tmp_path: Path) -> None:
    rows = [soundscape(name, []) for name in "abc"]
    folder = written(tmp_path, rows)
    found = dataset_stats(folder.root).to_dict()
    assert found["events_left_out"] == {"inaudible": None, "masked": None}
    assert found["bank_rejects"] is None
    rows[0] = dataclasses.replace(rows[0], num_inaudible=0, num_masked=2)
    rows[1] = dataclasses.replace(rows[1], num_inaudible=0, num_masked=3)
    write_rows(folder.soundscape_shard(0), rows, Soundscape)
    write_json(folder.info_path, {"bank_rejects": {"too short": 7}})
    found = dataset_stats(folder.root).to_dict()
    assert found["events_left_out"] == {"inaudible": 0, "masked": 5}
    assert found["bank_rejects"] == {"too short": 7}


MANY = Recipe(
    name="many things",
    snr_db=Uniform(low=-25.0, high=20.0),
    background_only=0.1,
    near_silent=0.1,
    pitch_semitones=Choice(values=(0.0, 2.0)),
    reverb=Reverb(share=0.4),
    microphone=Microphone(share=0.3, high_hz=Uniform(low=3000.0, high=7000.0)),
    drop_below_audible_db=-5.0,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Soundscapes with all that a recipe may ask for, in two shards."""
    root = tmp_path_factory.mktemp("stats")
    write_bank(root / "bank")
    simulate(root / "bank", root / "data", recipe=MANY, num=120, workers=1)
    return root / "data"


def test_counts_of_made_soundscapes_are_those_of_a_loop_over_their_rows(made: Path) -> None:
    found = dataset_stats(made)
    numbers, rows = found.to_dict(), list(DatasetFolder.open(made).soundscapes())
    events = [event for row in rows for event in row.events]
    assert numbers["events"] == len(events) == sum(count for _, count, _, _ in found.label_rows())
    seconds = [sum(stretch.offset - stretch.onset for stretch in one.activity) for one in events]
    assert sum(active for _, _, _, active in found.label_rows()) == pytest.approx(sum(seconds))
    for label, _, num_sources, _ in found.label_rows():
        assert num_sources == len({one.source_id for one in events if one.label == label})
    grid = np.zeros((len(rows), 10_000), int)  # milliseconds
    for place, row in enumerate(rows):
        for stretch in (stretch for one in row.events for stretch in one.activity):
            grid[place, round(1000 * stretch.onset) : round(1000 * stretch.offset)] += 1
    for count, share in enumerate(np.bincount(grid.ravel()) / grid.size):
        assert found.polyphony.get(count, 0.0) / found.contents.seconds == pytest.approx(share, abs=0.002)
    assert found.durations.sum() == len(events)
    assert numbers["event_seconds"]["median"] == pytest.approx(np.median(seconds), rel=0.15)
    assert numbers["snr_db"]["median"] == pytest.approx(np.median([one.snr_db for one in events]), abs=1.0)
    audible = np.array([stretch.audible_db for one in events for stretch in one.activity])
    assert numbers["audible_db"]["median"] == pytest.approx(np.median(audible), abs=1.0)
    assert numbers["audible_db"]["share_below_0"] == np.mean(audible < 0)


def test_rooms_effects_and_what_was_left_out_are_those_of_a_loop_over_the_rows(made: Path) -> None:
    numbers, rows = dataset_stats(made).to_dict(), list(DatasetFolder.open(made).soundscapes())
    events = [event for row in rows for event in row.events]
    rooms, microphones = (sum(getattr(row, name) is not None for row in rows) for name in ("room", "microphone"))
    assert numbers["rooms"] == {"synthetic": rooms, "recorded": 0}
    assert numbers["microphones"] == microphones
    shifted = sum(event.pitch_semitones == 2.0 for event in events)
    assert numbers["effects"] == {"pitch_semitones": shifted, "time_stretch": 0, "tilt_db": 0}
    empty = [row for row in rows if not row.events]
    quiet = [row for row in empty if row.background.target_lufs <= -60]
    assert numbers["without_events"] == {"soundscapes": len(empty), "near_silent": len(quiet)}
    left_out = {reason: sum(getattr(row, f"num_{reason}") for row in rows) for reason in ("inaudible", "masked")}
    assert numbers["events_left_out"] == left_out
    assert min(rooms, microphones, shifted, len(quiet), len(empty) - len(quiet), *left_out.values()) > 0
    assert numbers["annotations"] == {"closed": 120}
    assert numbers["sample_rates"] == {"16000": 120}
    assert numbers["bank_rejects"] == {"decode_error": 1}
    assert numbers["sources"]["event"] == len({event.source_id for event in events})


def test_the_numbers_are_json_tables_and_a_picture(made: Path, tmp_path: Path) -> None:
    found = dataset_stats(made)
    json.dumps(found.to_dict(), allow_nan=False)
    whole, labels = stats_tables(found)
    assert {"audible above the rest, dB", "events left out", "rejects of the bank"} <= set(whole.columns[0].cells)
    assert labels.row_count == len(found.contents.labels)
    plot_stats(tmp_path / "stats.png", found)
    assert (tmp_path / "stats.png").read_bytes().startswith(b"\x89PNG")


def test_a_dataset_without_events_has_numbers_and_a_picture_too(tmp_path: Path) -> None:
    found = dataset_stats(written(tmp_path / "data", [soundscape("a", [])]).root)
    assert found.to_dict()["snr_db"] is None
    assert found.polyphony == pytest.approx({0: found.contents.seconds})
    plot_stats(tmp_path / "stats.png", found)
    assert len(list(stats_tables(found))) == 2


def test_a_label_that_the_font_cannot_show_is_drawn_without_a_word(tmp_path: Path) -> None:
    found = dataset_stats(written(tmp_path / "data", [soundscape("a", [active("鳥$x", (1.0, 2.0))])]).root)
    plot_stats(tmp_path / "stats.png", found)  # pytest makes a warning an error


def test_an_empty_dataset_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FlamError, match="no soundscapes yet; run `flam-cli simulate`"):
        dataset_stats(written(tmp_path, []).root)
