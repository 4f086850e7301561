"""The caption stage: a sentence for each soundscape, shard by shard, and the phrase table.

A caption shard is done when it holds every soundscape of its shard. What a model answers is first
appended to a journal beside the shard, so that no answer is paid for twice; the finished shard
takes the journal's place.
"""

import asyncio
import contextlib
import dataclasses
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from curation.checks import failed
from curation.llm import Llm, Server
from curation.llm_captions import LlmCaptioner, Made, Prompt
from curation.phrases import write_phrases
from curation.templates import template_caption
from manifests.errors import FlamError
from manifests.progress import progress
from manifests.schema import Caption, Check, Soundscape
from manifests.store import DatasetFolder, claim, locked, read_rows, read_table, write_rows

Via = Literal["template", "openai"]
STYLE = "caption"  # names the prompt file, too
_Make = Callable[[Sequence[Soundscape], Callable[[Made], None]], None]


@dataclass(kw_only=True, slots=True)
class CaptionReport:
    """What one run of the stage did."""

    name: str  # of the caption set
    folder: Path
    num_done: int = 0  # captions made by this run
    num_reused: int = 0  # captions that were there
    fallbacks: Counter[str] = field(default_factory=Counter)  # of this run, by reason
    prompt_tokens: int = 0  # spent by this run
    completion_tokens: int = 0
    examples: list[Caption] = field(default_factory=list)  # the first few of this run


def caption(  # noqa: PLR0913 - one parameter for each option of the command
    data: Path,
    *,
    via: Via = "template",
    name: str | None = None,
    model: str | None = None,
    base_url: str | None = None,
    concurrency: int = 8,
    seed: int = 0,
    limit: int | None = None,
    timeout: float = 60.0,
    max_retries: int = 4,
) -> CaptionReport:
    """Caption a dataset folder and write its phrase table; goes on where an earlier run stopped.

    Args:
        data: the dataset folder.
        via: "template" makes captions from rules, "openai" asks a server with OpenAI's protocol.
        name: of the caption set, a folder in DATA/captions; None: "template" or the model's name.
        model: which model to ask for.
        base_url: where the server is; OPENAI_BASE_URL or OpenAI if None.
        concurrency: calls at a time.
        seed: of the templates' choices.
        limit: caption only so many soundscapes, from the first.
        timeout: seconds that one attempt of a call may take.
        max_retries: attempts after the first when the server is busy or out of reach.
    """
    folder = DatasetFolder.open(data)
    server = _server(via, Server(model=model or "", base_url=base_url, timeout=timeout, max_retries=max_retries))
    if concurrency < 1 or (limit is not None and limit < 1):
        raise FlamError(f"concurrency ({concurrency}) and limit ({limit}) must be at least 1")
    target = data / "captions" / _set_name(name, server)
    report = CaptionReport(name=target.name, folder=target)
    with contextlib.ExitStack() as stack:
        make, prompt_hash = stack.enter_context(_maker(server, seed=seed, concurrency=concurrency))
        stack.enter_context(locked(target, "flam-cli caption"))
        _claim(
            folder,
            target,
            via=via,
            model=server.model if server else "",
            prompt_hash=prompt_hash,
            seed=seed,
        )
        write_phrases(data)
        total = sum(read_table(path, Soundscape).num_rows for path in folder.soundscape_shards())
        advance = stack.enter_context(progress("captions", total if limit is None else min(total, limit)))
        for path in folder.soundscape_shards():
            left = None if limit is None else limit - report.num_done - report.num_reused
            if left is None or left > 0:
                _Shard(path, target / path.name, report, advance).caption(make, left)
    return report


class _Shard:
    """The captions of one shard of soundscapes."""

    def __init__(self, path: Path, target: Path, report: CaptionReport, advance: Callable[..., None]) -> None:
        self.path, self.target, self.report, self.advance = path, target, report, advance
        self.journal = target.with_name(f".{target.stem}.jsonl")

    def caption(self, make: _Make, limit: int | None) -> None:
        """Make what is missing among the first `limit` soundscapes, and write the shard."""
        keys = [str(key) for key in read_table(self.path, Soundscape)["soundscape_id"].to_pylist()]
        stored = self._stored()
        rows = {**self._journaled(), **stored}
        missing = {key for key in keys[:limit] if key not in rows}
        reused = len(keys[:limit]) - len(missing)
        self.report.num_reused += reused
        self.advance(reused)
        if missing:
            soundscapes = [row for row in read_rows(self.path, Soundscape) if row.soundscape_id in missing]
            with _appending(self.journal) as append:
                make(soundscapes, lambda made: self._accept(made, rows, append))
        found = [key for key in keys if key in rows]
        if list(stored) != found:
            write_rows(self.target, [rows[key] for key in found], Caption)
        self.journal.unlink(missing_ok=True)

    def _accept(self, made: Made, rows: dict[str, Caption], append: Callable[[Caption], None]) -> None:
        if made.final and made.caption.via == "openai":  # templates cost nothing to make again
            append(made.caption)
        rows[made.caption.soundscape_id] = made.caption
        report = self.report
        report.num_done += 1
        report.prompt_tokens += made.caption.prompt_tokens
        report.completion_tokens += made.caption.completion_tokens
        if made.caption.fallback:
            report.fallbacks[made.reason] += 1
        if len(report.examples) < 3:
            report.examples.append(made.caption)
        fallbacks = report.fallbacks.total()
        self.advance(1, f"{fallbacks} fallbacks" if fallbacks else "")

    def _stored(self) -> dict[str, Caption]:
        """Captions that stay; where nobody answered, a template is worth another try."""
        rows = read_rows(self.target, Caption) if self.target.exists() else []
        return {row.soundscape_id: row for row in rows if "answered" not in failed(row.checks)}

    def _journaled(self) -> dict[str, Caption]:
        """Answers of a run that did not end; a line that was cut is taken off the file."""
        if not self.journal.exists():
            return {}
        rows: dict[str, Caption] = {}
        good = 0
        for line in self.journal.read_bytes().splitlines(keepends=True):
            try:
                content = json.loads(line)
                row = Caption(**{**content, "checks": [Check(**check) for check in content["checks"]]})
            except (ValueError, KeyError, TypeError):
                break
            if not line.endswith(b"\n"):
                break
            rows[row.soundscape_id] = row
            good += len(line)
        os.truncate(self.journal, good)
        return rows


@contextlib.contextmanager
def _appending(journal: Path) -> Iterator[Callable[[Caption], None]]:
    """A function that appends a caption to the journal and returns when it is on the disk."""
    with contextlib.ExitStack() as stack:
        file = None

        def append(row: Caption) -> None:
            nonlocal file
            try:
                file = file or stack.enter_context(journal.open("ab"))
                file.write(json.dumps(dataclasses.asdict(row), ensure_ascii=False).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            except OSError as error:
                raise FlamError(f"cannot write {journal}: {error.strerror}; what was answered before is kept") from None

        yield append


@contextlib.contextmanager
def _maker(server: Server | None, *, seed: int, concurrency: int) -> Iterator[tuple[_Make, str]]:
    """A function that makes captions for soundscapes, and the hash of its prompt."""
    if server is None:

        def from_templates(soundscapes: Sequence[Soundscape], accept: Callable[[Made], None]) -> None:
            for soundscape in soundscapes:
                accept(Made(_template_row(soundscape, seed), "", final=True))

        yield from_templates, ""
        return
    prompt = Prompt.load(STYLE)
    with asyncio.Runner() as runner:  # its run() cancels what is in flight on Ctrl-C
        llm = Llm(server)
        captioner = LlmCaptioner(llm, prompt=prompt, style=STYLE, seed=seed, concurrency=concurrency)
        try:
            yield (
                lambda soundscapes, accept: runner.run(captioner.caption_all(soundscapes, accept)),
                prompt.hash,
            )
        finally:
            runner.run(llm.close())


def _template_row(soundscape: Soundscape, seed: int) -> Caption:
    return Caption(
        soundscape_id=soundscape.soundscape_id,
        style=STYLE,
        text=template_caption(soundscape, seed=seed),
        via="template",
        model="",
        prompt_hash="",
        checks=[],
        prompt_tokens=0,
        completion_tokens=0,
        fallback=False,
    )


def _server(via: Via, server: Server) -> Server | None:
    if via == "template":
        if server.model or server.base_url:
            raise FlamError("a model or base URL is of no use to templates; add `--via openai` or leave it out")
        return None
    if via != "openai":
        raise FlamError(f"cannot caption via {via!r}: choose template or openai")
    if not server.model.strip():
        raise FlamError("no model to ask: give --model, as the server calls it")
    return server


def _set_name(name: str | None, server: Server | None) -> str:
    if name is None and server is None:
        return "template"
    if name is None and server is not None:
        return re.sub(r"[^A-Za-z0-9._-]+", "-", server.model).strip("-.")[:80] or "openai"
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,79}", str(name)):
        raise FlamError(f"caption set name {name!r} cannot be used: take letters, digits, dots, dashes")
    return str(name)


def _dataset_hash(folder: DatasetFolder) -> str:
    """What the soundscapes were made from: ids alone do not tell one dataset from another."""
    return hashlib.sha256(folder.info_path.read_bytes()).hexdigest()[:16] if folder.info_path.exists() else ""


def _claim(folder: DatasetFolder, target: Path, *, via: Via, model: str, prompt_hash: str, seed: int) -> None:
    """One set has one model, prompt and seed; while it holds nothing, they may change."""
    path = target / "captions.json"
    if not any(target.glob("[0-9]*.parquet")) and not any(target.glob(".[0-9]*.jsonl")):
        path.unlink(missing_ok=True)
    content = {
        "style": STYLE,
        "via": via,
        "model": model,
        "prompt_hash": prompt_hash,
        "seed": seed,
        "dataset": _dataset_hash(folder),
    }
    claim(
        path,
        content,
        differs="give the captions another --name, or delete that folder to make them anew",
    )
