"""A dataset's numbers against hand-worked ones, and against a slow count on made soundscapes."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from small_bank import write_bank
from soundscape_rows import event, soundscape

from curation.config import Recipe
from curation.simulate import simulate
from curation.stats import dataset_stats
from curation.stats_view import plot_stats, stats_tables
from manifests.errors import FlamError
from manifests.schema import Event, Soundscape
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
    rows = [soundscape("a", first), soundscape("b", [])]
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
    assert found["licences_of_sources"].items() >= {"CC0": 1, "(not given)": 1}.items()


def test_counts_of_made_soundscapes_are_those_of_a_loop_over_their_rows(tmp_path: Path) -> None:
    write_bank(tmp_path / "bank")
    simulate(tmp_path / "bank", tmp_path / "data", recipe=Recipe(name="test"), num=120, workers=1)
    found = dataset_stats(tmp_path / "data")
    rows = list(DatasetFolder.open(tmp_path / "data").soundscapes())
    events = [made for row in rows for made in row.events]
    assert sum(found.labels[name].events for name in found.labels) == len(events)
    seconds = [sum(stretch.offset - stretch.onset for stretch in made.activity) for made in events]
    assert sum(label.active for label in found.labels.values()) == pytest.approx(sum(seconds))
    grid = np.zeros((len(rows), 10_000), int)  # milliseconds
    for place, row in enumerate(rows):
        for stretch in (stretch for made in row.events for stretch in made.activity):
            grid[place, round(1000 * stretch.onset) : round(1000 * stretch.offset)] += 1
    for count, share in enumerate(np.bincount(grid.ravel()) / grid.size):
        assert found.polyphony.get(count, 0.0) / found.duration == pytest.approx(share, abs=0.002)
    assert found.durations.sum() == len(events)
    assert found.to_dict()["event_seconds"]["median"] == pytest.approx(np.median(seconds), rel=0.15)
    snrs = [made.snr_db for made in events]
    assert found.to_dict()["snr_db"]["median"] == pytest.approx(np.median(snrs), abs=1.0)
    json.dumps(found.to_dict(), allow_nan=False)
    assert len(list(stats_tables(found))) == 2
    plot_stats(tmp_path / "stats.png", found)
    assert (tmp_path / "stats.png").read_bytes().startswith(b"\x89PNG")


def test_a_dataset_without_events_has_numbers_and_a_picture_too(tmp_path: Path) -> None:
    found = dataset_stats(written(tmp_path / "data", [soundscape("a", [])]).root)
    assert found.to_dict()["snr_db"] is None
    assert found.polyphony == pytest.approx({0: found.duration})
    plot_stats(tmp_path / "stats.png", found)
    assert len(list(stats_tables(found))) == 2


def test_a_label_that_the_font_cannot_show_is_drawn_without_a_word(tmp_path: Path) -> None:
    found = dataset_stats(written(tmp_path / "data", [soundscape("a", [active("鳥$x", (1.0, 2.0))])]).root)
    plot_stats(tmp_path / "stats.png", found)  # pytest makes a warning an error


def test_an_empty_dataset_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FlamError, match="no soundscapes yet; run `flam-cli simulate`"):
        dataset_stats(written(tmp_path, []).root)
