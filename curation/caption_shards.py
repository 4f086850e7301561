"""One shard of a caption set on disk: what is there, what is missing, and a journal of what is being made.

What a model answers is first appended to a journal beside the shard, so that no answer is paid for twice; the finished
shard takes the journal's place.
"""

import dataclasses
import errno
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from curation.checks import failed
from manifests.errors import FlamError
from manifests.schema import Caption, Check, Soundscape
from manifests.store import read_rows, read_table, rows_of, write_rows

_ROWS_AT_A_TIME = 50
_as_json = json.JSONEncoder(ensure_ascii=False).encode
_FIELDS = [field.name for field in dataclasses.fields(Caption)]
Key = tuple[str, str]  # soundscape id, style


class CaptionShard:
    """The captions of one shard of soundscapes.

    Args:
        path: the soundscapes.
        target: the captions, there or not.
        styles: what is wanted of each soundscape.
        limit: only of the first so many; None: of all.
    """

    def __init__(self, path: Path, target: Path, styles: Sequence[str], limit: int | None) -> None:
        self._path, self.target, self._styles = path, target, styles
        self.journal = target.with_name(f".{target.stem}.jsonl")
        self.unreported = 0  # added, and not said to anybody
        self._file: IO[bytes] | None = None
        self._table = read_table(path, Soundscape)
        self._ids = [str(key) for key in self._table["soundscape_id"].to_pylist()]
        self._stored = self._read_stored()
        self._rows = {**self._read_journal(), **self._stored}
        wanted = [(identity, style) for style in styles for identity in self._ids[:limit]]
        self.missing = dict.fromkeys(key for key in wanted if key not in self._rows)
        self.num_reused = len(wanted) - len(self.missing)
        self._num_open = len(self.missing)

    @property
    def num_soundscapes(self) -> int:
        """How many soundscapes the shard holds."""
        return len(self._ids)

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing any more."""
        return self._num_open == 0

    def tokens(self) -> tuple[int, int]:
        """What its captions have cost: tokens of questions, and of answers."""
        rows = [row for rows in self._rows.values() for row in rows]
        return sum(row.prompt_tokens for row in rows), sum(row.completion_tokens for row in rows)

    def texts_to_make(self) -> Iterator[tuple[Soundscape, str]]:
        """(soundscape, style) of each text that was missing at first; a style's next to one another, some at a time.

        A whole shard's rows take a tenth of a second to make, in which no call would leave.
        """
        for first in range(0, len(self._ids), _ROWS_AT_A_TIME):
            keys = self._ids[first : first + _ROWS_AT_A_TIME]
            if not any((key, style) in self.missing for key in keys for style in self._styles):
                continue
            rows = rows_of(self._table.slice(first, _ROWS_AT_A_TIME), Soundscape, self._path)
            for style in self._styles:
                yield from ((row, style) for row in rows if (row.soundscape_id, style) in self.missing)

    def add(self, key: Key, rows: Sequence[Caption], *, journal: bool) -> None:
        """Take the rows of one soundscape in one style; with `journal`, a killed program has lost nothing of them.

        Without any rows, there was nothing to say: such a soundscape is missing again in the next run.
        """
        if journal:
            self._append(rows)
        if rows:
            self._rows[key] = list(rows)
        self._num_open -= 1
        self.unreported += 1

    def sync(self) -> None:
        """Wait until the journal is on the disk; safe to call in a thread beside `add` and `finish`."""
        file = self._file
        if file is not None:
            try:
                os.fsync(file.fileno())
            except ValueError:  # closed in the meantime: the shard has been written
                pass
            except OSError as error:
                raise self._unwritable(error) from None

    def finish(self) -> int:
        """Write what there is as the shard, drop the journal, and return how many nobody has reported yet."""
        order = {identity: place for place, identity in enumerate(self._ids)}
        keys = sorted((key for key in self._rows if key[0] in order), key=lambda key: (order[key[0]], key[1]))
        if list(self._stored) != keys:
            write_rows(self.target, [row for key in keys for row in self._rows[key]], Caption)
        self.close()
        self.journal.unlink(missing_ok=True)
        count, self.unreported = self.unreported, 0
        return count

    def close(self) -> None:
        """Let go of the journal; what is in it stays."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _append(self, rows: Sequence[Caption]) -> None:
        line = _as_json([_content(row) for row in rows]).encode() + b"\n"
        try:
            if self._file is None:
                self._file = self._open_journal()
            if self._file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise self._unwritable(error) from None

    def _open_journal(self) -> IO[bytes]:
        """To write at its end, after its last whole line."""
        file = self.journal.open("ab", buffering=0)
        file.truncate(self.journal.read_bytes().rfind(b"\n") + 1)
        return file

    def _unwritable(self, error: OSError) -> FlamError:
        return FlamError(f"cannot write {self.journal}: {error.strerror}; what was answered before is kept")

    def _read_stored(self) -> dict[Key, list[Caption]]:
        """Captions that stay; where nobody answered, a template is worth another try."""
        rows = read_rows(self.target, Caption) if self.target.exists() else []
        found = _by_key(rows)
        return {key: rows for key, rows in found.items() if not any("answered" in failed(row.checks) for row in rows)}

    def _read_journal(self) -> dict[Key, list[Caption]]:
        """Answers of a run that did not end, but for lines that are damaged or were cut."""
        found: dict[Key, list[Caption]] = {}
        for line in self.journal.read_bytes().split(b"\n")[:-1] if self.journal.exists() else []:
            try:
                found.update(_by_key([_row(entry) for entry in json.loads(line)]))
            except (ValueError, LookupError, TypeError, AttributeError):
                continue
        return found


def _content(row: Caption) -> dict[str, Any]:
    """A row as JSON. dataclasses.asdict copies all that is in it: 46 us a row where this takes 2."""
    content = {name: getattr(row, name) for name in _FIELDS}
    content["checks"] = {check.name: check.passed for check in row.checks}
    return content


def _row(content: dict[str, Any]) -> Caption:
    checks = [Check(name=name, passed=passed) for name, passed in content["checks"].items()]
    return Caption(**{**content, "checks": checks})


def _by_key(rows: Sequence[Caption]) -> dict[Key, list[Caption]]:
    found: dict[Key, list[Caption]] = {}
    for row in rows:
        found.setdefault((row.soundscape_id, row.style), []).append(row)
    return found
