"""Effects on real recordings: their CPU time beside sox's, and how far pitch and stretch agree with what Scaper gets.

    python benchmarks/effects.py                     the bank of the real-recordings benchmark
    python benchmarks/effects.py --data FOLDER       any folder of audio files

Everything is at 32 kHz and in one process. sox is libsox through cysox, called as Scaper calls it, with the signal
written and read as temporary files; "net" is without what an empty chain takes. The last line is one JSON object. Exit
code 1: a recording agrees by less than 60 dB, or a stretch takes more than a tenth of sox's CPU time.
"""

import argparse
import json
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soxbindings

sys.path.insert(0, str(Path(__file__).parents[1]))

from curation.effects import EventEffects, processed
from curation.filters import band_limited, tilted
from curation.rooms import reverberated, synthetic_room
from curation.runner import _worker_environment
from manifests import audio

BANK = Path(__file__).parents[2] / "shared" / "data" / "bank" / "foreground"
RATE = 32000
LEAST_DB, LEAST_RATIO = 60.0, 10.0
COMPARED = {
    **{f"stretch {factor}": EventEffects(time_stretch=factor) for factor in (0.8, 0.9, 1.1, 1.25)},
    **{f"pitch {semitones:+}": EventEffects(pitch_semitones=semitones) for semitones in (-3, -1.37, 0.21, 3)},
    "pitch +3, stretch 1.25": EventEffects(pitch_semitones=3, time_stretch=1.25),
}

Samples = npt.NDArray[np.float32]


def main() -> None:
    """Parse, measure, print."""
    if "MALLOC_TRIM_THRESHOLD_" not in os.environ:
        # glibc reads it when a process starts: start over, as a worker of `flam-cli simulate` does
        with _worker_environment():
            os.execv(sys.executable, [sys.executable, *sys.argv])
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=BANK, help="a folder of audio files")
    parser.add_argument("--num", type=int, default=150, help="recordings to compare")
    options = parser.parse_args()
    paths = sorted(path for path in options.data.rglob("*") if path.suffix in {".flac", ".ogg", ".wav"})
    if not paths:
        sys.exit(f"no recordings in {options.data}; give --data")
    recordings = [on_grid(audio.read(path, RATE)[: 10 * RATE]) for path in paths[:: max(1, len(paths) // options.num)]]
    say(f"{len(recordings)} recordings, {sum(map(len, recordings)) / RATE:.0f} s, {RATE} Hz")
    agreement = {name: agreement_of(effects, recordings) for name, effects in COMPARED.items()}
    joined = np.concatenate(recordings)
    pieces = [joined[start : start + 10 * RATE] for start in range(0, min(len(joined), 200 * RATE), 10 * RATE)]
    times = {name: times_of(effects, pieces[:-1]) for name, effects in COMPARED.items()}
    others = other_times(pieces[:-1])
    failures = [f"{name}: {row['worst_db']} dB" for name, row in agreement.items() if row["worst_db"] < LEAST_DB]
    slow = [name for name, row in times.items() if name.startswith("stretch") and row["ratio"] < LEAST_RATIO]
    failures += [f"{name}: sox takes {times[name]['ratio']} times the CPU only" for name in slow]
    for failure in failures:
        say(f"FAILED: {failure}")
    say(json.dumps({"agreement": agreement, "cpu_ms": times, "others_cpu_ms": others, "passed": not failures}))
    sys.exit(1 if failures else 0)


def on_grid(samples: Samples) -> Samples:
    """At half the level, for sox clips what goes beyond full scale; rounded to 16 bits, as a bank's sounds are."""
    return (np.rint(samples * 16384) / 32768).astype(np.float32)


def by_sox(samples: Samples, effects: EventEffects) -> npt.NDArray[np.float64]:
    """What Scaper gets."""
    transformer = soxbindings.Transformer()
    transformer.set_output_format(rate=RATE, channels=1)
    if effects.pitch_semitones:
        transformer.pitch(effects.pitch_semitones)
    if effects.time_stretch != 1.0:
        transformer.tempo(1.0 / effects.time_stretch, audio_type="s")
    return np.asarray(transformer.build_array(input_array=samples, sample_rate_in=RATE))[:, 0]


def agreement_of(effects: EventEffects, recordings: list[Samples]) -> dict[str, Any]:
    """Signal over difference, in dB, and the largest difference; lengths may differ by a sample."""
    decibels, largest, num_identical = [], 0.0, 0
    for samples in recordings:
        ours, theirs = processed(samples, effects, RATE), by_sox(samples, effects)
        assert abs(len(ours) - len(theirs)) <= 2
        num_samples = min(len(ours), len(theirs))
        difference = ours[:num_samples].astype(np.float64) - theirs[:num_samples]
        decibels.append(10 * np.log10(np.sum(theirs**2) / max(np.sum(difference**2), 1e-30)))
        largest = max(largest, float(np.abs(difference).max()))
        # libsox rounds to integers of 32 bits
        num_identical += bool(np.abs(difference).max() <= 2.0**-31)
    worst, low, median = np.percentile(decibels, [0, 5, 50])
    name = next(name for name, one in COMPARED.items() if one is effects)
    say(
        f"{name:24} signal to difference {worst:6.1f} dB at worst, {low:6.1f} at 5 %, {median:6.1f} median; "
        f"largest {largest:.1e}; {num_identical} of {len(recordings)} identical"
    )
    return {
        "worst_db": round(float(worst), 1),
        "low_db": round(float(low), 1),
        "median_db": round(float(median), 1),
        "largest": largest,
        "identical": num_identical,
        "num": len(recordings),
    }


def times_of(effects: EventEffects, pieces: list[Samples]) -> dict[str, float]:
    """CPU ms for 10 s."""
    ours = timed(lambda samples: processed(samples, effects, RATE), pieces)
    sox = timed(lambda samples: by_sox(samples, effects), pieces)
    net = sox - timed(lambda samples: by_sox(samples, EventEffects()), pieces)
    name = next(name for name, one in COMPARED.items() if one is effects)
    say(f"{name:24} {ours:6.2f} ms CPU for 10 s; sox {sox:6.1f} ({sox / ours:.1f} times), net {net:6.1f}")
    row = {"ours": ours, "sox": sox, "sox_net": net, "ratio": sox / ours, "net_ratio": net / ours}
    return {key: round(value, 2) for key, value in row.items()}


def other_times(pieces: list[Samples]) -> dict[str, float]:
    """CPU ms for 10 s of what sox has no part in."""
    short, long = (synthetic_room(0, rt60=rt60, direct_db=3, sample_rate=RATE) for rt60 in (0.4, 1.5))
    effects: dict[str, Callable[[Samples], Any]] = {
        "tilt": lambda samples: tilted(samples, -3.0, RATE),
        "pass band 100-8000 Hz": lambda samples: band_limited(samples, low_hz=100, high_hz=8000, sample_rate=RATE),
        "in a room of 0.4 s": lambda samples: reverberated(samples, short),
        "in a room of 1.5 s": lambda samples: reverberated(samples, long),
        "making a room of 0.4 s": lambda _: synthetic_room(0, rt60=0.4, direct_db=3, sample_rate=RATE),
        "making a room of 1.5 s": lambda _: synthetic_room(0, rt60=1.5, direct_db=3, sample_rate=RATE),
    }
    found = {name: round(timed(effect, pieces), 2) for name, effect in effects.items()}
    for name, milliseconds in found.items():
        say(f"{name:24} {milliseconds:6.2f} ms CPU" + ("" if name.startswith("making") else " for 10 s"))
    return found


def timed(effect: Callable[[Samples], Any], pieces: list[Samples]) -> float:
    """CPU ms of one, of the quickest of three rounds; what is compiled and cached at first is not counted."""
    effect(pieces[0])
    rounds = []
    for _ in range(3):
        before = cpu_seconds()
        for samples in pieces:
            effect(samples)
        rounds.append(cpu_seconds() - before)
    return 1000 * min(rounds) / len(pieces)


def cpu_seconds() -> float:
    """User and system time of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def say(text: str) -> None:
    """A line of the result."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
