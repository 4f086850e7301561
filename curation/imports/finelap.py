"""FineLAP's metadata: an object a line with audio_id, audio_path, caption (one or several) and perhaps phrases.

{"audio_id": "x.wav", "audio_path": "...", "caption": "...", "phrases": [{"phrase": "...", "segments": [[0.0, 2.5]]}]}

On the hub, as FineLAP-100k and what `flam-cli export` writes, the same is Parquet, with the recordings inside.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from curation.imports import parquet
from curation.imports.clip import PublishedSet
from curation.imports.parquet import Embedded
from curation.imports.phrases import PhraseClips
from curation.imports.recordings import Recordings
from curation.imports.tables import label_files, read_json_labels, side_of
from manifests.errors import FlamError
from manifests.schema import Split

SIDES: dict[str, Split] = {
    "train": "train", "training": "train", "val": "valid", "valid": "valid", "validation": "valid", "test": "test",
    "eval": "test", "evaluation": "test",
}  # fmt: skip


def read(path: Path, recordings: Recordings) -> PublishedSet:
    """Every recording; each phrase is a label. It is found by its name: `audio_path` is of another machine."""
    clips = PhraseClips(recordings)
    for file in label_files(path, "*.jsonl", "*.parquet"):
        items = _of_parquet(file) if file.suffix == ".parquet" else _of_lines(file)
        for place, item, recording in items:
            several = "captions" if isinstance(item, dict) and item.get("captions") else "caption"
            side = side_of(file, SIDES, root=path)
            clips.add(item, place=place, split=side, caption=several, recording=recording)
    return PublishedSet(clips=clips.all())


def _of_lines(file: Path) -> Iterator[tuple[str, Any, None]]:
    try:
        lines = file.read_text("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise FlamError(f"cannot read {file}: {error}") from None
    for number, line in enumerate(lines, 1):
        place = f"{file}:{number}"
        if line.strip():
            yield place, read_json_labels(file, line, place=place), None


def _of_parquet(file: Path) -> Iterator[tuple[str, Any, Embedded]]:
    for number, (item, recording) in enumerate(parquet.rows(file, ("audio_id", "caption", "captions", "phrases")), 1):
        yield f"{file}, row {number}", item, recording
