"""How well the checks of captions tell right from wrong: precision and recall on labelled captions, CPU per caption.

    python benchmarks/caption_checks.py             both halves of benchmarks/captions
    python benchmarks/caption_checks.py --errors    the tuning half alone, with each mistake

A category of wrong captions is found if one of the checks that stand for it fails; it is counted as found wrongly if
one of these fails on a caption that is not labelled with it. The last line is one JSON object.
"""

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from curation.checks import Checker, Limits, failed
from curation.phrases import phrases_of
from manifests.schema import Background, Event, Phrase, Soundscape, Stretch

TERSE = Limits(fewest_words=1)  # of captions that were asked for as a list of a few words
CAPTIONS = Path(__file__).with_name("captions")
PROMPTS = Path(__file__).parents[1] / "curation" / "prompts"
STAND_FOR = {  # category -> checks
    "missing": {"complete"},
    "invented": {"nothing_invented"},
    "order": {"order"},
    "count": {"counts"},
    "times": {"no_times"},
    "length": {"length"},
    "language": {"english"},
    "refusal, chatter": {"no_chatter"},
    "markup": {"plain", "one_line"},
    "leak": {"no_echo"},
}
# Such captions say nothing about the sounds or say it in no form that can be read: what else they fail is not counted.
UNREADABLE = {"language", "refusal", "chatter", "leak", "markup"}


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--errors", action="store_true", help="print each mistake on the tuning half; leave the other")
    options = parser.parse_args()
    halves = ["tuning"] if options.errors else ["tuning", "frozen"]
    results = {}
    for half in halves:
        rows = [json.loads(line) for line in (CAPTIONS / f"{half}.jsonl").read_text("utf-8").splitlines()]
        results[half] = measured(rows, errors=options.errors)
        show(half, results[half])
    say(json.dumps(results))


def measured(rows: list[dict[str, Any]], *, errors: bool = False) -> dict[str, Any]:
    """Scores of each category, and shares of all captions."""
    checker = Checker(phrases(rows))
    prompt = "\n".join(path.read_text("utf-8") for path in sorted(PROMPTS.iterdir()))
    soundscapes = [soundscape(row) for row in rows]
    for row, scene in zip(rows, soundscapes, strict=True):  # once before it is timed, as in a run of 100,000
        checker.check(row["caption"], scene, prompt=prompt)
    started = time.process_time()
    answers = [
        checker.check(row["caption"], scene, prompt=prompt, limits=TERSE if row["style"] == "terse" else Limits())
        for row, scene in zip(rows, soundscapes, strict=True)
    ]
    cpu_ms = (time.process_time() - started) / len(rows) * 1000
    counts: dict[str, Counter[str]] = {category: Counter() for category in STAND_FOR}
    for row, answer in zip(rows, answers, strict=True):
        found, wrong = set(failed(answer)), set(row["wrong"])
        for category, checks in STAND_FOR.items():
            is_wrong, is_found = bool(wrong & set(category.split(", "))), bool(found & checks)
            if is_found and not is_wrong and wrong & UNREADABLE:
                continue
            kind = {(True, True): "tp", (False, True): "fp", (True, False): "fn"}.get((is_wrong, is_found))
            if kind:
                counts[category][kind] += 1
            if errors and kind in ("fp", "fn"):
                said = [result.problem for result in answer if result.name in checks and not result.passed]
                say(f"{kind} {category}: {row['id']} {row['wrong']} {row['caption']!r} {said}")
    right = [not failed(answer) for row, answer in zip(rows, answers, strict=True) if not row["wrong"]]
    bad = [bool(failed(answer)) for row, answer in zip(rows, answers, strict=True) if row["wrong"]]
    return {
        "categories": {category: scores(count) for category, count in counts.items()},
        "right_passed": round(sum(right) / len(right), 3),
        "wrong_failed": round(sum(bad) / len(bad), 3),
        "cpu_ms": round(cpu_ms, 3),
    }


def scores(count: Counter[str]) -> dict[str, float | None]:
    """Precision and recall; None where there is nothing to divide by."""
    tp, fp, fn = (count[kind] for kind in ("tp", "fp", "fn"))
    return {
        "tp": tp,
        "fp": fp,
        "fn": fn,
        "precision": round(tp / (tp + fp), 3) if tp + fp else None,
        "recall": round(tp / (tp + fn), 3) if tp + fn else None,
    }


def show(half: str, result: dict[str, Any]) -> None:
    """A table."""
    say(f"{half:18} precision  recall   tp  fp  fn")
    for category, row in result["categories"].items():
        shares = [f"{value:9.3f}" if value is not None else "        -" for value in (row["precision"], row["recall"])]
        say(f"{category:18} {' '.join(shares)} {row['tp']:4} {row['fp']:3} {row['fn']:3}")
    say(f"right captions that pass all checks: {result['right_passed']:.3f}")
    say(f"wrong captions that fail a check:    {result['wrong_failed']:.3f}")
    say(f"CPU per caption: {result['cpu_ms']:.3f} ms\n")


def phrases(rows: list[dict[str, Any]]) -> list[Phrase]:
    """The phrase table of a dataset with these labels."""
    sounds = [sound for row in rows for sound in (*row["events"], *([row["background"]] if row["background"] else []))]
    return phrases_of({(sound["label"], sound["cluster"]) for sound in sounds})


def soundscape(row: dict[str, Any]) -> Soundscape:
    """The soundscape of a labelled caption, as far as it is known."""
    behind = row["background"]
    events = [_event(sound) for sound in row["events"]]
    return Soundscape(
        soundscape_id=row["id"],
        split="test",
        audio_path=f"audio/{row['id']}.flac",
        duration=10.0,
        sample_rate=32000,
        num_samples=320000,
        annotation="closed",
        events=events,
        background=_background(behind) if behind else None,
        room=None,
        microphone=None,
        licences=[],
        seed=None,
        recipe=None,
        engine=None,
        mix_gain_db=None,
        num_inaudible=None,
        num_masked=None,
    )


def _event(sound: dict[str, Any]) -> Event:
    return Event(
        label=sound["label"],
        cluster=sound["cluster"],
        contains=[],
        onset=sound["spans"][0][0],
        offset=sound["spans"][-1][1],
        activity=[Stretch(onset=on, offset=off, audible_db=sound["audible_db"]) for on, off in sound["spans"]],
        start=None,
        num_samples=None,
        source_id=None,
        source_start=None,
        origin=None,
        origin_start=None,
        target_snr_db=None,
        snr_db=sound["snr_db"],
        gain_db=None,
        pitch_semitones=None,
        time_stretch=None,
        tilt_db=None,
        fade=None,
        licence=None,
        author=None,
    )


def _background(sound: dict[str, Any]) -> Background:
    return Background(
        label=sound["label"],
        cluster=sound["cluster"],
        contains=[],
        source_id="",
        source_start=0,
        origin="",
        origin_start=0,
        target_lufs=-40.0,
        lufs=-40.0,
        gain_db=0.0,
        licence="",
        author="",
    )


def say(text: str) -> None:
    """A line of the result."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
