"""What readers of published sets share: which files hold the labels, and which split their names say."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from curation.sources.table import check_span
from manifests.errors import FlamError
from manifests.schema import Split


def label_files(path: Path, *patterns: str) -> list[Path]:
    """`path` itself, or the files below it that fit a pattern, without hidden ones; FlamError if there is none."""
    if path.is_file():
        return [path]
    found = [
        file
        for file in sorted(file for pattern in patterns for file in path.rglob(pattern))
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts)
    ]
    if not found:
        raise FlamError(f"{path} holds no {' or '.join(patterns)}; give the folder that the set was unpacked to")
    return found


def side_of(file: Path, sides: Mapping[str, Split], *, root: Path) -> Split | None:
    """The split that a word in a file's name stands for, or else one in those of its folders, the nearest first.

    Args:
        file: of labels.
        sides: by a word.
        root: what the user gave: folders above it say nothing. Of a single file the two above it are looked at.
    """
    folders = file.parent.parts[-2:] if file == root else (root.resolve().name, *file.relative_to(root).parent.parts)
    for part in (file.stem, *reversed(folders)):
        for word in re.findall(r"[a-z]+", part.lower()):
            if word in sides:
                return sides[word]
    return None


def read_json_labels(path: Path, text: str | None = None, *, place: str = "") -> Any:
    """A JSON file, or a line of one, that a set was published with; raises FlamError."""
    try:
        return json.loads(path.read_text("utf-8-sig") if text is None else text)
    except OSError as error:
        raise FlamError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:  # no JSON, or not UTF-8
        raise FlamError(f"{place or path}: is no JSON ({error}); download it again") from None


def texts_of(value: Any, *, place: str, what: str) -> list[str]:
    """One text or several as single lines, without empty ones; raises FlamError."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise FlamError(f"{place}: {what} must be a text or a list of texts")
    return [line for text in texts if (line := " ".join(text.split()))]


def spans_of(segments: Any, *, place: str) -> Iterator[tuple[float, float]]:
    """The [onset, offset] pairs of a JSON list, also as objects of `start` and `end`; raises FlamError."""
    if not isinstance(segments, list):
        raise FlamError(f"{place}: segments must be a list of [onset, offset]")
    for segment in segments:
        pair = [segment.get("start"), segment.get("end")] if isinstance(segment, dict) else segment
        if not isinstance(pair, list) or len(pair) != 2 or not all(type(time) in (int, float) for time in pair):
            raise FlamError(f"{place}: segment {segment!r} must be [onset, offset] in seconds")
        yield check_span(float(pair[0]), float(pair[1]), place)
