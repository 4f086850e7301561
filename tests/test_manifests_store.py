"""Tables are written whole or not at all, read strictly, and never lead out of their folder."""

import dataclasses
import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from soundscape_rows import dataset, event, soundscape

from manifests import store
from manifests.audio import Recording
from manifests.errors import FlamError
from manifests.schema import Caption, Phrase, Soundscape, to_table
from manifests.store import (
    DatasetFolder,
    claim,
    inside,
    locked,
    read_json,
    read_rows,
    read_table,
    replacing,
    write_audio,
    write_json,
    write_rows,
)


@pytest.fixture
def shard(tmp_path):
    """A good shard of three soundscapes."""
    rows = [soundscape(name, [event("dog", (1.0, 2.0))], "rain") for name in "abc"]
    return DatasetFolder(dataset(tmp_path / "data", rows)).soundscape_shard(0)


def test_rows_come_back_as_they_were_written(toy_dataset, tmp_path):
    rows = list(toy_dataset.soundscapes())
    write_rows(tmp_path / "again.parquet", rows, Soundscape)
    assert read_rows(tmp_path / "again.parquet", Soundscape) == rows
    assert [caption.soundscape_id for caption in toy_dataset.captions("template")] == [
        row.soundscape_id for row in rows
    ]
    assert toy_dataset.caption_sets() == ["template"]


NAMES = ["a b", "é", "e\u0301", "狗", "🐶", "a\tb\nc", "'\"", "a,b", "a\\b", "-x", "{0}%s", "$(touch X)", "NaN", "007"]


@pytest.mark.parametrize("name", [*NAMES, "x" * 244, "\u202eabc", "=1+1"])
def test_any_name_is_the_same_string_again(tmp_path, name):
    phrase = Phrase(phrase=name, label=name, cluster=name, origin="label", ancestors=[name], near_misses=[])
    write_rows(tmp_path / "phrases.parquet", [phrase], Phrase)
    assert DatasetFolder(tmp_path).phrases() == [phrase]


def test_a_cut_shard_and_one_that_is_no_parquet_are_refused(shard):
    content = shard.read_bytes()
    for damaged in (content[:-20], content[: len(content) // 2], b"", b"<html>", b"PAR1PAR1"):
        shard.write_bytes(damaged)
        with pytest.raises(FlamError, match=r"00000\.parquet is damaged or no Parquet file"):
            read_rows(shard, Soundscape)


def test_a_flipped_byte_never_gives_other_rows(shard):
    content, rows = shard.read_bytes(), read_rows(shard, Soundscape)
    outcomes = set()
    for position in range(0, len(content), 131):
        flipped = bytearray(content)
        flipped[position] ^= 0xFF
        shard.write_bytes(bytes(flipped))
        outcomes.add(_outcome(shard, rows))
    assert outcomes <= {"refused", "same"}
    assert "refused" in outcomes


def _outcome(shard, rows):
    try:
        return "same" if read_rows(shard, Soundscape) == rows else "other rows"
    except FlamError:
        return "refused"


def test_a_missing_column_and_a_wrong_type_are_named(shard):
    table = to_table(read_rows(shard, Soundscape), Soundscape)
    pq.write_table(table.drop_columns(["duration"]), shard)
    with pytest.raises(FlamError, match="column duration is missing; this is no Soundscape table"):
        read_rows(shard, Soundscape)
    at = table.schema.get_field_index("duration")
    pq.write_table(table.set_column(at, "duration", pa.array(["1", "2", "3"])), shard)
    with pytest.raises(FlamError, match="column duration is string, expected double"):
        read_rows(shard, Soundscape)


@pytest.mark.parametrize("name", ["duration", "soundscape_id", "events"])
def test_a_hole_in_a_required_column_is_refused(shard, name):
    table = to_table(read_rows(shard, Soundscape), Soundscape)
    field = table.schema.field(name)
    holes = pa.array([None, *table[name].to_pylist()[1:]], field.type)
    at = table.schema.get_field_index(name)
    pq.write_table(table.set_column(at, pa.field(name, field.type, nullable=True), holes), shard)
    with pytest.raises(FlamError, match=name):
        read_rows(shard, Soundscape)


def test_a_hole_in_an_event_is_refused(shard):
    rows = [dataclasses.asdict(row) for row in read_rows(shard, Soundscape)]
    rows[0]["events"][0]["onset"] = None
    loose = pa.Table.from_pylist(rows, schema=_nullable(to_table([], Soundscape).schema))
    pq.write_table(loose, shard)
    with pytest.raises(FlamError, match="onset"):
        read_rows(shard, Soundscape)


def _nullable(thing):
    """The same schema or type with every field, however deep, allowed to be null."""
    if isinstance(thing, pa.Schema):
        return pa.schema([pa.field(field.name, _nullable(field.type)) for field in thing])
    if pa.types.is_list(thing):
        return pa.list_(pa.field("item", _nullable(thing.value_type)))
    if pa.types.is_struct(thing):
        return pa.struct([pa.field(field.name, _nullable(field.type)) for field in thing])
    return pa.large_string() if pa.types.is_string(thing) else thing


def test_a_table_that_another_tool_wrote_without_holes_is_read(shard):
    rows = read_rows(shard, Soundscape)
    plain = [dataclasses.asdict(row) for row in rows]
    schema = _nullable(to_table([], Soundscape).schema)
    pq.write_table(pa.Table.from_pylist(plain, schema=schema), shard)
    assert read_rows(shard, Soundscape) == rows


def test_a_shard_without_rows_has_the_columns(tmp_path):
    write_rows(tmp_path / "00000.parquet", [], Caption)
    assert read_rows(tmp_path / "00000.parquet", Caption) == []
    assert read_table(tmp_path / "00000.parquet", Caption).schema == to_table([], Caption).schema


def test_an_unknown_schema_version_and_a_repeated_id_are_refused(tmp_path):
    newer = dataclasses.replace(soundscape("a", []), schema_version=9)
    with pytest.raises(FlamError, match="a has schema_version 9, this flam-cli reads 3"):
        list(DatasetFolder(dataset(tmp_path / "new", [newer])).soundscapes())
    twice = dataset(tmp_path / "twice", [soundscape("a", [])], [soundscape("a", [])])
    with pytest.raises(FlamError, match=r"00001\.parquet: soundscape_id a occurs twice"):
        list(DatasetFolder(twice).soundscapes())


@pytest.mark.parametrize("path", ["../x", "/etc/hostname", "a/../../x", "a/../x", "..", "", "a\0b", "link/x", "loop/x"])
def test_a_path_that_leaves_the_folder_is_refused(tmp_path, path):
    root = tmp_path / "data"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    (root / "loop").symlink_to(root / "loop")
    with pytest.raises(FlamError, match="which is not inside"):
        inside(root, path, what="audio_path of a")
    assert inside(root, "audio/..x.wav", what="it") == root / "audio/..x.wav"


@pytest.mark.parametrize("path", ["audio/none.wav", "audio", "x" * 300])
def test_audio_that_is_not_there_is_refused(tmp_path, path):
    (tmp_path / "audio").mkdir()
    with pytest.raises(FlamError, match="soundscape a names it"):
        DatasetFolder(tmp_path).audio(dataclasses.replace(soundscape("a", []), audio_path=path))


def test_an_error_while_writing_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"a": "ü"})
    for error in (RuntimeError, KeyboardInterrupt):
        with pytest.raises(error):
            _fail_half_way(path, error)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, float("nan"))
    assert read_json(path) == {"a": "ü"}
    assert os.listdir(tmp_path) == ["x.json"]  # noqa: PTH208 - hidden files too


def _fail_half_way(path, error):
    with replacing(path) as temporary:
        temporary.write_text("half")
        raise error


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    with pytest.raises(FlamError, match="No space left on device; what was finished before is kept"):
        _write_to_full_disk(tmp_path / "x.parquet")
    assert list(tmp_path.iterdir()) == []


def _write_to_full_disk(path):
    with replacing(path), Path("/dev/full").open("wb", buffering=0) as full:
        full.write(b"x")


@pytest.fixture
def as_a_user_without_rights(tmp_path):
    """Root may write everywhere, so become nobody for the test, in a folder that nobody can reach."""
    if os.geteuid() != 0:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        os.seteuid(65534)
        try:
            yield Path(folder)
        finally:
            os.seteuid(0)


def test_a_read_only_folder_is_one_line(as_a_user_without_rights):
    folder = as_a_user_without_rights
    if os.geteuid() == folder.stat().st_uid:
        folder.chmod(0o500)
    with pytest.raises(FlamError, match="cannot write"):
        write_rows(folder / "sub/x.parquet", [], Phrase)
    with pytest.raises(FlamError, match="cannot write"), locked(folder, "simulate"):
        pass


def test_a_place_that_cannot_be_a_folder_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FlamError, match="cannot write"):
        write_rows(tmp_path / "file" / "x.parquet", [], Phrase)
    with pytest.raises(FlamError, match="cannot write"), locked(tmp_path / "file", "simulate"):
        pass


HOLD = """
import sys, time
from pathlib import Path
from manifests.store import locked
with locked(Path(sys.argv[1]), "flam-cli simulate"):
    print("locked", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_refused_and_a_dead_ones_lock_is_recovered(tmp_path):
    root = Path(__file__).parents[1]
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as holder:
        assert holder.stdout.readline() == "locked\n"
        wanted = rf"is being written by flam-cli simulate \(process {holder.pid}\)"
        with pytest.raises(FlamError, match=wanted), locked(tmp_path, "flam-cli caption"):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with locked(tmp_path, "flam-cli caption"):
        assert (tmp_path / ".lock").read_text() == f"flam-cli caption (process {os.getpid()})"


def _append(folder, number):
    with locked(folder, "test"):
        write_json(folder / "x.json", number)


def test_a_process_that_ends_well_leaves_the_lock_free(tmp_path):
    for number in range(2):
        process = multiprocessing.get_context("spawn").Process(target=_append, args=(tmp_path, number))
        process.start()
        process.join()
        assert process.exitcode == 0
    assert read_json(tmp_path / "x.json") == 1


def test_a_folder_made_from_something_else_is_refused_naming_the_first_difference(tmp_path):
    path = tmp_path / "dataset.json"
    claim(path, {"seed": 1, "recipe": (1, 2)}, differs="use another folder")
    claim(path, {"seed": 1, "recipe": (1, 2)}, differs="use another folder")
    with pytest.raises(FlamError, match="says seed = 1, not 2; use another folder"):
        claim(path, {"seed": 2, "recipe": (1, 3)}, differs="use another folder")
    claim(tmp_path / "deep.json", {"model": {"text": "a", "width": 8, "size": {"n": 1}}}, differs="stop")
    for model, said in (
        ({"text": "a", "width": 9}, "says model.width = 8, not 9; stop"),
        ({"text": "a", "width": 8, "size": {"n": 2}}, "says model.size.n = 1, not 2; stop"),
        ({"text": "a", "width": 8}, "says model has other entries, too; stop"),
        ({"depth": 1}, "says nothing of model.depth: another version of flam-cli wrote it; stop"),
    ):
        with pytest.raises(FlamError, match=said):
            claim(tmp_path / "deep.json", {"model": model}, differs="stop")
    path.write_text("[]")
    with pytest.raises(FlamError, match="use another folder"):
        claim(path, {"seed": 2}, differs="use another folder")


def test_what_is_not_there_is_one_line_that_says_what_to_run(tmp_path):
    with pytest.raises(FlamError, match="run `flam-cli caption"):
        DatasetFolder(tmp_path).phrases()
    with pytest.raises(FlamError, match="is missing"):
        read_rows(tmp_path / "none.parquet", Phrase)
    with pytest.raises(FlamError, match="is missing"):
        read_json(tmp_path / "none.json")
    (tmp_path / "bad.json").write_bytes(b"\xff{")
    with pytest.raises(FlamError, match="cannot be read"):
        read_json(tmp_path / "bad.json")


def test_only_names_of_shards_are_shards_and_they_come_in_order(shard):
    folder = DatasetFolder(shard.parents[1])
    wanted = [folder.soundscape_shard(index) for index in (0, 99_999, 100_000)]
    for path in (*wanted[1:], *(shard.with_name(name) for name in ("0 copy.parquet", "0.parquet", "0000a.parquet"))):
        path.write_bytes(shard.read_bytes())
    assert folder.soundscape_shards() == wanted


def test_a_damaged_description_is_not_to_be_replaced_by_a_new_one(tmp_path):
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(FlamError, match=r"restore it, or make its folder again under another name$"):
        read_json(tmp_path / "dataset.json")


def sounds(folder, count):
    """Of which the last cannot be made."""
    for number in range(count):
        samples = np.full(1000, number, np.int16)
        yield folder / "00000" / f"{number}.wav", Recording(samples=samples, sample_rate=16_000, name="x")
    raise FlamError("no more")


@pytest.mark.parametrize("has_syncfs", [True, False])
def test_audio_that_is_finished_before_an_error_has_its_name(tmp_path, monkeypatch, has_syncfs):
    if not has_syncfs:
        monkeypatch.setattr(store.ctypes, "CDLL", lambda *_args, **_settings: object())
    with pytest.raises(FlamError, match="no more"):
        write_audio(sounds(tmp_path, 3))
    assert sorted(path.name for path in (tmp_path / "00000").iterdir()) == ["0.wav", "1.wav", "2.wav"]
    assert soundfile.read(tmp_path / "00000" / "2.wav", dtype="int16")[0].tolist() == [2] * 1000


def test_audio_has_no_name_before_the_disk_has_it(tmp_path, monkeypatch):
    def full(*_args):
        assert sorted(path.name for path in (tmp_path / "00000").iterdir()) == ["new-0.wav", "new-1.wav"]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "_sync", full)
    with pytest.raises(FlamError, match=r"cannot write .*00000: No space left on device; what was finished"):
        write_audio(itertools.islice(sounds(tmp_path, 2), 2))
    assert not list((tmp_path / "00000").glob("[0-9]*"))


def test_a_file_that_cannot_be_written_is_taken_away_again(tmp_path, monkeypatch):
    def write(path, samples, _rate):
        path.write_bytes(b"RIFF")
        if samples[0] == 1:
            raise FlamError("full")

    monkeypatch.setattr(store, "write", write)
    with pytest.raises(FlamError, match="full"):
        write_audio(sounds(tmp_path, 3))
    assert [path.name for path in (tmp_path / "00000").iterdir()] == ["0.wav"]
