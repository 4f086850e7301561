"""Are copies of a recording found, and nothing else? On real recordings and copies of them made here.

    python benchmarks/fingerprint.py                      the real-recordings benchmark, at 16 kHz
    python benchmarks/fingerprint.py --anchors 3000000    what looking up costs in a bank of 50,000 clips, too

Every recording becomes a clip as in a bank; one of `--every` is also changed in each of the ways below, and its copies
become clips, too. Recordings are divided into halves by their group: of one half the table shows what other thresholds
would give, the other half was not looked at when they were chosen. Found pairs of different recordings are listed:
some of them are copies that the collections do not know of. The last line is one JSON object.
"""

import argparse
import itertools
import json
import sys
import tempfile
import time
import tracemalloc
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

sys.path.insert(0, str(Path(__file__).parents[1]))

from curation.duplicates import ANCHOR, THIRDS, candidates, compared
from curation.fingerprint import fingerprint
from curation.prepare import RejectError, prepare
from curation.source_clip import SourceFile
from curation.sources import list_sources
from manifests.audio import read_channels

BENCHMARK = Path(__file__).parents[2] / "shared" / "data" / "benchmark.csv"
RATE = 16_000
THRESHOLDS = (0.6, 0.8, 1.0, 1.2, 1.4)
LEAST_SECONDS = 1.0  # recordings of which copies are counted apart from shorter ones

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A recording, or a copy of one, as a bank holds it."""

    recording: int
    change: str  # empty: none
    pcm: npt.NDArray[np.int16]
    group: str
    origin: str


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=BENCHMARK, help="what the recordings are listed in")
    parser.add_argument("--every", type=int, default=4, help="of how many recordings one is copied")
    parser.add_argument("--anchors", type=int, default=0, help="number of anchors made up, to measure looking up")
    options = parser.parse_args()
    if not options.data.is_file():
        sys.exit(f"no recordings at {options.data}; give --data")
    with tempfile.TemporaryDirectory() as folder:
        clips = list(all_clips(options.data, options.every, Path(folder)))
    result = measure(clips)
    if options.anchors:
        result["scale"] = at_scale(clips, options.anchors)
        say(f"{result['scale']}")
    say(json.dumps(result))


def all_clips(data: Path, every: int, folder: Path) -> Iterator[Clip]:
    """The recordings, and the copies of some."""
    (listing,) = list_sources([str(data)])
    for number, file in enumerate(listing.files):
        clip = as_clip(file, number, "")
        if clip is None:
            continue
        yield clip
        if number % every == 0:
            samples, rate = read_channels(file.path, max_duration=1800.0)
            rng = np.random.default_rng(number)
            for change, function in CHANGES.items():
                path = folder / f"copy.{change}"
                function(samples.mean(axis=1), rate, path, rng)
                copy = as_clip(SourceFile(path=path, **described(file)), number, change)
                if copy is not None:
                    yield copy


def described(file: SourceFile) -> dict[str, Any]:
    """All but where a recording is."""
    return {name: getattr(file, name) for name in ("origin", "role", "label", "cluster", "group")}


def as_clip(file: SourceFile, number: int, change: str) -> Clip | None:
    """A recording as a bank holds it, if it does."""
    try:
        _, pcm, _ = prepare(file, sample_rate=RATE, seed=0)
    except RejectError:
        return None
    return Clip(recording=number, change=change, pcm=pcm, group=file.group, origin=file.origin)


# --- ways to change a recording ---------------------------------------------------------------------------------


def _write(samples: Floats, rate: int, path: Path, **form: Any) -> None:
    soundfile.write(path, np.clip(samples, -1, 1), rate, **{"format": "WAV", "subtype": "FLOAT", **form})


def _at(samples: Floats, rate: int, other: int) -> Floats:
    return np.asarray(soxr.resample(samples, rate, other))


def _with_noise(samples: Floats, snr_db: float, rng: np.random.Generator) -> Floats:
    level = float(np.sqrt(np.mean(np.square(samples)))) * 10 ** (-snr_db / 20)
    return (samples + level * rng.standard_normal(len(samples))).astype(np.float32)


def _mp3(samples: Floats, rate: int, path: Path) -> None:
    _write(_at(samples, rate, 44_100), 44_100, path, format="MP3", subtype="MPEG_LAYER_III", compression_level=0.6)


def _part(samples: Floats, share: float, rng: np.random.Generator) -> Floats:
    sounding = np.flatnonzero(np.abs(samples) > 1e-3 * np.abs(samples).max())
    samples = samples[sounding[0] : sounding[-1] + 1]
    length = max(1, round(share * len(samples)))
    start = int(rng.integers(0, len(samples) - length + 1))
    return samples[start : start + length]


def _hard(samples: Floats, rate: int, path: Path, rng: np.random.Generator) -> None:
    part = _at(_part(samples, 0.6, rng), rate, 8_000)
    _mp3(_with_noise(0.2 * part, 30, rng), 8_000, path)


CHANGES: dict[str, Callable[[Floats, int, Path, np.random.Generator], None]] = {
    "gain -20 dB": lambda samples, rate, path, _rng: _write(0.1 * samples, rate, path, subtype="PCM_16"),
    "ogg": lambda samples, rate, path, _rng: _write(samples, rate, path, format="OGG", subtype="VORBIS"),
    "mp3": lambda samples, rate, path, _rng: _mp3(samples, rate, path),
    "44.1 kHz": lambda samples, rate, path, _rng: _write(_at(samples, rate, 44_100), 44_100, path),
    "8 kHz": lambda samples, rate, path, _rng: _write(_at(samples, rate, 8_000), 8_000, path),
    "noise 30 dB": lambda samples, rate, path, rng: _write(_with_noise(samples, 30, rng), rate, path),
    "noise 20 dB": lambda samples, rate, path, rng: _write(_with_noise(samples, 20, rng), rate, path),
    "half": lambda samples, rate, path, rng: _write(_part(samples, 0.5, rng), rate, path),
    "fifth": lambda samples, rate, path, rng: _write(_part(samples, 0.2, rng), rate, path),
    "60 %, 8 kHz, noise 30 dB, mp3": _hard,
}


# --- measuring --------------------------------------------------------------------------------------------------


def measure(clips: list[Clip]) -> dict[str, Any]:
    """Fingerprint, look up, compare, and print how many copies were found."""
    seconds = sum(len(clip.pcm) for clip in clips) / RATE
    started = time.process_time()
    anchors = all_anchors(clips)
    made = time.process_time()
    rows = candidates(anchors)

    def excerpt(place: int, start: float, stop: float) -> tuple[Floats, int]:
        return clips[place].pcm[round(start * RATE) : round(stop * RATE)] / np.float32(32768), RATE

    found = {pair: alike.score for pair, alike in compared(rows, excerpt, skip=lambda _one, _other: False)}
    ended = time.process_time()
    apart = sum(clips[one].group != clips[other].group for one, other in found)
    say(f"{len(clips)} clips, {seconds:.0f} s, {len(anchors)} anchors, {len(found)} candidates, {apart} of two groups")
    say(f"{1000 * (made - started) / seconds:.2f} ms of CPU a second of sound for fingerprints,")
    say(
        f"{1000 * (ended - made) / seconds:.2f} ms for finding ({1000 * (ended - made) / len(found):.2f} a candidate)\n"
    )
    result: dict[str, Any] = {"clips": len(clips), "seconds": round(seconds), "anchors": len(anchors)}
    for half, name in ((0, "chosen on"), (1, "held out")):
        for threshold in THRESHOLDS if half == 0 else (1.0,):
            result[f"{name}, {threshold:g}"] = table(clips, found, half, threshold, name)
    say_known(clips, found)
    listed = strangers(clips, found, 1.0, originals=True)
    say("different recordings that are found to share a sound:")
    for (one, other), score in sorted(listed.items(), key=lambda item: -item[1]):
        say(f"  {score:.2f}  {clips[one].origin}  {clips[other].origin}")
    return {**result, "strangers": len(listed), "ms_a_second": round(1000 * (made - started) / seconds, 3)}


def say_known(clips: list[Clip], found: dict[tuple[int, int], float]) -> None:
    """Recordings of one group in two collections: parts of one recording, whether the same parts or not."""
    say("recordings that two collections have of one group, and how alike they are:")
    originals = [(place, clip) for place, clip in enumerate(clips) if not clip.change]
    by_group: dict[str, list[tuple[int, Clip]]] = defaultdict(list)
    for place, clip in originals:
        by_group[clip.group].append((place, clip))
    for group in by_group.values():
        for (one, a), (other, b) in itertools.combinations(group, 2):
            if a.origin.split("/")[0] != b.origin.split("/")[0]:
                say(f"  {found.get((one, other), 0.0):.2f}  {a.origin}  {b.origin}")


def all_anchors(clips: list[Clip]) -> npt.NDArray[Any]:
    """The fingerprints of all clips."""
    parts = []
    for place, clip in enumerate(clips):
        print_of = fingerprint(clip.pcm / np.float32(32768), RATE)
        part = np.zeros(len(print_of.frames), ANCHOR)
        part["clip"], part["frame"], part["descriptor"] = place, print_of.frames, print_of.descriptors
        parts.append(part)
    return np.concatenate(parts)


def in_half(clip: Clip, half: int) -> bool:
    """Whether a recording is of this half."""
    return zlib.crc32(clip.group.encode()) % 2 == half


def table(
    clips: list[Clip], found: dict[tuple[int, int], float], half: int, threshold: float, name: str
) -> dict[str, Any]:
    """The share of copies that are paired with their recording, and wrong pairs of others."""
    original = {clip.recording: place for place, clip in enumerate(clips) if not clip.change}
    result: dict[str, Any] = {}
    say(f"{name}, threshold {threshold:g}                 of {LEAST_SECONDS:g} s or more    shorter")
    for change in CHANGES:
        shares = []
        for is_long in (True, False):
            hits = [
                found.get((original[clip.recording], place), 0.0) >= threshold
                for place, clip in enumerate(clips)
                if clip.change == change
                and in_half(clip, half)
                and (len(clips[original[clip.recording]].pcm) >= LEAST_SECONDS * RATE) == is_long
            ]
            shares.append((sum(hits), len(hits)))
        text = "   ".join(f"{hit:5d} of {of:4d} {100 * hit / max(of, 1):5.1f} %" for hit, of in shares)
        say(f"  {change:32s} {text}")
        result[change] = shares
    wrong = {
        tuple(sorted((clips[one].recording, clips[other].recording)))
        for (one, other) in strangers(clips, found, threshold, originals=False)
        if in_half(clips[one], half) and in_half(clips[other], half)
    }
    say(f"  pairs of different recordings: {len(wrong)}\n")
    return {**result, "strangers": len(wrong)}


def strangers(
    clips: list[Clip], found: dict[tuple[int, int], float], threshold: float, *, originals: bool
) -> dict[tuple[int, int], float]:
    """Found pairs whose recordings are of different groups."""
    return {
        (one, other): score
        for (one, other), score in found.items()
        if score >= threshold
        and clips[one].group != clips[other].group
        and not (originals and (clips[one].change or clips[other].change))
    }


def at_scale(clips: list[Clip], num_anchors: int) -> dict[str, Any]:
    """What looking up costs among so many anchors, each of the thirds of three real ones, as frequent as these are."""
    real, rng = all_anchors(clips)["descriptor"], np.random.default_rng(0)
    anchors = np.zeros(num_anchors, ANCHOR)
    for low, bits in THIRDS:
        third = np.uint64((1 << bits) - 1) << np.uint64(low)
        anchors["descriptor"] |= real[rng.integers(0, len(real), num_anchors)] & third
    anchors["clip"] = np.sort(rng.integers(0, max(2, num_anchors // 60), num_anchors))
    started = time.process_time()
    rows = candidates(anchors)
    seconds = time.process_time() - started
    tracemalloc.start()
    candidates(anchors)
    return {
        "anchors": num_anchors,
        "candidates": len(rows),
        "cpu_seconds": round(seconds, 1),
        "peak_mb": (anchors.nbytes + tracemalloc.get_traced_memory()[1]) >> 20,
    }


def say(text: str) -> None:
    """To stdout."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
