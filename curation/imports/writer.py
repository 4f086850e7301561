"""Clips of a published set -> the tables, captions and audio files of a dataset folder."""

import os
import shutil
from pathlib import Path

import soundfile

from curation.imports.card import write_card
from curation.imports.clip import Clip, LabelledSpan
from curation.imports.parquet import Embedded
from curation.imports.recordings import NOT_THERE
from curation.imports.report import ImportReport
from curation.phrases import write_phrases
from curation.sources.listing import Reject, default_cluster
from manifests.audio import AudioError, probe
from manifests.schema import Caption, Event, Soundscape, Stretch
from manifests.store import DatasetFolder, replacing, write_json, write_rows
from manifests.validate_audio import read_through

SHARD_SIZE = 1000  # soundscapes: some bytes each


class Writer:
    """Takes clips one by one. Only the rows of one shard are held."""

    def __init__(self, folder: DatasetFolder, *, captions: str, report: ImportReport) -> None:
        self.folder, self.report = folder, report
        self.caption_set = folder.root / "captions" / captions
        self._rows: list[Soundscape] = []
        self._captions: list[Caption] = []
        self._num_caption_shards = 0

    def add(self, clip: Clip) -> None:
        """Read a clip's recording to its end, and link it into the dataset; it is a reject if that can't be."""
        recording = clip.recording
        extracted = self.folder.root / ".extracted"
        if isinstance(recording, Embedded):
            recording = self._extract(recording, extracted)
        if isinstance(recording, str):
            self._reject(clip, reason=recording)
            return
        try:
            self._add(clip, recording)
        except AudioError as error:
            self._reject(clip, reason="not readable as sound", detail=error.reason)
        finally:
            extracted.unlink(missing_ok=True)

    def _add(self, clip: Clip, recording: Path) -> None:
        sample_rate, num_samples = _measured(recording)
        ending = recording.suffix.lower() or f".{soundfile.info(recording).format.lower()}"
        index = self.report.num_soundscapes
        audio_path = f"audio/{index // SHARD_SIZE:05d}/{index:08d}{ending}"
        self._link(recording, self.folder.root / audio_path)
        self._rows.append(self._row(clip, audio_path, sample_rate, num_samples))
        self._captions += _captions(clip)
        self.report.num_soundscapes += 1
        self.report.splits[str(clip.split)] += 1
        if len(self._rows) == SHARD_SIZE:
            self._flush()

    def _extract(self, recording: Embedded, path: Path) -> Path | str:
        content = recording.content()
        if content is None:
            return NOT_THERE
        path.write_bytes(content)
        return path

    def finish(self) -> None:
        """Write what is left: the last shards, the phrases of all labels, rejects and the card."""
        self._flush()
        if self._num_caption_shards:
            # `flam-cli caption` adds nothing to a set that it did not make: it finds these settings
            write_json(self.caption_set / "captions.json", {"via": "import", "model": "", "prompts": {}})
        write_rows(self.folder.root / "rejects.parquet", self.report.rejects, Reject)
        if self.report.num_events:
            write_phrases(self.folder.root)
        write_card(self.folder)

    def _flush(self) -> None:
        if self._captions:
            write_rows(self.caption_set / f"{self._num_caption_shards:05d}.parquet", self._captions, Caption)
            self._num_caption_shards += 1
            self.report.num_captions += len(self._captions)
        if self._rows:
            shard = (self.report.num_soundscapes - 1) // SHARD_SIZE
            write_rows(self.folder.soundscape_shard(shard), self._rows, Soundscape)
        self._rows, self._captions = [], []

    def _reject(self, clip: Clip, *, reason: str, detail: str = "") -> None:
        self.report.rejects.append(Reject(origin=clip.name, reason=reason, detail=detail))

    def _link(self, source: Path, target: Path) -> None:
        """A hard link: the dataset has the file for good, takes no room, and points nowhere outside of itself."""
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source.resolve(), target)
        except OSError as error:  # another file system, or somebody else's file
            self.report.num_copied += 1
            self.report.why_copied = error.strerror or str(error)
            with replacing(target) as temporary:
                shutil.copyfile(source, temporary)

    def _row(self, clip: Clip, audio_path: str, sample_rate: int, num_samples: int) -> Soundscape:
        assert clip.split is not None
        duration = num_samples / sample_rate
        events = [_event(span, clip, duration) for span in dict.fromkeys(clip.spans) if span.onset < duration]
        self.report.num_events += len(events)
        self.report.num_beyond += len(set(clip.spans)) - len(events)
        return Soundscape(
            soundscape_id=clip.name,
            split=clip.split,
            audio_path=audio_path,
            duration=duration,
            sample_rate=sample_rate,
            num_samples=num_samples,
            annotation=clip.annotation,
            events=sorted(events, key=lambda event: (event.onset, event.offset, event.label)),
            background=None,
            room=None,
            microphone=None,
            licences=[clip.licence] if clip.licence and events else [],
            seed=None,
            recipe=None,
            engine=None,
            mix_gain_db=None,
            num_inaudible=None,
            num_masked=None,
        )


def _measured(path: Path) -> tuple[int, int]:
    """Sample rate in Hz and number of samples of a recording that was read to its end; raises AudioError."""
    sample_rate, _, _ = probe(path)
    num_samples, silent, numbers = read_through(path, sample_rate)
    if not num_samples:
        raise AudioError(path, "holds no sample")
    if silent or not numbers:
        raise AudioError(path, "every sample is 0" if numbers else "holds samples that are no number")
    return sample_rate, num_samples


def _event(span: LabelledSpan, clip: Clip, duration: float) -> Event:
    """An event that is active from onset to offset, for all that the set says; it ends with its recording."""
    offset = duration if span.offset is None else min(span.offset, duration)
    return Event(
        label=span.label,
        cluster=span.cluster or default_cluster(span.label),
        contains=[],
        onset=span.onset,
        offset=offset,
        activity=[Stretch(onset=span.onset, offset=offset)],
        start=None,
        num_samples=None,
        source_id=None,
        source_start=None,
        origin=clip.name,
        origin_start=None,
        target_snr_db=None,
        snr_db=None,
        gain_db=None,
        pitch_semitones=None,
        time_stretch=None,
        tilt_db=None,
        fade=None,
        licence=clip.licence or None,
        author=clip.author or None,
    )


def _captions(clip: Clip) -> list[Caption]:
    """Captions of a set are alike: the first has style `sentence`, the others `sentence-2` and so on."""
    return [
        Caption(
            soundscape_id=clip.name,
            style="sentence" if number == 1 else f"sentence-{number}",
            cluster="",
            text=text,
            via="import",
            model="",
            prompt_hash="",
            checks=[],
            prompt_tokens=0,
            completion_tokens=0,
            fallback=False,
        )
        for number, text in enumerate(clip.captions, 1)
    ]
