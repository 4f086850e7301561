"""AudioSet with strong labels: segments of ten seconds in which every sound was marked, by AudioSet's ids.

audioset_{train,eval}_strong.tsv beside mid_to_display_name.tsv or class_labels_indices.csv; recordings in any folders.
"""

from collections import Counter
from pathlib import Path

from curation.imports.clip import Clip, LabelledSpan, PublishedSet
from curation.imports.recordings import NOT_THERE, Recordings
from curation.imports.tables import side_of
from curation.sources import audioset_strong as published
from curation.sources.table import read_csv
from manifests.errors import FlamError

_SHARED = "named by a video of which there are several segments"


def read(path: Path, recordings: Recordings) -> PublishedSet:
    """Every segment. Its labels are written as display names; a video that is in eval is for testing in train, too."""
    root = path if path.is_dir() else path.parent
    tables = list(published.tables(root)) if path.is_dir() else [path]
    if not tables:
        raise FlamError(f"{path} holds no table with the columns {', '.join(published.COLUMNS)}, separated by tabs")
    names = published.display_names(root)
    clips: dict[str, Clip] = {}
    videos: dict[str, str] = {}
    for table in tables:
        side = side_of(table, published.SPLITS, root=path)
        for row in read_csv(table, required=published.COLUMNS, delimiter="\t"):
            name = row["segment_id"]
            if name not in clips:
                videos[name], start_ms = published.video_and_start(row)
                file = published.recording_of(recordings.stems, videos[name], start_ms)
                clips[name] = Clip(
                    name=name,
                    recording=recordings.checked(file) if file else NOT_THERE,
                    split=side,
                    annotation="closed",
                    licence=published.LICENCE,
                    author=published.AUTHOR.format(videos[name]),
                )
            clips[name].split = "test" if "test" in (side, clips[name].split) else side
            event = published.event_of(row, names)
            label = names[event.audioset_id]
            clips[name].spans.append(
                LabelledSpan(label=label, onset=event.onset, offset=event.offset, cluster=published.cluster_of(label))
            )
    tested = {videos[name] for name, clip in clips.items() if clip.split == "test"}
    users = Counter(clip.recording for clip in clips.values() if isinstance(clip.recording, Path))
    for name, clip in clips.items():
        clip.split = "test" if videos[name] in tested else clip.split
        if isinstance(clip.recording, Path) and users[clip.recording] > 1:
            clip.recording = _SHARED
    return PublishedSet(clips=list(clips.values()))
