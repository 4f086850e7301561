"""AudioGrounding: captions of AudioCaps, and when each of their phrases is heard.

{train,val,test}.json: a list of audiocap_id, audio_id, tokens, and phrases with their segments; a recording that has
several captions is in it several times.
"""

from pathlib import Path

from curation.imports.clip import PublishedSet
from curation.imports.phrases import PhraseClips
from curation.imports.recordings import Recordings
from curation.imports.tables import label_files, read_json_labels, side_of
from manifests.errors import FlamError
from manifests.schema import Split

SIDES: dict[str, Split] = {"train": "train", "val": "valid", "test": "test"}


def read(path: Path, recordings: Recordings) -> PublishedSet:
    """Every recording with all of its captions; each phrase is a label. What no phrase tells of may be heard, too."""
    clips = PhraseClips(recordings)
    for file in label_files(path, "train.json", "val.json", "test.json"):
        items = read_json_labels(file)
        if not isinstance(items, list):
            raise FlamError(f"{file}: must hold a list of captions with their phrases; use AudioGrounding's own file")
        for number, item in enumerate(items, 1):
            clips.add(item, place=f"{file}: item {number}", split=side_of(file, SIDES, root=path), caption="tokens")
    return PublishedSet(clips=clips.all())
