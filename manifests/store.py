"""A dataset folder on disk: its tables in Parquet shards, each written whole or not at all.

DATA/dataset.json                what it was made from; another recipe is refused
DATA/soundscapes/00000.parquet   Soundscape rows; a shard's presence says that it and its audio are complete
DATA/audio/00000/ID.wav          one file a soundscape, unless the shards hold the audio or it is rendered when read
DATA/captions/NAME/00000.parquet Caption rows, shard by shard as the soundscapes
DATA/phrases.parquet             Phrase rows
"""

import contextlib
import ctypes
import fcntl
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from manifests import digest
from manifests.audio import Recording, Source, write
from manifests.embedded import read_embedded
from manifests.errors import FlamError
from manifests.schema import SCHEMA_VERSION, Caption, Phrase, Row, Soundscape, arrow_schema, from_table, to_table

Render = Callable[[Soundscape], Recording]
_SHARD_NAME = re.compile(r"[0-9]{5,}\.parquet")


class DatasetFolder:
    """Reads the tables of a dataset folder, and knows where each is."""

    def __init__(self, root: Path, *, render: Render | None = None) -> None:
        self.root, self.render = root, render

    @classmethod
    def open(cls, root: Path, *, render: Render | None = None) -> "DatasetFolder":
        """The folder, after a look that it holds at least one soundscape shard.

        Args:
            root: its path.
            render: makes the audio of a soundscape that has none on disk.
        """
        check_name(root)
        folder = cls(root, render=render)
        if not root.is_dir():
            raise FlamError(f"no dataset at {root}: the folder does not exist; make one with `flam-cli simulate`")
        if not folder.soundscape_shards():
            raise FlamError(f"no soundscapes in {root}: {root / 'soundscapes'} holds no .parquet file; run simulate")
        return folder

    @property
    def info_path(self) -> Path:
        """What the dataset was made from."""
        return self.root / "dataset.json"

    @property
    def phrases_path(self) -> Path:
        """The phrase table."""
        return self.root / "phrases.parquet"

    def soundscape_shard(self, index: int) -> Path:
        """Where the rows of shard `index` go."""
        return self.root / "soundscapes" / f"{index:05d}.parquet"

    def soundscape_shards(self) -> list[Path]:
        """Finished shards, in order."""
        return _shards(self.root / "soundscapes")

    def caption_shards(self, name: str) -> list[Path]:
        """Finished shards of one caption set, in order."""
        return _shards(self.root / "captions" / name)

    def caption_sets(self) -> list[str]:
        """Names of the caption sets that are there."""
        return sorted(path.name for path in (self.root / "captions").glob("*") if path.is_dir())

    def soundscapes(self) -> Iterator[Soundscape]:
        """Every soundscape, shard by shard; raises FlamError on a damaged shard or a repeated id."""
        for _, rows in self.soundscapes_by_shard():
            yield from rows

    def soundscapes_by_shard(self) -> Iterator[tuple[Path, list[Soundscape]]]:
        """The same, with each shard's path."""
        seen: set[str] = set()
        for path in self.soundscape_shards():
            rows = read_rows(path, Soundscape)
            for row in rows:
                if row.schema_version != SCHEMA_VERSION:
                    raise FlamError(
                        f"{path}: {row.soundscape_id} has schema_version {row.schema_version}, this flam-cli reads "
                        f"{SCHEMA_VERSION}; use the version that wrote it"
                    )
                if row.soundscape_id in seen:
                    raise FlamError(f"{path}: soundscape_id {row.soundscape_id} occurs twice; remove one shard")
                seen.add(row.soundscape_id)
            yield path, rows

    def captions(self, name: str) -> Iterator[Caption]:
        """Every caption of one set."""
        for path in self.caption_shards(name):
            yield from read_rows(path, Caption)

    def phrases(self) -> list[Phrase]:
        """The phrase table; raises FlamError if it is not there, or of an earlier version."""
        if not self.phrases_path.exists():
            raise FlamError(f"{self.phrases_path} is missing: run `flam-cli caption {self.root}` first")
        try:
            return read_rows(self.phrases_path, Phrase)
        except FlamError as error:
            raise FlamError(f"{error}; `flam-cli phrases {self.root}` makes it anew") from None

    def audio(self, soundscape: Soundscape) -> Source:
        """The soundscape's audio: its file, or what lies in its shard, or what is rendered now.

        Raises FlamError for a path that leaves the folder, and where there is no audio and no way to make it.
        """
        path = inside(self.root, soundscape.audio_path, what=f"audio_path of {soundscape.soundscape_id}")
        if os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises on a name that is too long
            return read_embedded(path, soundscape.soundscape_id) if path.suffix == ".parquet" else path
        if self.render is not None:
            return self.render(soundscape)
        raise FlamError(f"{path} is missing, but soundscape {soundscape.soundscape_id} names it; {self._how_to_mend()}")

    def _how_to_mend(self) -> str:
        return f"run `flam-cli render {self.root}`" if self.is_virtual() else "simulate or import again"

    def is_virtual(self) -> bool:
        """Whether the dataset is made of plans: audio is rendered from its bank when it is read."""
        try:
            info = read_json(self.info_path)
        except FlamError:  # of another tool, or damaged: `validate` tells it
            return False
        return isinstance(info, dict) and info.get("audio_format") == "none"


def _shards(folder: Path) -> list[Path]:
    """Only what has a shard's name: a copy that somebody put beside them is none."""
    found = (path for path in folder.glob("*.parquet") if _SHARD_NAME.fullmatch(path.name))
    return sorted(found, key=lambda path: int(path.stem))


def inside(root: Path, relative: str, *, what: str) -> Path:
    """`root / relative`, refused if it is absolute or would leave `root`, through a link too."""
    parts = PurePosixPath(relative)
    path = root / relative
    try:
        leaves = parts.is_absolute() or ".." in parts.parts or not path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError, ValueError):  # a loop of links, a NUL in the name
        leaves = True
    if not relative or leaves:
        raise FlamError(f"{what} is {relative!r}, which is not inside {root}; paths must be relative to the dataset")
    return path


def write_rows(path: Path, rows: Sequence[Any], record: type) -> None:
    """Write a shard of dataclass instances; it appears whole under its name, or not at all."""
    with replacing(path) as temporary:
        pq.write_table(to_table(rows, record), temporary, compression="zstd", write_page_checksum=True)


def read_rows(path: Path, record: type[Row]) -> list[Row]:
    """The rows of one shard; raises FlamError if it is cut, is not Parquet, or has another schema."""
    return rows_of(read_table(path, record), record, path)


def rows_of(table: pa.Table, record: type[Row], path: Path) -> list[Row]:
    """The rows of a table that `read_table` read from `path`, or of a part of it; raises FlamError as `read_rows`."""
    try:
        return from_table(table, record)
    except UnicodeDecodeError as error:
        raise FlamError(f"{path} holds text that is not UTF-8 ({error}); write it again from its stage") from None
    except ValueError as error:
        raise FlamError(f"{path}: {error}; write it again from its stage") from None


def read_table(path: Path, record: type) -> pa.Table:
    """One shard as an Arrow table, with every column of `record` and of its type; other columns are left out."""
    wanted = arrow_schema(record)
    try:
        footer = pq.read_metadata(path)
        # other columns may be large, as audio is
        there = [name for name in footer.schema.to_arrow_schema().names if name in wanted.names]
        table = pq.read_table(path, columns=there, partitioning=None, page_checksum_verification=True)
    except FileNotFoundError:
        raise FlamError(f"{path} is missing; make it again with the command that writes it") from None
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise FlamError(f"{path} is damaged or no Parquet file ({error}); delete it and run its stage again") from None
    for field in wanted:
        at = table.schema.get_field_index(field.name)
        if at < 0:
            raise FlamError(
                f"{path}: column {field.name} is missing; this is no {record.__name__} table of this version"
            )
        _check_type(path, field, table.schema.field(at).type)
    try:
        table = table.select(wanted.names).cast(wanted)
    except (pa.ArrowException, ValueError) as error:  # a hole in a required column
        raise FlamError(f"{path}: {error}; write it again from its stage") from None
    if not digest.is_intact(table, footer.metadata):
        raise FlamError(
            f"{path} is damaged: its rows are not those that were written; delete it and run its stage again"
        )
    return table


def _check_type(path: Path, field: pa.Field, found: pa.DataType) -> None:
    """Other tools rewrite Parquet with large_string, other child names and all columns nullable: allow that."""
    try:
        pa.array([], found).cast(field.type)
        readable = _kind(found) == _kind(field.type)
    except (pa.ArrowException, KeyError, ValueError):  # ValueError: a damaged footer
        readable = False
    if not readable:
        raise FlamError(f"{path}: column {field.name} is {found}, expected {field.type}; write it again from its stage")


def _kind(arrow_type: pa.DataType) -> str:
    if pa.types.is_string(arrow_type) or pa.types.is_large_string(arrow_type):
        return "string"
    if pa.types.is_list(arrow_type) or pa.types.is_large_list(arrow_type):
        return "list"
    return "struct" if pa.types.is_struct(arrow_type) else str(arrow_type)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to; it takes its place, durably, if the block ends without an error."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        publish(temporary, path)
    except OSError as error:
        raise FlamError(f"cannot write {path}: {error.strerror or error}; what was finished before is kept") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def publish(temporary: Path, path: Path) -> None:
    """Give a finished file its name once the disk has all of it: a crash leaves no name without its content."""
    _sync_file(temporary)
    temporary.replace(path)


def write_audio(sounds: Iterable[tuple[Path, Recording]]) -> None:
    """Write audio files. Each appears whole under its name, when all are written or one can't be.

    They are `new-NAME` before, which is what a killed run leaves.
    """
    written: list[Path] = []
    try:
        for path, recording in sounds:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                write(_new(path), recording.samples, recording.sample_rate)
            except FlamError:
                _new(path).unlink(missing_ok=True)
                raise
            written.append(path)
    finally:
        _publish_audio(written)


def _publish_audio(paths: Sequence[Path]) -> None:
    try:
        _sync([_new(path) for path in paths])
        for path in paths:
            _new(path).replace(path)
    except OSError as error:
        where = paths[0].parent
        raise FlamError(f"cannot write {where}: {error.strerror or error}; what was finished before is kept") from error


def _new(path: Path) -> Path:
    return path.with_name(f"new-{path.name}")


def _sync(paths: Sequence[Path]) -> None:
    """Wait until the disk has all of these files, which lie on one file system.

    On Linux by one call for everything that was written to it: one for each file takes a quarter of a WAV file's CPU.
    """
    sync_file_system = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if not paths or sync_file_system is None:
        for path in paths:
            _sync_file(path)
        return
    with _descriptor(paths[0]) as descriptor:
        if sync_file_system(descriptor):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _sync_file(path: Path) -> None:
    with _descriptor(path) as descriptor:
        os.fsync(descriptor)


@contextlib.contextmanager
def _descriptor(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def write_json(path: Path, content: Any) -> None:
    """Write JSON whole or not at all. Non-ASCII text stays readable; NaN is refused."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")


def read_json(path: Path) -> Any:
    """The content of a JSON file; raises FlamError if it is missing or is not JSON."""
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise FlamError(f"{path} is missing; restore it, or make its folder again under another name") from None
    except (ValueError, OSError) as error:  # what lies beside it may be of other settings than a new one would say
        raise FlamError(
            f"{path} cannot be read ({error}); restore it, or make its folder again under another name"
        ) from None


def check_name(path: Path) -> None:
    """Raise FlamError for a name that no library but Python's own could open."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise FlamError(f"{path}: the name is not Unicode; rename it, or choose another") from None


@contextlib.contextmanager
def locked(folder: Path, command: str) -> Iterator[None]:
    """Keep other processes from writing to `folder`. The lock dies with its process, so none is ever stale."""
    check_name(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise FlamError(f"cannot write {folder}: {error.strerror}; choose a folder that you may write to") from None
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise FlamError(f"{folder} is being written by {holder}; wait for it to end or stop it") from None
        file.truncate(0)
        file.write(f"{command} (process {os.getpid()})")
        file.flush()
        yield


def claim(path: Path, content: dict[str, Any], *, differs: str, noted: dict[str, Any] | None = None) -> None:
    """Record what a folder is made from, or check that it was made from just this.

    Raises FlamError naming the first entry that differs.

    Args:
        path: the file.
        content: what is compared.
        differs: what to do about a difference.
        noted: what is recorded besides, and brought up to date.
    """
    if not path.exists():
        write_json(path, {**content, **(noted or {})})
        return
    found = read_json(path)
    wanted = json.loads(json.dumps(content))
    if difference := _difference(found, wanted):
        raise FlamError(f"{path} says {difference}; {differs}")
    if any(found.get(key) != value for key, value in (noted or {}).items()):
        write_json(path, {**found, **(noted or {})})


def _difference(found: Any, wanted: Mapping[str, Any], within: str = "") -> str | None:
    """The first wanted entry that is another, by its whole name."""
    for key, value in wanted.items():
        if isinstance(found, dict) and key not in found:
            return f"nothing of {within}{key}: another version of flam-cli wrote it"
        there = found[key] if isinstance(found, dict) else found
        if there == value:
            continue
        if isinstance(there, dict) and isinstance(value, dict):
            return _difference(there, value, f"{within}{key}.") or f"{within}{key} has other entries, too"
        return f"{within}{key} = {_short(there)}, not {_short(value)}"
    return None


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
