"""How much CPU soundscapes cost, beside Scaper: the same plans, on real recordings, in one run.

    python benchmarks/simulate.py                        a bank of the real-recordings benchmark, at 32 kHz
    python benchmarks/simulate.py --scale 100000         also makes so many virtual ones, and a tenth of it as shards

Scaper makes each planned soundscape as its users do: from the original recordings, to a WAV and a JAMS file. Beside it:
`memory`, the mixer alone, from plans to samples and labels; and the whole stage of `flam-cli simulate` in one process
(plan, mix, labels, Parquet, audio), `virtual`, `shards`, `wav` and `flac`. CPU is user and system time; what a process
pays once (imports, opening the bank) is taken out by making two numbers of soundscapes; of several rounds the median.
Ratios are Scaper's CPU over ours. The last line is one JSON object; exit code 1 if a ratio is less than it has to be.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import engines
import scale

from curation.bank import Bank, build_bank
from curation.catalogue import Catalogue
from curation.config import Recipe, load_recipe
from curation.mix import Mixer
from curation.plan import Plan, plan
from curation.runner import _worker_environment
from curation.simulate import BATCH_SECONDS, simulate
from curation.soundscapes import AudioFormat

say, cpu_seconds, user_and_system = engines.say, engines.cpu_seconds, engines.user_and_system
LEAST = {"memory": 150.0, "virtual": 100.0, "shards": 50.0, "flac": 12.0}
NUM_STAGE: dict[AudioFormat, tuple[int, int]] = {
    "none": (1000, 6000),
    "shards": (200, 1400),
    "wav": (200, 800),
    "flac": (200, 800),
}
ROUNDS = 5
Source = tuple[str, str, float]
AT_ONCE = round(BATCH_SECONDS / 10)  # soundscapes of 10 s whose labels the stage measures before it mixes them


def main() -> None:
    """Measure and print."""
    if "MALLOC_TRIM_THRESHOLD_" not in os.environ:
        # glibc reads it when a process starts: start over, as a worker of `flam-cli simulate` does
        with _worker_environment():
            os.execv(sys.executable, [sys.executable, *sys.argv])
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=engines.BENCHMARK, help="a CSV file of recordings")
    parser.add_argument("--rate", type=int, default=32_000)
    parser.add_argument("--recipe", default="finelap-100k")
    parser.add_argument("--num", type=int, default=200, help="soundscapes for Scaper and for `memory`")
    parser.add_argument("--scale", type=int, default=0, help="virtual soundscapes of the large run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="flam-benchmark-") as folder:
        place = Path(folder)
        say(f"making a bank of {options.data}, {options.rate} Hz ...")
        before = cpu_seconds()
        bank = build_bank([str(options.data)], place / "bank", sample_rate=options.rate, workers=1).bank
        seconds = sum(clip.duration for clip in bank.clips)
        bank_ms = 1000 * (cpu_seconds() - before) / seconds
        say(f"bank: {bank_ms:.2f} ms CPU for each of {seconds:.0f} source seconds, paid once")
        result: dict[str, Any] = {"bank_cpu_ms_per_second": round(bank_ms, 3)}
        result |= compare(bank, options.data.parent, load_recipe(options.recipe), num=options.num, place=place)
        if options.scale:
            result |= scale.large_runs(bank, load_recipe(options.recipe), num=options.scale, place=place)
    failures = [f"{name}: {result[name]} times less CPU than Scaper, not {least:g}"
                for name, least in LEAST.items() if result[name] < least]  # fmt: skip
    for failure in failures:
        say(f"FAILED: {failure}")
    say(json.dumps({**result, "passed": not failures}))
    sys.exit(1 if failures else 0)


def compare(bank: Bank, data: Path, recipe: Recipe, *, num: int, place: Path) -> dict[str, Any]:
    """CPU ms for a soundscape of Scaper, of the mixer and of the stage, and the ratios."""
    catalogue = Catalogue(bank.clips, sample_rate=bank.sample_rate, recipe=recipe)
    plans = [plan(index, catalogue=catalogue, recipe=recipe, seed=0) for index in range(num)]
    events = sum(len(made.events) for made in plans) / num
    say(f"{num} soundscapes of 10 s, {bank.sample_rate} Hz, {events:.1f} events; recipe {recipe.name}")
    scaper_ms = with_scaper(plans, bank, data, place / "scaper")
    say(f"scaper   {scaper_ms:8.3f} ms CPU a soundscape; {sox_backend()}")
    milliseconds = {"memory": in_memory(plans, bank, recipe)}
    for audio_format, counts in NUM_STAGE.items():
        name = "virtual" if audio_format == "none" else audio_format
        milliseconds[name] = of_stage(bank, recipe, audio_format, counts, place / "data")
    for name, cpu_ms in milliseconds.items():
        say(f"{name:8} {cpu_ms:8.3f} ms: {scaper_ms / cpu_ms:.0f} times less")
    return {
        "scaper_cpu_ms": round(scaper_ms, 2),
        "cpu_ms": {name: round(cpu_ms, 4) for name, cpu_ms in milliseconds.items()},
        "sox": sox_backend(),
        **{name: round(scaper_ms / cpu_ms, 1) for name, cpu_ms in milliseconds.items()},
    }


def with_scaper(plans: list[Plan], bank: Bank, data: Path, folder: Path) -> float:
    """CPU ms for a soundscape by Scaper, specified and generated, from the original files."""
    from curation.scaper_engine import _contained, scaper

    for role in ("foreground", "background"):
        for label in {clip.label for clip in bank.clips if clip.role == role}:
            (folder / role / label).mkdir(parents=True)
    total = 0.0
    for count, made in enumerate(plans):
        sources = {clip: linked(clip, bank, data, folder) for clip in clips_of(made)}
        before = cpu_seconds()
        mixer = specified(made, bank, sources, folder, scaper.Scaper)
        with _contained():
            mixer.generate(
                str(folder / "out.wav"),
                str(folder / "out.jams"),
                fix_clipping=True,
                disable_instantiation_warnings=True,
            )
        if count:  # the first one's imports are not counted
            total += cpu_seconds() - before
    shutil.rmtree(folder)
    return 1000 * total / (len(plans) - 1)


def clips_of(made: Plan) -> set[int]:
    """The bank's clips that a plan uses."""
    return {made.background.clip, *(event.clip for event in made.events)}


def linked(index: int, bank: Bank, data: Path, folder: Path) -> Source:
    """A clip's label, a link to its original recording in Scaper's folders by label, and the second it begins at."""
    clip = bank.clips[index]
    link = folder / clip.role / clip.label / Path(clip.origin).name
    if not link.exists():
        link.symlink_to((data / clip.origin).resolve())
    return clip.label, str(link), clip.origin_start / clip.origin_sample_rate


def specified(made: Plan, bank: Bank, sources: dict[int, Source], folder: Path, kind: Callable[..., Any]) -> Any:
    """A Scaper for the plan."""
    rate = bank.sample_rate
    mixer = kind(made.num_samples / rate, str(folder / "foreground"), str(folder / "background"))
    mixer.sr, mixer.ref_db, mixer.n_channels = rate, made.background.lufs, 1
    label, path, begin = sources[made.background.clip]
    is_looped = bank.clips[made.background.clip].num_samples < made.num_samples
    start = 0.0 if is_looped else begin + made.background.source_start / rate
    mixer.add_background(("const", label), ("const", path), ("const", start))
    for event in made.events:
        label, path, begin = sources[event.clip]
        mixer.add_event(
            label=("const", label),
            source_file=("const", path),
            source_time=("const", begin + event.source_start / rate),
            event_time=("const", event.start / rate),
            event_duration=("const", event.source_samples / rate),
            snr=("const", event.snr_db),
            pitch_shift=None,
            time_stretch=None,
        )
    return mixer


def sox_backend() -> str:
    """What Scaper calls sox through."""
    import soxbindings

    return "libsox in process, by cysox" if "cysox" in Path(soxbindings.__file__).read_text("utf-8") else "soxbindings"


def in_memory(plans: list[Plan], bank: Bank, recipe: Recipe) -> float:
    """CPU ms of the mixer for a soundscape; of several passes the median, each over all plans."""
    mixer = Mixer(bank, recipe)
    found = []
    for _ in range(6):
        before = cpu_seconds()
        for first in range(0, len(plans), AT_ONCE):
            for mixture in [mixer.mix(made) for made in plans[first : first + AT_ONCE]]:
                mixture.samples()
        found.append(1000 * (cpu_seconds() - before) / len(plans))
    say(f"memory   {found[0]:8.3f} ms when every clip is met for the first time, loading the compiled code included")
    return sorted(found[1:])[2]


def of_stage(bank: Bank, recipe: Recipe, audio_format: AudioFormat, counts: tuple[int, int], out: Path) -> float:
    """CPU ms of the whole stage for one more soundscape."""

    def spent(num: int) -> tuple[float, float]:
        before = user_and_system()
        simulate(bank.root, out, recipe=recipe, num=num, audio_format=audio_format, workers=1)
        user, system = user_and_system()
        shutil.rmtree(out)
        return user - before[0], system - before[1]

    few, many = counts
    spent(many)  # warms up: memory that was never used before costs a virtual machine much more
    found = []
    for _ in range(ROUNDS):
        less, more = spent(few), spent(many)
        found.append([1000 * (b - a) / (many - few) for a, b in zip(less, more, strict=True)])
    found.sort(key=sum)
    user, system = found[ROUNDS // 2]
    say(f"{audio_format:8} {user:8.3f} ms in the program, {system:.3f} in the kernel; {sum(found[0]):.3f} to "
        f"{sum(found[-1]):.3f} in all")  # fmt: skip
    return user + system


if __name__ == "__main__":
    main()
