"""The checksum of a table's values: the same however Arrow stores them, another for any other value."""

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from soundscape_rows import event, soundscape

from manifests.digest import KEY, checksum, is_intact, metadata
from manifests.schema import Soundscape, Stretch, to_table

ROWS = [
    soundscape("a", [event("dog", (1.0, 2.0)), event("cat", (3.5, 4.0))]),
    soundscape("b", [], background="rain"),
    soundscape("c", [event("dog", (0.0, 9.0))]),
]


def table(rows: list[Soundscape]) -> pa.Table:
    return to_table(rows, Soundscape)


def test_it_does_not_depend_on_how_the_table_is_stored(tmp_path: Path) -> None:
    whole = table(ROWS)
    pq.write_table(whole, tmp_path / "x.parquet", row_group_size=1)
    assert checksum(pq.read_table(tmp_path / "x.parquet")) == checksum(whole)
    assert checksum(pa.concat_tables([table(ROWS[:1]), table(ROWS[1:])])) == checksum(whole)
    assert checksum(table([ROWS[1], *ROWS]).slice(1)) == checksum(whole)


def changed(**fields: Any) -> list[Soundscape]:
    return [dataclasses.replace(ROWS[0], **fields), *ROWS[1:]]


@pytest.mark.parametrize(
    "rows",
    [
        ROWS[:2],
        ROWS[::-1],
        changed(soundscape_id="A"),
        changed(seed=1),
        changed(duration=ROWS[0].duration + 1e-12),
        changed(events=ROWS[0].events[:1]),
        changed(licences=["", ""]),
        changed(background=ROWS[1].background),
    ],
)
def test_another_table_has_another_checksum(rows: list[Soundscape]) -> None:
    assert checksum(table(rows)) != checksum(table(ROWS))


def test_a_value_deep_inside_counts() -> None:
    rows = copy.deepcopy(ROWS)
    rows[0].events[0].activity[:] = [Stretch(onset=1.0, offset=1.5, audible_db=3.0)]
    others = copy.deepcopy(rows)
    others[0].events[0].activity[:] = [Stretch(onset=1.0, offset=1.5, audible_db=None)]
    assert len({checksum(table(one)) for one in (ROWS, rows, others)}) == 3


def test_parts_are_checked_each_and_none_may_be_missing() -> None:
    whole = table(ROWS)
    parts = [(2, checksum(whole.slice(0, 2))), (1, checksum(whole.slice(2)))]
    assert is_intact(whole, metadata(parts))
    assert not is_intact(whole.slice(0, 2), metadata(parts))
    assert not is_intact(whole, metadata(parts[:1]))
    assert not is_intact(whole, metadata([(1, parts[0][1]), (2, parts[1][1])]))
    assert not is_intact(table(changed(split="test")), metadata(parts))


def test_a_file_of_another_tool_has_no_checksums_and_is_not_refused() -> None:
    assert is_intact(table(ROWS), None)
    assert is_intact(table(ROWS), {b"pandas": b"{}"})


@pytest.mark.parametrize("content", [b"", b"{", b"[[1]]", b"[1]", b'[["x", 2]]', json.dumps([[3, 1]]).encode()])
def test_damaged_checksums_count_as_damage(content: bytes) -> None:
    assert not is_intact(table(ROWS), {KEY: content})
