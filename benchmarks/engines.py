"""The fast engine against Scaper: the same plans, in one process, on real recordings.

    python benchmarks/engines.py                 a bank of the real-recordings benchmark, at 16 kHz
    python benchmarks/engines.py --bank BANK     a bank that is there already
    python benchmarks/engines.py --effects       each event at another pitch and of another duration

Prints the CPU time of each engine (user and system, child processes included), how far their int16
samples are apart, how well their labels agree, and how far the labels are from those that a slow
computation, which shares no code with the fast one, finds in each event's own signal; with --effects
also how long sox's events are beside those of mix. The last line is one JSON object. Exit code 1: a
soundscape agrees by less than 60 dB, Scaper takes less than ten times the CPU (with --effects: three),
a label is more than 10 ms off, or an event has another length, gain or SNR.
"""

import argparse
import itertools
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.signal

sys.path.insert(0, str(Path(__file__).parents[1]))

from curation.bank import Bank, build_bank
from curation.catalogue import Catalogue
from curation.config import Recipe, load_recipe
from curation.distributions import Quantity, Uniform
from curation.effects import EventEffects, processed, processed_length
from curation.mix import Mixer, event_pcm
from curation.plan import Plan, PlannedEvent, plan
from curation.rendered import Mixture, Rendered
from curation.runner import _worker_environment, available_cores
from curation.scaper_engine import ScaperMixer
from curation.scaper_engine import scaper as scaper_package
from manifests.schema import Event

BENCHMARK = Path(__file__).parents[2] / "shared" / "data" / "benchmark.csv"
LEAST_DB, LEAST_RATIO, LARGEST_MS = 60.0, 10.0, 10.0
LEAST_RATIO_WITH_EFFECTS = 3.0
LARGEST_LEVEL_DB, LARGEST_LENGTH = 0.05, 1  # of a gain or an SNR; samples
EFFECTS: dict[str, Quantity] = {
    "pitch_semitones": Uniform(low=-3.0, high=3.0),
    "time_stretch": Uniform(low=0.8, high=1.25),
}
HOP, HALF_WINDOW, MAX_GAP, MIN_BLIP = 0.005, 0.025, 0.2, 0.04  # seconds, as docs/data.md says

Floats = npt.NDArray[np.float64]
Spans = list[tuple[float, float]]  # seconds
scaper_core = scaper_package.core


def main() -> None:
    """Parse, render, print."""
    if "MALLOC_TRIM_THRESHOLD_" not in os.environ:
        # glibc reads it when a process starts: start over, as a worker of `flam-cli simulate` does
        with _worker_environment():
            os.execv(sys.executable, [sys.executable, *sys.argv])
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bank", type=Path, help="a finished bank; made of --data if left out")
    parser.add_argument("--data", type=Path, default=BENCHMARK, help="what to make a bank of")
    parser.add_argument("--recipe", default="finelap-100k")
    parser.add_argument("--num", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--effects", action="store_true", help="pitch -3 to 3 semitones, durations times 0.8 to 1.25")
    options = parser.parse_args()
    if options.num < 1:
        parser.error("--num must be at least 1")
    with tempfile.TemporaryDirectory() as folder:
        bank = open_bank(options.bank, options.data, Path(folder))
        recipe = load_recipe(options.recipe)
        if options.effects:
            recipe = recipe.model_copy(update=EFFECTS)
        result = compare(bank, recipe, num=options.num, seed=options.seed)
    failures = list(missed(result))
    for failure in failures:
        say(f"FAILED: {failure}")
    say(json.dumps({**result, "passed": not failures}))
    sys.exit(1 if failures else 0)


def missed(result: dict[str, Any]) -> Iterator[str]:
    """What is not as good as it has to be."""
    if result["worst_db"] < LEAST_DB:
        yield f"a soundscape agrees by {result['worst_db']} dB only, not {LEAST_DB:g}"
    least_ratio = LEAST_RATIO_WITH_EFFECTS if "sox_lengths_off" in result else LEAST_RATIO
    if result["ratio"] < least_ratio:
        yield f"Scaper takes {result['ratio']} times the CPU of mix, not {least_ratio:g}"
    for level in ("gain", "snr"):
        if result[f"largest_{level}_db"] > LARGEST_LEVEL_DB:
            yield f"an event's {level} is {result[f'largest_{level}_db']:.2g} dB off"
    if result.get("largest_length_off", 0) > LARGEST_LENGTH:
        yield f"an event is {result['largest_length_off']} samples longer or shorter than sox's"
    for other in ("scaper", "slow"):
        apart_ms, differing = result[f"{other}_largest_edge_ms"], result[f"{other}_events_differing"]
        if differing or apart_ms > LARGEST_MS:
            yield f"labels against {other}: {differing} events differ, edges are up to {apart_ms} ms apart"


def open_bank(there: Path | None, data: Path, folder: Path) -> Bank:
    """The bank given, or a new one."""
    if there is not None:
        return Bank.open(there)
    if not data.is_file():
        sys.exit(f"no recordings at {data}; give --data or --bank")
    say(f"making a bank of {data} ...")
    report = build_bank([str(data)], folder / "bank", sample_rate=16000, workers=available_cores())
    return report.bank


def compare(bank: Bank, recipe: Recipe, *, num: int, seed: int) -> dict[str, Any]:
    """Render the same plans by each engine and measure."""
    catalogue = Catalogue(bank.clips, sample_rate=bank.sample_rate, recipe=recipe)
    plans = [plan(index, catalogue=catalogue, recipe=recipe, seed=seed) for index in range(num)]
    copies = sum(len(made.events) for made in plans) / num
    seconds = sum(made.num_samples for made in plans) / num / bank.sample_rate
    say(f"{num} soundscapes of {seconds:g} s, {bank.sample_rate} Hz, {copies:.1f} events")
    fast = Mixer(bank, recipe).mix
    mixed, cold_ms = timed(fast, plans)
    _, warm_ms = timed(fast, plans)
    scaper = MeasuringScaper(bank, recipe)
    by_scaper, scaper_ms = timed(scaper.mix, plans)
    say(f"mix     {cold_ms:7.2f} ms CPU a soundscape, labels included")
    say(f"mix     {warm_ms:7.2f} ms when it has measured these clips before")
    say(f"scaper  {scaper_ms:7.2f} ms: {scaper_ms / cold_ms:.1f} times as much")
    return {
        "num": num,
        "mix_cpu_ms": round(cold_ms, 3),
        "mix_warm_cpu_ms": round(warm_ms, 3),
        "scaper_cpu_ms": round(scaper_ms, 2),
        "ratio": round(scaper_ms / cold_ms, 2),
        **audio_agreement(mixed, by_scaper, plans),
        **label_agreement(mixed, by_scaper),
        **slow_agreement(mixed, plans, bank, recipe),
        **(length_agreement(scaper.lengths_off) if any(event_effects(plans)) else {}),
    }


def event_effects(plans: list[Plan]) -> Iterator[bool]:
    """Of each event whether anything is done to it."""
    return (event.effects != EventEffects() for made in plans for event in made.events)


class MeasuringScaper(ScaperMixer):
    """Scaper, and by how many samples each of its events is longer than it is planned."""

    def __init__(self, bank: Bank, recipe: Recipe) -> None:
        super().__init__(bank, recipe)
        self.lengths_off: dict[tuple[int, PlannedEvent], int] = {}

    def _render(self, plan: Plan) -> Rendered:
        lengths: list[int] = []
        measure = scaper_core.get_integrated_lufs

        def measured(samples: Floats, rate: int) -> float:
            lengths.append(len(samples))
            return float(measure(samples, rate))

        scaper_core.get_integrated_lufs = measured
        try:
            rendered = super()._render(plan)
        finally:
            scaper_core.get_integrated_lufs = measure
        for event, length in zip(plan.events, lengths[1:], strict=True):  # the first is the background's
            planned = processed_length(event.source_samples, event.effects)
            self.lengths_off[plan.index, event] = length - planned
        return rendered


def length_agreement(lengths_off: dict[tuple[int, PlannedEvent], int]) -> dict[str, Any]:
    """Over all planned events: how many are not as long as by sox."""
    off = [abs(length) for length in lengths_off.values()]
    num_off, largest = sum(length > 0 for length in off), max(off, default=0)
    say(f"lengths against sox's: {num_off} of {len(off)} events differ, by at most {largest} samples")
    return {"sox_lengths_off": num_off, "largest_length_off": largest}


def timed(render: Callable[[Plan], Mixture], plans: list[Plan]) -> tuple[list[Mixture], float]:
    """The soundscapes, and CPU ms for each; the first one's imports and caches are not counted."""
    render(plans[0]).samples()
    before, started = cpu_seconds(), time.perf_counter()
    mixtures = []
    for made in plans:
        mixtures.append(render(made))
        mixtures[-1].samples()
    cpu, wall = cpu_seconds() - before, time.perf_counter() - started
    say(f"    {len(plans)} rendered in {wall:.1f} s")
    return mixtures, 1000 * cpu / len(plans)


def cpu_seconds() -> float:
    """User and system time so far, of child processes too; finer than os.times, which counts in 10 ms."""
    return sum(user_and_system())


def user_and_system() -> tuple[float, float]:
    """Both apart, in seconds. The kernel samples how they divide; together they are exact."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime for one in used), sum(one.ru_stime for one in used)


def audio_agreement(mixed: list[Mixture], by_scaper: list[Mixture], plans: list[Plan]) -> dict[str, Any]:
    """How far the samples are apart, in dB of the signal over the difference."""
    decibels, largest = [], []
    for one, two in zip(mixed, by_scaper, strict=True):
        samples = one.samples().astype(np.float64)
        difference = samples - two.samples()
        power = np.square(samples).sum()
        # as if one sample differed by one: an equal pair has no finite value
        decibels.append(10 * np.log10(power / max(np.square(difference).sum(), 1.0)))
        largest.append(int(np.abs(difference).max()))
    identical = sum(value == 0 for value in largest)
    low, median = np.percentile(decibels, [0, 50])
    say(f"{identical} of {len(plans)} are identical; difference at most {max(largest)} of 32768")
    say(f"signal to difference: {low:.1f} dB at worst, {median:.1f} dB median (equal: as one LSB)")
    for place in np.argsort(decibels, kind="stable")[:3]:
        if not largest[place]:
            break
        one, two = mixed[place], by_scaper[place]
        differing = int((one.samples() != two.samples()).sum())
        say(
            f"    soundscape {plans[place].index}: {decibels[place]:.1f} dB, {differing} samples "
            f"differ by at most {largest[place]}; mix gain {one.mix_gain_db:.3f} and "
            f"{two.mix_gain_db:.3f} dB, {len(one.events)} and {len(two.events)} events"
        )
    return {
        "identical": identical,
        "worst_db": round(float(low), 1),
        "median_db": round(float(median), 1),
        "largest_lsb": max(largest),
    }


def label_agreement(mixed: list[Mixture], by_scaper: list[Mixture]) -> dict[str, Any]:
    """Over all events: the largest difference of an activity's edge and of an SNR."""
    edges, snrs, gains = [0.0], [0.0], [0.0]
    num_events = num_differing = 0
    for one, two in zip(mixed, by_scaper, strict=True):
        left, right = by_place(one), by_place(two)
        num_events += len(left)
        num_differing += len(left.keys() ^ right.keys())  # one engine left it out
        for place in left.keys() & right.keys():
            snrs.append(abs((left[place].snr_db or 0.0) - (right[place].snr_db or 0.0)))
            gains.append(abs((left[place].gain_db or 0.0) - (right[place].gain_db or 0.0)))
            apart = largest_difference(spans_of(left[place]), spans_of(right[place]))
            num_differing += apart is None
            edges.append(apart or 0.0)
    edge_ms = round(1000 * max(edges), 3)
    say(
        f"labels against scaper's: {num_events} events, {num_differing} with other stretches, edges within {edge_ms} ms"
    )
    say(f"        measured SNR within {max(snrs):.2g} dB, gain within {max(gains):.2g} dB")
    return {
        "events": num_events,
        "scaper_events_differing": num_differing,
        "scaper_largest_edge_ms": edge_ms,
        "largest_snr_db": max(snrs),
        "largest_gain_db": max(gains),
    }


def slow_agreement(mixed: list[Mixture], plans: list[Plan], bank: Bank, recipe: Recipe) -> dict[str, Any]:
    """Over all events of the fast engine: its labels against the slow computation on the event's own signal."""
    edges = [0.0]
    num_events = num_stretches = num_differing = 0
    for made, mixture in zip(plans, mixed, strict=True):
        planned = {(bank.clips[event.clip].source_id, event.start): event for event in made.events}
        for event in mixture.events:
            source = planned[str(event.source_id), event.start or 0]
            pcm = event_pcm(source, bank).astype(np.float32) / np.float32(32768)
            samples = processed(pcm, source.effects, bank.sample_rate).astype(np.float64)
            heard = own_signal(samples, (event.gain_db or 0.0) + mixture.mix_gain_db, fade=event.fade or 0.0, bank=bank)
            expected = slow_stretches(heard, bank.sample_rate, recipe.activity_dbfs)
            found = [(onset - event.onset, offset - event.onset) for onset, offset in spans_of(event)]
            apart = largest_difference(found, expected)
            num_events += 1
            num_stretches += len(found)
            num_differing += apart is None
            edges.append(apart or 0.0)
    edge_ms = round(1000 * max(edges), 3)
    say(
        f"labels against the slow computation: {num_stretches} stretches of {num_events} events, "
        f"{num_differing} with other stretches, edges within {edge_ms} ms"
    )
    return {
        "slow_events": num_events,
        "slow_stretches": num_stretches,
        "slow_events_differing": num_differing,
        "slow_largest_edge_ms": edge_ms,
    }


def by_place(mixture: Mixture) -> dict[tuple[str | None, int | None], Event]:
    """Events by source and start: copies of a source never begin together."""
    return {(event.source_id, event.start): event for event in mixture.events}


def spans_of(event: Event) -> Spans:
    """Its activity."""
    return [(stretch.onset, stretch.offset) for stretch in event.activity]


def largest_difference(one: Spans, two: Spans) -> float | None:
    """Seconds between edges, or None if the spans are not as many."""
    if len(one) != len(two):
        return None
    pairs = zip(itertools.chain(*one), itertools.chain(*two), strict=True)
    return max((abs(a - b) for a, b in pairs), default=0.0)


def own_signal(samples: Floats, gain_db: float, *, fade: float, bank: Bank) -> Floats:
    """An event as it is in the mixture: amplified, with a quarter of a sine at both ends."""
    heard = samples * 10 ** (gain_db / 20)
    num_fade = round(fade * bank.sample_rate)
    for place in range(num_fade):
        factor = np.sin(np.pi / 2 * place / max(num_fade - 1, 1))
        heard[place] *= factor
        heard[len(heard) - 1 - place] *= factor
    return heard


def slow_stretches(samples: Floats, rate: int, threshold_dbfs: float) -> Spans:
    """The definition word for word: the whole signal A-weighted at once, then every window in a loop."""
    padded = np.concatenate([np.zeros(rate), samples, np.zeros(rate)])
    frequencies = np.fft.rfftfreq(len(padded), 1 / rate)
    # the analogue filter of IEC 61672-1
    poles = -2 * np.pi * np.array([20.598997, 20.598997, 107.65265, 737.86223, 12194.217, 12194.217])
    _, response = scipy.signal.freqs_zpk([0] * 4, poles, 1.0, 2 * np.pi * np.append(frequencies, 1000.0))
    gain = np.abs(response[:-1]) / np.abs(response[-1])
    weighted = np.fft.irfft(np.fft.rfft(padded) * gain, len(padded))[rate : rate + len(samples)]
    spans: list[list[float]] = []
    for place in range(int(np.ceil(len(samples) / rate / HOP - 1e-6))):
        centre = (place + 0.5) * HOP
        first, last = round((centre - HALF_WINDOW) * rate), round((centre + HALF_WINDOW) * rate)
        power = float(np.sum(weighted[max(0, first) : last] ** 2)) / (2 * HALF_WINDOW * rate)
        if 10 * np.log10(power + 1e-20) <= threshold_dbfs:
            continue
        if spans and place * HOP - spans[-1][1] < MAX_GAP - 1e-9:
            spans[-1][1] = (place + 1) * HOP
        else:
            spans.append([place * HOP, (place + 1) * HOP])
    long = [span for span in spans if span[1] - span[0] > MIN_BLIP - 1e-9]
    if not long and spans:
        long = [max(spans, key=lambda span: span[1] - span[0])]
    return [(onset, min(offset, len(samples) / rate)) for onset, offset in long]


def say(text: str) -> None:
    """A line of the result."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
