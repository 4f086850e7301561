"""The tables are plain Parquet that other tools open unchanged, and nothing is lost on the way."""

import dataclasses

import datasets
import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from soundscape_rows import event, soundscape

from manifests.schema import Caption, Phrase, Soundscape, arrow_schema, from_table, known_clusters, to_table
from manifests.store import write_rows


@pytest.fixture
def shards(toy_dataset):
    return [str(path) for path in toy_dataset.soundscape_shards()]


def test_pyarrow_reads_the_same_schema_to_the_last_child(shards):
    assert pq.read_table(shards[0]).schema.equals(arrow_schema(Soundscape), check_metadata=True)


def test_pandas_opens_a_shard(shards, toy_dataset):
    frame = pd.read_parquet(shards)
    first = next(toy_dataset.soundscapes())
    assert frame["duration"].dtype == "float64"
    assert frame.loc[0, "events"][0]["label"] == first.events[0].label
    assert frame["split"].value_counts().to_dict() == {"train": 20, "valid": 8, "test": 8}


def test_duckdb_opens_a_shard_and_unnests_its_events(shards, toy_dataset):
    query = "select e.label, count(*) from (select unnest(events) as e from read_parquet(?)) group by 1 order by 1"
    labels = [found.label for row in toy_dataset.soundscapes() for found in row.events]
    expected = [(label, labels.count(label)) for label in sorted(set(labels))]
    with duckdb.connect() as connection:
        assert connection.execute(query, [shards]).fetchall() == expected


def test_datasets_loads_a_shard(shards, toy_dataset, tmp_path):
    loaded = datasets.load_dataset("parquet", data_files=shards, split="train", cache_dir=str(tmp_path))
    rows = from_table(loaded.data.table.cast(arrow_schema(Soundscape)), Soundscape)
    assert rows == list(toy_dataset.soundscapes())


def test_columns_and_their_types_are_the_contract():
    assert str(arrow_schema(Phrase)) == (
        "phrase: string not null\nlabel: string not null\ncluster: string not null\norigin: string not null\n"
        "ancestors: list<element: string not null> not null\n  child 0, element: string not null\n"
        "near_misses: list<element: string not null> not null\n  child 0, element: string not null"
    )
    fields = {field.name: field for field in arrow_schema(Soundscape)}
    assert str(fields["duration"].type) == "double"
    assert str(fields["num_samples"].type) == "int64"
    assert [name for name, field in fields.items() if field.nullable] == [
        "background", "room", "microphone", "seed", "recipe", "engine", "mix_gain_db",
        "num_inaudible", "num_masked",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["duration", "soundscape_id"])
def test_a_row_with_a_hole_cannot_be_written(tmp_path, name):
    hole = dataclasses.replace(soundscape("a", []), **{name: None})
    with pytest.raises(pa.ArrowInvalid, match=name):
        write_rows(tmp_path / "x.parquet", [hole], Soundscape)
    assert list(tmp_path.iterdir()) == []


def test_rows_of_every_table_survive_arrow():
    rows = [soundscape("a", [event("dog", (1.0, 2.0), (3.0, 4.0))], "rain"), soundscape("b", [])]
    assert from_table(to_table(rows, Soundscape), Soundscape) == rows
    assert to_table([], Caption).num_rows == 0


def test_known_clusters_are_those_of_events_and_background_with_all_that_their_recordings_hold():
    dog = dataclasses.replace(event("Dog", (1.0, 2.0), cluster="dog"), contains=["bird"])
    row = soundscape("a", [dog], "rain")
    background = dataclasses.replace(row.background, contains=["wind"])
    assert known_clusters(dataclasses.replace(row, background=background)) == {"dog", "bird", "rain", "wind"}
    assert known_clusters(soundscape("b", [])) == set()
