"""The fast engine against Scaper: the same plans, in one process, on real recordings.

    python benchmarks/engines.py                 a bank of the real-recordings benchmark, at 16 kHz
    python benchmarks/engines.py --bank BANK     a bank that is there already

Prints the CPU time of each engine (user and system, child processes included), how far their int16
samples are apart, and how well their labels agree. The last line is one JSON object.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from curation.bank import Bank, build_bank
from curation.config import load_recipe
from curation.mix import Mixer, Mixture
from curation.plan import Catalogue, Plan, plan
from curation.runner import available_cores
from curation.scaper_engine import ScaperMixer

BENCHMARK = Path(__file__).parents[2] / "shared" / "data" / "benchmark.csv"


def main() -> None:
    """Parse, render, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bank", type=Path, help="a finished bank; made of --data if left out")
    parser.add_argument("--data", type=Path, default=BENCHMARK, help="what to make a bank of")
    parser.add_argument("--recipe", default="finelap-100k")
    parser.add_argument("--num", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bank = open_bank(options.bank, options.data, Path(folder))
        result = compare(bank, recipe_name=options.recipe, num=options.num, seed=options.seed)
    say(json.dumps(result))


def open_bank(there: Path | None, data: Path, folder: Path) -> Bank:
    """The bank given, or a new one."""
    if there is not None:
        return Bank.open(there)
    if not data.is_file():
        sys.exit(f"no recordings at {data}; give --data or --bank")
    say(f"making a bank of {data} ...")
    report = build_bank([str(data)], folder / "bank", sample_rate=16000, workers=available_cores())
    return report.bank


def compare(bank: Bank, *, recipe_name: str, num: int, seed: int) -> dict[str, Any]:
    """Render the same plans by each engine and measure."""
    recipe = load_recipe(recipe_name)
    catalogue = Catalogue(bank.clips, sample_rate=bank.sample_rate, recipe=recipe)
    plans = [plan(index, catalogue=catalogue, recipe=recipe, seed=seed) for index in range(num)]
    copies = sum(len(made.events) for made in plans) / num
    say(f"{num} soundscapes of {recipe.duration:g} s, {bank.sample_rate} Hz, {copies:.1f} events")
    fast = Mixer(bank, recipe).mix
    mixed, cold_ms = timed(fast, plans)
    _, warm_ms = timed(fast, plans)
    by_scaper, scaper_ms = timed(ScaperMixer(bank, recipe).mix, plans)
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
    }


def timed(render: Callable[[Plan], Mixture], plans: list[Plan]) -> tuple[list[Mixture], float]:
    """The soundscapes, and CPU ms for each; the first one's imports and caches are not counted."""
    render(plans[0])
    before, started = sum(os.times()[:4]), time.perf_counter()
    mixtures = [render(made) for made in plans]
    cpu, wall = sum(os.times()[:4]) - before, time.perf_counter() - started
    say(f"    {len(plans)} rendered in {wall:.1f} s")
    return mixtures, 1000 * cpu / len(plans)


def audio_agreement(mixed: list[Mixture], by_scaper: list[Mixture], plans: list[Plan]) -> dict[str, Any]:
    """How far the samples are apart, in dB of the signal over the difference."""
    decibels, largest = [], []
    for one, two in zip(mixed, by_scaper, strict=True):
        difference = one.samples.astype(np.float64) - two.samples
        power = np.square(one.samples.astype(np.float64)).sum()
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
        differing = int((one.samples != two.samples).sum())
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
    edge = snr_db = 0.0
    num_events = num_differing = 0
    for one, two in zip(mixed, by_scaper, strict=True):
        num_differing += abs(len(one.events) - len(two.events))
        for left, right in zip(one.events, two.events, strict=False):
            num_events += 1
            snr_db = max(snr_db, abs((left.snr_db or 0.0) - (right.snr_db or 0.0)))
            if len(left.activity) != len(right.activity):
                num_differing += 1
                continue
            for a, b in zip(left.activity, right.activity, strict=True):
                edge = max(edge, abs(a.onset - b.onset), abs(a.offset - b.offset))
    say(f"labels: {num_events} events, {num_differing} with other stretches, edges {edge:g} s")
    say(f"        measured SNR within {snr_db:.2g} dB")
    return {
        "events": num_events,
        "events_differing": num_differing,
        "largest_edge_seconds": edge,
        "largest_snr_db": snr_db,
    }


def say(text: str) -> None:
    """A line of the result."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
