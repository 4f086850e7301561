"""What the commands print: stdout is data, stderr is talk."""

import csv
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from curation.bank import BankReport
    from curation.caption import Estimate
    from curation.caption_run import CaptionReport
    from curation.export import ExportReport
    from curation.imports.report import ImportReport
    from curation.llm_phrases import AskReport
    from curation.simulate import SimulateReport
    from training.detect import Detection

talk = Console(stderr=True, soft_wrap=True)


def print_bank(report: "BankReport") -> None:
    """Clips by label, and what was not used."""
    table = Table(title="clips by label")
    for column in ("role", "label", "train", "valid", "test"):
        table.add_column(column, justify="left" if column in ("role", "label") else "right")
    for (role, label), splits in report.counts().items():
        table.add_row(role, escape(label), *(str(splits[name]) for name in ("train", "valid", "test")))
    Console().print(table)
    for note in report.notes:
        talk.print(note, markup=False)
    first = report.first_of_reason()
    for reason, count in report.rejects_by_reason().items():
        talk.print(f"{count} recordings not used: {reason} (the first: {first[reason]!r})", markup=False)
    if first:
        talk.print(f"all of them: {report.bank.root / 'rejects.parquet'}", markup=False)
    for kind, count in report.warnings_by_kind().items():
        talk.print(f"{count} recordings used with a warning: {kind}", markup=False)


def print_simulated(report: "SimulateReport", out: Path) -> None:
    """What was made, and what the user should know of it."""
    for name in report.missing_splits:
        talk.print(f"no {name} soundscapes: the bank has no foreground and background that go together there")
    if report.num_too_short:
        talk.print(f"{report.num_too_short} foreground clips are shorter than two fades and were not used")
    if report.num_scaled:
        talk.print(f"{report.num_scaled} soundscapes were scaled down so that they do not clip")
    if report.num_inaudible:
        talk.print(f"{report.num_inaudible} planned events were inaudible and left out")
    if report.num_masked:
        talk.print(f"{report.num_masked} planned events were masked by others and left out")
    splits = ", ".join(f"{count} {name}" for name, count in sorted(report.splits.items())) or "none"
    talk.print(f"{report.num_soundscapes} soundscapes in {out}; new: {splits}, with {report.num_events} events")


def print_exported(report: "ExportReport", out: Path) -> None:
    """What is there for others."""
    splits = ", ".join(f"{count} {name}" for name, count in report.splits.items())
    files = f"{report.num_files} files, {report.num_bytes / 1e6:.0f} MB"
    talk.print(f"{report.splits.total()} soundscapes ({splits}) in {out}: {files}", markup=False)
    if report.num_without_caption:
        talk.print(f"{report.num_without_caption} of them have no caption in the chosen sets")


def print_imported(report: "ImportReport", out: Path) -> None:
    """What was taken of a set, and what wasn't."""
    if not report.is_new:
        talk.print(f"{out} holds this import already", markup=False)
        return
    for note in report.notes:
        talk.print(note, markup=False)
    for reason, names in report.rejects_by_reason().items():
        first = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        talk.print(f"{len(names)} recordings not used: {reason}: {first}", markup=False)
    if report.rejects:
        talk.print(f"all of them: {out / 'rejects.parquet'}", markup=False)
    if report.num_beyond:
        talk.print(f"{report.num_beyond} events begin after the end of their recording and were left out")
    if report.num_copied:
        talk.print(f"{report.num_copied} recordings were copied, not linked: {report.why_copied}", markup=False)
    splits = ", ".join(f"{count} {name}" for name, count in sorted(report.splits.items()))
    talk.print(
        f"{report.num_soundscapes} soundscapes in {out}: {splits}; {report.num_events} events, "
        f"{report.num_captions} captions",
        markup=False,
    )


def print_asked(report: "AskReport") -> None:
    """What a language model was asked of labels."""
    tokens = f"{report.prompt_tokens} + {report.completion_tokens} tokens"
    talk.print(f"{report.num_answered} labels answered, {report.num_there} were there before, {tokens}")
    for reason, count in report.rejected.most_common():
        talk.print(f"{count} answers not used: {reason}", markup=False)
    for reason, count in report.unanswered.most_common():
        talk.print(f"{count} labels unanswered, asked again by the next run: {reason}", markup=False)


def print_captioned(report: "CaptionReport", *, asked: bool) -> None:
    """What was made, why answers were not taken, and the first few."""
    tokens = f", {report.prompt_tokens} + {report.completion_tokens} tokens" if asked else ""
    talk.print(f"{report.num_done} texts made, {report.num_reused} there before, in {report.folder}{tokens}")
    if report.spending:
        talk.print(report.spending)
    for reason, count in report.asked_again.most_common():
        talk.print(f"{count} asked again: {reason}", markup=False)
    for reason, count in report.fallbacks.most_common():
        talk.print(f"{count} answers replaced by a template: {reason}", markup=False)
    for example in report.examples[:3]:
        talk.print(f"  {example.text}", markup=False, highlight=False)


def print_estimate(found: "Estimate") -> None:
    """What a run would do and cost."""
    talk.print(f"{found.num_texts} texts to make, {found.num_reused} there")
    talk.print(f"about {found.prompt_tokens:,} tokens of questions and {found.completion_tokens:,} of answers")
    if found.cost is not None:
        talk.print(f"about ${found.cost:,.4f}; what has to be asked again comes on top")


def print_json(content: Any) -> None:
    """One JSON document."""
    sys.stdout.write(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def detection_row(file: Path, detection: "Detection", *, score: str) -> dict[str, Any]:
    """One detection, rounded; `score` is what its number is called: an unbiased one is no probability."""
    return {
        "file": str(file),
        "onset": round(detection.onset, 3),
        "offset": round(detection.offset, 3),
        "phrase": detection.phrase,
        score: round(detection.probability, 4),
    }


def print_found(rows: list[dict[str, Any]], *, score: str, as_json: bool, as_csv: bool) -> None:
    """Detections as a table, JSON or CSV."""
    columns = ["file", "onset", "offset", "phrase", score]
    if as_json:
        print_json(rows)
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_formula_safe(row[column]) for column in columns] for row in rows)
    elif rows:
        table = Table(*columns)
        for row in rows:
            table.add_row(*(escape(str(row[column])) for column in columns))
        Console().print(table)
    else:
        talk.print("nothing found; a lower --threshold finds more")


def _formula_safe(value: Any) -> Any:
    """Text that a spreadsheet would run as a formula gets an apostrophe, which spreadsheets hide."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def print_metrics(title: str, values: Mapping[str, float | None]) -> None:
    """A table of metrics, with a line for those that have no value."""
    table = Table(title=escape(title))
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, value in values.items():
        table.add_row(name, "-" if value is None else f"{value:.4f}")
    Console().print(table)
