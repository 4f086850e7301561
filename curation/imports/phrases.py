"""Clips from JSON objects that name a recording, its captions, and when each phrase is heard in it."""

from pathlib import PurePath
from typing import Any

from curation.imports.clip import Clip, LabelledSpan
from curation.imports.parquet import Embedded
from curation.imports.recordings import Recordings
from curation.imports.tables import spans_of, texts_of
from manifests.errors import FlamError
from manifests.schema import Split


class PhraseClips:
    """Gathers what several objects say of one recording. A phrase without segments is in a caption only."""

    def __init__(self, recordings: Recordings) -> None:
        self.recordings = recordings
        self._clips: dict[str, Clip] = {}

    def all(self) -> list[Clip]:
        """In the order in which they were named first."""
        return list(self._clips.values())

    def add(
        self, item: Any, *, place: str, split: Split | None, caption: str, recording: Embedded | None = None
    ) -> None:
        """Take one object; raises FlamError.

        Args:
            item: with `audio_id`, and perhaps `audio_path`, `phrases` and captions.
            place: for messages.
            split: of the recording.
            caption: what the key of captions is.
            recording: the recording, where it is not looked for by its name.
        """
        audio_id = item.get("audio_id") if isinstance(item, dict) else None
        if not isinstance(audio_id, str) or not audio_id.strip():
            raise FlamError(f"{place}: must be an object with the audio_id of a recording")
        where = item.get("audio_path") or audio_id
        phrases = item.get("phrases") or []
        if not isinstance(where, str) or not isinstance(phrases, list):
            raise FlamError(f"{place}: audio_path must be a text, and phrases a list")
        if audio_id not in self._clips:
            self._clips[audio_id] = Clip(
                name=audio_id,
                recording=recording or self.recordings.find(where, near=PurePath(where).parent),
                split=split,
                annotation="open" if phrases else "none",
            )
        clip = self._clips[audio_id]
        clip.captions += texts_of(item.get(caption) or [], place=place, what=caption)
        for phrase in phrases:
            clip.annotation = "open"
            clip.spans += _spans(phrase, place)


def _spans(phrase: Any, place: str) -> list[LabelledSpan]:
    text = phrase.get("phrase") if isinstance(phrase, dict) else None
    if not isinstance(text, str) or not text.strip():
        raise FlamError(f"{place}: each of phrases must be an object with a phrase and its segments")
    label, cluster = phrase.get("label") or text, phrase.get("cluster") or ""
    if not isinstance(label, str) or not isinstance(cluster, str):
        raise FlamError(f"{place}: label and cluster of a phrase must be texts")
    label = " ".join(label.split())
    spans = spans_of(phrase.get("segments") or [], place=place)
    return [LabelledSpan(label=label, cluster=cluster, onset=onset, offset=offset) for onset, offset in spans]
