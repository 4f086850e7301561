"""The caption stage: sentences for each soundscape, shard by shard, and the phrase table."""

import asyncio
import contextlib
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from curation.budget import Budget, BudgetSpentError, Prices
from curation.caption_shards import CaptionShard, Key
from curation.checks import Checker
from curation.heard import sure_sounds
from curation.llm import Llm, Server
from curation.llm_batch import Batches
from curation.llm_captions import LlmCaptioner
from curation.phrases import write_phrases
from curation.prompt import Prompt, load_prompt
from curation.questions import Case, Writer
from curation.templates import template_caption, template_phrase
from manifests.errors import FlamError
from manifests.progress import progress
from manifests.schema import Caption, Soundscape
from manifests.store import DatasetFolder, claim, locked, read_json, read_table

Via = Literal["template", "openai"]
TEMPLATE_STYLES = ("sentence", "terse", "temporal", "counts", "event")
_BATCHES = ".batch"  # in the set's folder
_SYNC_SECONDS = 0.2  # how often answers are counted as done, once the disk has them
_TOKENS_A_BYTE = 0.3  # of a question: JSON in English
_TOKENS_AN_ANSWER = 35  # a caption of twenty words and its JSON


@dataclass(kw_only=True, slots=True)
class CaptionReport:
    """What one run of the stage did. A text is one soundscape's in one style."""

    name: str  # of the caption set
    folder: Path
    num_done: int = 0  # texts made by this run
    num_reused: int = 0  # texts that were there
    num_left: int = 0  # texts that the limit on spending left out
    fallbacks: Counter[str] = field(default_factory=Counter)  # of this run, by reason
    asked_again: Counter[str] = field(default_factory=Counter)  # of this run, by reason
    prompt_tokens: int = 0  # spent by this run, as far as the server counts
    completion_tokens: int = 0
    spending: str = ""  # what was spent and what is left, if there is a limit
    examples: list[Caption] = field(default_factory=list)  # the first few of this run


@dataclass(frozen=True, kw_only=True, slots=True)
class Spending:
    """What a caption set may cost, all runs together."""

    most_tokens: int | None = None  # of questions and answers
    most_cost: float | None = None  # dollars
    prices: Prices | None = None

    @property
    def is_limited(self) -> bool:
        """Whether there is any limit."""
        return self.most_tokens is not None or self.most_cost is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """What a run would do and cost, about."""

    num_texts: int
    num_reused: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None  # dollars, where prices are known


class _Stage:
    """One run over one caption set."""

    def __init__(
        self,
        folder: DatasetFolder,
        target: Path,
        *,
        styles: Sequence[str],
        limit: int | None,
        seed: int,
        advance: Callable[..., None],
    ) -> None:
        self.folder, self.target, self.styles, self.limit, self.seed = folder, target, styles, limit, seed
        self.report = CaptionReport(name=target.name, folder=target)
        self._advance = advance
        self._open: dict[Key, CaptionShard] = {}
        self._num_begun = 0  # shards

    def shards(self) -> Iterator[CaptionShard]:
        """Each shard that has something to do with the first `limit` soundscapes."""
        left = self.limit
        for path in self.folder.soundscape_shards():
            if left is not None and left <= 0:
                return
            shard = CaptionShard(path, self.target / path.name, self.styles, left)
            if left is not None:
                left -= shard.num_soundscapes
            yield shard

    def from_templates(self) -> None:
        """Make what is missing by rules."""
        for shard in self._begun():
            for identity, soundscape in shard.soundscapes().items():
                for style in self.styles:
                    if (identity, style) in self._open:
                        self._take((identity, style), _template_rows(soundscape, style, self.seed), journal=False)

    async def from_model(self, captioner: LlmCaptioner, prompts: Sequence[Prompt], writer: Writer) -> None:
        """Make what is missing by asking; where the money ends, what was made is stored and the rest is counted."""
        tasks = [
            asyncio.create_task(captioner.ask_all(self._cases(prompts, writer), self._close)),
            asyncio.create_task(self._sync_all()),
        ]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        except BudgetSpentError:
            self.report.num_left = len(self._open) + sum(len(shard.missing) for shard in self._not_begun())
            for shard in set(self._open.values()):
                self._report(shard.finish())
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for shard in set(self._open.values()):
                shard.close()

    async def from_batches(self, batches: Batches, prompts: Sequence[Prompt], writer: Writer) -> None:
        """Make what is missing in rounds of batches; an earlier run's are gone on with."""
        while True:
            await batches.wait(lambda note: self._advance(0, note))
            following, self.report.num_left = batches.next_round(), 0
            for shard in self._begun():
                for case in self._cases_of(shard, prompts, writer):
                    batches.replay(case)
                    if not case.is_open:
                        self._close(case)
                    elif not following.add(case):
                        self.report.num_left += 1
                if not shard.is_complete:
                    self._report(shard.finish())
            following.end()
            if not following.num_requests:
                break
        if not self.report.num_left:
            batches.forget()

    def _begun(self) -> Iterator[CaptionShard]:
        is_first, self._num_begun = not self._num_begun, 0
        for shard in self.shards():
            self._num_begun += 1
            if is_first:
                self.report.num_reused += shard.num_reused
                self._advance(shard.num_reused)
            if shard.is_complete:
                shard.finish()
                continue
            self._open.update(dict.fromkeys(shard.missing, shard))
            yield shard

    def _not_begun(self) -> Iterator[CaptionShard]:
        for number, shard in enumerate(self.shards(), 1):
            if number > self._num_begun:
                yield shard

    def _cases(self, prompts: Sequence[Prompt], writer: Writer) -> Iterator[Case]:
        for shard in self._begun():
            yield from self._cases_of(shard, prompts, writer)

    def _cases_of(self, shard: CaptionShard, prompts: Sequence[Prompt], writer: Writer) -> Iterator[Case]:
        by_style = {prompt.style: prompt for prompt in prompts}
        soundscapes = shard.soundscapes()
        for identity, style in shard.missing:
            yield Case(soundscapes[identity], by_style[style], writer)

    def _close(self, case: Case) -> None:
        report = self.report
        if case.reason:
            report.fallbacks[case.reason] += 1
        report.prompt_tokens += sum(row.prompt_tokens for row in case.rows)
        report.completion_tokens += sum(row.completion_tokens for row in case.rows)
        paid = case.is_final and any(row.via == "openai" for row in case.rows)  # templates cost nothing to make again
        self._take((case.soundscape.soundscape_id, case.prompt.style), case.rows, journal=paid)

    def _take(self, key: Key, rows: Sequence[Caption], *, journal: bool) -> None:
        shard = self._open[key]
        shard.add(key, rows, journal=journal)
        del self._open[key]
        self.report.num_done += 1
        self.report.examples.extend(rows[: 3 - len(self.report.examples)])
        if shard.is_complete:
            self._report(shard.finish())

    async def _sync_all(self) -> None:
        while True:
            await asyncio.sleep(_SYNC_SECONDS)
            for shard in set(self._open.values()):
                count = shard.unreported
                await asyncio.to_thread(shard.sync)
                if not shard.is_complete:  # else its end has been reported
                    shard.unreported -= count
                    self._report(count)

    def _report(self, count: int) -> None:
        fallbacks = self.report.fallbacks.total()
        self._advance(count, f"{fallbacks} fallbacks" if fallbacks else "")


def caption(  # noqa: PLR0913 - one parameter for each option of the command
    data: Path,
    *,
    via: Via = "template",
    name: str | None = None,
    model: str | None = None,
    base_url: str | None = None,
    styles: Sequence[str] = ("sentence",),
    per_request: int = 1,
    concurrency: int = 8,
    batch: bool = False,
    spending: Spending = Spending(),
    seed: int = 0,
    limit: int | None = None,
    timeout: float = 60.0,
    max_retries: int = 4,
) -> CaptionReport:
    """Caption a dataset folder and write its phrase table; goes on where an earlier run stopped.

    Raises FlamError where a limit on spending ends it, too: what was made before is stored.

    Args:
        data: the dataset folder.
        via: "template" makes captions from rules, "openai" asks a server with OpenAI's protocol.
        name: of the caption set, a folder in DATA/captions; None: "template" or the model's name.
        model: which model to ask for.
        base_url: where the server is; OPENAI_BASE_URL or OpenAI if None.
        styles: names of built-in prompts, or prompt files.
        per_request: soundscapes in one question.
        concurrency: calls at a time.
        batch: ask through the Batch API; returns when all is answered, and goes on when it is called again.
        spending: what the set may cost.
        seed: of the templates' choices.
        limit: caption only so many soundscapes, from the first.
        timeout: seconds that one attempt of a call may take.
        max_retries: attempts after the first when the server fails or is out of reach.
    """
    options = _Options.of(data, via=via, name=name, model=model, base_url=base_url, styles=styles, limit=limit)
    if concurrency < 1 or per_request < 1:
        raise FlamError(f"concurrency ({concurrency}) and soundscapes per request ({per_request}) must be at least 1")
    if batch and per_request > 1:
        raise FlamError("a batch holds one soundscape a request: leave --per-request out, or --batch")
    server = Server(
        model=model or "", base_url=base_url, timeout=timeout, max_retries=max_retries, concurrency=concurrency
    )
    with contextlib.ExitStack() as stack:
        asking = stack.enter_context(_Asking(server, spending)) if via == "openai" else None
        stack.enter_context(locked(options.target, "flam-cli caption"))
        options.claim(seed)
        under_way = options.target / _BATCHES
        if under_way.exists() and not batch:
            raise FlamError(f"batches are under way in {under_way}: give --batch to go on, or delete that folder")
        phrases = write_phrases(data)
        advance = stack.enter_context(progress("captions", options.num_texts()))
        stage = options.stage(seed, advance)
        if asking is None:
            stage.from_templates()
        else:
            writer = Writer(model=server.model, checker=Checker(phrases), seed=seed)
            if batch:
                asking.in_batches(stage, options.prompts, writer, under_way)
            else:
                asking.one_by_one(stage, options.prompts, writer, per_request)
    if stage.report.num_left:
        raise FlamError(
            f"the limit on spending is reached: {stage.report.spending}; {stage.report.num_done} texts made, "
            f"{stage.report.num_left} left out; all that was made is stored, and the same command with a higher limit "
            "goes on"
        )
    return stage.report


def estimate(
    data: Path,
    *,
    name: str | None = None,
    model: str | None = None,
    base_url: str | None = None,
    styles: Sequence[str] = ("sentence",),
    limit: int | None = None,
    prices: Prices | None = None,
) -> Estimate:
    """What `caption` via a server would have to do, from the questions it would ask; nothing is asked or written."""
    options = _Options.of(data, via="openai", name=name, model=model, base_url=base_url, styles=styles, limit=limit)
    writer = Writer(model=model or "", checker=Checker(), seed=0)
    prompts = {prompt.style: prompt for prompt in options.prompts}
    num_texts = num_bytes = num_answers = num_reused = 0
    for shard in options.stage(0, lambda *_: None).shards():
        soundscapes = shard.soundscapes()
        num_reused += shard.num_reused
        num_texts += len(shard.missing)
        for identity, style in shard.missing:
            case = Case(soundscapes[identity], prompts[style], writer)
            if case.is_open:
                num_bytes += sum(len(message["content"].encode("utf-8", "replace")) for message in case.messages())
                num_answers += len(case.sounds) if case.prompt.asks == "events" else 1
    tokens = round(num_bytes * _TOKENS_A_BYTE), num_answers * _TOKENS_AN_ANSWER
    return Estimate(
        num_texts=num_texts,
        num_reused=num_reused,
        prompt_tokens=tokens[0],
        completion_tokens=tokens[1],
        cost=prices.cost(*tokens) if prices else None,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Options:
    """What is to be made, looked over before anything is written."""

    folder: DatasetFolder
    target: Path
    via: Via
    model: str
    prompts: Sequence[Prompt]  # of a model
    styles: Sequence[str]
    limit: int | None

    @classmethod
    def of(
        cls,
        data: Path,
        *,
        via: Via,
        name: str | None,
        model: str | None,
        base_url: str | None,
        styles: Sequence[str],
        limit: int | None,
    ) -> "_Options":
        folder = DatasetFolder.open(data)
        if via not in ("template", "openai"):
            raise FlamError(f"cannot caption via {via!r}: choose template or openai")
        if via == "template" and (model or base_url):
            raise FlamError("a model or base URL is of no use to templates; add `--via openai` or leave it out")
        if via == "openai" and not (model or "").strip():
            raise FlamError("no model to ask: give --model, as the server calls it")
        if limit is not None and limit < 1:
            raise FlamError(f"limit ({limit}) must be at least 1")
        prompts = [load_prompt(style) for style in styles] if via == "openai" else []
        names = [prompt.style for prompt in prompts] or list(styles)
        if not names or len(set(names)) < len(names):
            raise FlamError(f"styles must be given, and each once, not {', '.join(names) or 'none'}")
        if via == "template" and (unknown := [style for style in styles if style not in TEMPLATE_STYLES]):
            raise FlamError(f"templates know no style {unknown[0]!r}, only {', '.join(TEMPLATE_STYLES)}")
        target = data / "captions" / _set_name(name, model)
        return cls(folder=folder, target=target, via=via, model=model or "", prompts=prompts, styles=names, limit=limit)

    def num_texts(self) -> int:
        """How many texts the set is to have of the soundscapes in question."""
        total: int = sum(read_table(path, Soundscape).num_rows for path in self.folder.soundscape_shards())
        return len(self.styles) * (total if self.limit is None else min(total, self.limit))

    def stage(self, seed: int, advance: Callable[..., None]) -> _Stage:
        return _Stage(self.folder, self.target, styles=self.styles, limit=self.limit, seed=seed, advance=advance)

    def claim(self, seed: int) -> None:
        """One set has one model, one prompt a style and one seed; while it holds nothing, they may change."""
        path = self.target / "captions.json"
        if not any(self.target.glob("[0-9]*.parquet")) and not any(self.target.glob(".[0-9]*.jsonl")):
            path.unlink(missing_ok=True)
        info = self.folder.info_path
        content: dict[str, Any] = {
            "via": self.via,
            "model": self.model,
            "seed": seed,
            # what the soundscapes were made from: ids alone do not tell one dataset from another
            "dataset": hashlib.sha256(info.read_bytes()).hexdigest()[:16] if info.exists() else "",
        }
        there = read_json(path) if path.exists() else {}
        known = there.get("prompts", {}) if isinstance(there, dict) else {}
        prompts = {prompt.style: prompt.hash for prompt in self.prompts}
        differs = "give the captions another --name, or delete that folder to make them anew"
        for style, value in prompts.items():
            if known.get(style, value) != value:
                raise FlamError(f"{path} says that style {style} was made with another prompt; {differs}")
        claim(path, content, differs=differs, noted={"prompts": {**known, **prompts}})


class _Asking:
    """Runs a stage by asking a server. Its loop cancels what is in flight on Ctrl-C."""

    def __init__(self, server: Server, spending: Spending) -> None:
        self.server, self.spending = server, spending
        self.budget = Budget(most_tokens=spending.most_tokens, most_cost=spending.most_cost, prices=spending.prices)
        self.llm = Llm(server, self.budget)
        self._runner = asyncio.Runner()

    def __enter__(self) -> "_Asking":
        return self

    def __exit__(self, *error: object) -> None:
        with self._runner:
            self._runner.run(self.llm.close())

    def one_by_one(self, stage: _Stage, prompts: Sequence[Prompt], writer: Writer, per_request: int) -> None:
        """Question by question, several at a time."""
        self._count_spent(stage)
        captioner = LlmCaptioner(self.llm, per_request=per_request)
        self._runner.run(stage.from_model(captioner, prompts, writer))
        stage.report.asked_again = captioner.asked_again
        self._report(stage)

    def in_batches(self, stage: _Stage, prompts: Sequence[Prompt], writer: Writer, folder: Path) -> None:
        """Through the Batch API."""
        self._count_spent(stage)
        batches = Batches(self.server, folder, self.budget)
        try:
            self._runner.run(stage.from_batches(batches, prompts, writer))
        finally:
            self._runner.run(batches.close())
        self._report(stage)

    def _count_spent(self, stage: _Stage) -> None:
        if self.spending.is_limited:
            for shard in stage.shards():
                self.budget.count(*shard.tokens())

    def _report(self, stage: _Stage) -> None:
        stage.report.spending = str(self.budget) if self.spending.is_limited else ""


def _template_rows(soundscape: Soundscape, style: str, seed: int) -> list[Caption]:
    if style == "event":
        texts = {
            sound.cluster: template_phrase(soundscape, sound.cluster, seed=seed) for sound in sure_sounds(soundscape)
        }
    else:
        texts = {"": template_caption(soundscape, seed=seed, style=style)}
    return [
        Caption(
            soundscape_id=soundscape.soundscape_id,
            style=style,
            cluster=cluster,
            text=text,
            via="template",
            model="",
            prompt_hash="",
            checks=[],
            prompt_tokens=0,
            completion_tokens=0,
            fallback=False,
        )
        for cluster, text in texts.items()
    ]


def _set_name(name: str | None, model: str | None) -> str:
    if name is None and model is None:
        return "template"
    if name is None:
        return re.sub(r"[^A-Za-z0-9._-]+", "-", str(model)).strip("-.")[:80] or "openai"
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,79}", name):
        raise FlamError(f"caption set name {name!r} cannot be used: take letters, digits, dots, dashes")
    return name
