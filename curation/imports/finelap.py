"""FineLAP's metadata: an object a line with audio_id, audio_path, caption (one or several) and perhaps phrases.

{"audio_id": "x.wav", "audio_path": "...", "caption": "...", "phrases": [{"phrase": "...", "segments": [[0.0, 2.5]]}]}
"""

from pathlib import Path

from curation.imports.clip import PublishedSet
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
    for file in label_files(path, "*.jsonl"):
        try:
            lines = file.read_text("utf-8-sig").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise FlamError(f"cannot read {file}: {error}") from None
        for number, line in enumerate(lines, 1):
            place = f"{file}:{number}"
            if line.strip():
                item = read_json_labels(file, line, place=place)
                clips.add(item, place=place, split=side_of(file, SIDES, root=path), caption="caption")
    return PublishedSet(clips=clips.all())
