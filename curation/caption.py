"""The caption stage: sentences for each soundscape, shard by shard, and the phrase table."""

import asyncio
import contextlib
import gc
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow.parquet as pq

from curation.budget import Budget, Ledger, Prices, question_bytes
from curation.caption_run import CaptionReport, CaptionRun
from curation.caption_set import claim_set, set_name
from curation.checks import Checker
from curation.llm import Llm, Server
from curation.llm_batch import Batches
from curation.llm_captions import LlmCaptioner
from curation.phrases import write_phrases
from curation.prompt import BUILT_IN_STYLES, SoundscapePrompt, load_prompt
from curation.questions import Case, Writer
from manifests.errors import FlamError
from manifests.progress import progress
from manifests.schema import Soundscape
from manifests.store import DatasetFolder, locked, read_table

Via = Literal["template", "openai"]
_BATCHES = ".batch"  # in the set's folder
_MANY_OBJECTS = 10_000
_TOKENS_A_BYTE = 0.3  # of a question: JSON in English
_TOKENS_AN_ANSWER = 35  # a caption of twenty words and its JSON


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
    max_answer_tokens: int = 1000,
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
        max_answer_tokens: of an answer with one text, thoughts included.
    """
    options = _Options.of(data, via=via, name=name, model=model, base_url=base_url, styles=styles, limit=limit)
    if concurrency < 1 or per_request < 1:
        raise FlamError(f"concurrency ({concurrency}) and soundscapes per request ({per_request}) must be at least 1")
    if batch and per_request > 1:
        raise FlamError("a batch holds one soundscape a request: leave --per-request out, or --batch")
    server = Server(
        model=model or "",
        base_url=base_url,
        timeout=timeout,
        max_retries=max_retries,
        concurrency=concurrency,
        max_answer_tokens=max_answer_tokens,
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
        run = options.run(seed, advance)
        if asking is None:
            run.from_templates()
        else:
            checker = Checker(phrases)
            writer = Writer(model=server.model, checker=checker, seed=seed, max_answer_tokens=max_answer_tokens)
            if batch:
                asking.in_batches(run, options.prompts, writer, under_way)
            else:
                asking.one_by_one(run, options.prompts, writer, per_request)
    if run.report.num_left:
        raise FlamError(
            f"the limit on spending is reached: {run.report.spending}; {run.report.num_done} texts made, "
            f"{run.report.num_left} left out; all that was made is stored, and the same command with a higher limit "
            "goes on"
        )
    return run.report


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
    for shard in options.run(0, lambda *_: None).shards():
        num_reused += shard.num_reused
        num_texts += len(shard.missing)
        for soundscape, style in shard.texts_to_make():
            case = Case(soundscape, prompts[style], writer)
            if case.is_open:
                num_bytes += question_bytes(case.messages())
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
    prompts: Sequence[SoundscapePrompt]  # of a model
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
        if via == "template" and (unknown := [style for style in styles if style not in BUILT_IN_STYLES]):
            raise FlamError(f"templates know no style {unknown[0]!r}, only {', '.join(BUILT_IN_STYLES)}")
        tables = (read_table(path, Soundscape) for path in folder.soundscape_shards())
        if all(table["annotation"].unique().to_pylist() == ["none"] for table in tables):
            own = ", ".join(folder.caption_sets()) or "none"
            raise FlamError(
                f"nobody listed what is heard in {data}: there is nothing to write of (its captions: {own})"
            )
        target = data / "captions" / set_name(name, model)
        return cls(folder=folder, target=target, via=via, model=model or "", prompts=prompts, styles=names, limit=limit)

    def num_texts(self) -> int:
        """How many texts the set is to have of the soundscapes in question."""
        total = sum(int(pq.read_metadata(path).num_rows) for path in self.folder.soundscape_shards())
        return len(self.styles) * (total if self.limit is None else min(total, self.limit))

    def run(self, seed: int, advance: Callable[..., None]) -> CaptionRun:
        return CaptionRun(self.folder, self.target, styles=self.styles, limit=self.limit, seed=seed, advance=advance)

    def claim(self, seed: int) -> None:
        info = self.folder.info_path
        content = {
            "via": self.via,
            "model": self.model,
            "seed": seed,
            # what the soundscapes were made from: ids alone do not tell one dataset from another
            "dataset": hashlib.sha256(info.read_bytes()).hexdigest()[:16] if info.exists() else "",
        }
        claim_set(self.target, content, {prompt.style: prompt.hash for prompt in self.prompts}, under_way=_BATCHES)


@contextlib.contextmanager
def _few_collections() -> Iterator[None]:
    """Look for reference cycles seldom: the rows of a soundscape hold none, and looking through them costs CPU.

    Some a call does leave behind, in the client's libraries; they are collected a few megabytes at a time.
    """
    thresholds = gc.get_threshold()
    gc.freeze()  # what is there stays to the end
    gc.set_threshold(_MANY_OBJECTS, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


class _Asking:
    """Runs a stage by asking a server. Its loop cancels what is in flight on Ctrl-C."""

    def __init__(self, server: Server, spending: Spending) -> None:
        self.server, self.spending = server, spending
        self.budget = Budget(most_tokens=spending.most_tokens, most_cost=spending.most_cost, prices=spending.prices)
        self.llm = Llm(server, self.budget)
        self.ledger: Ledger | None = None
        self._runner = asyncio.Runner()

    def __enter__(self) -> "_Asking":
        return self

    def __exit__(self, *error: object) -> None:
        with self._runner:
            self._runner.run(self.llm.close())
        if self.ledger is not None:
            self.ledger.close()

    def one_by_one(
        self, run: CaptionRun, prompts: Sequence[SoundscapePrompt], writer: Writer, per_request: int
    ) -> None:
        """Question by question, several at a time."""
        self._count_spent(run)
        captioner = LlmCaptioner(self.llm, per_request=per_request)
        with _few_collections():
            self._runner.run(run.from_model(captioner, prompts, writer))
        run.report.asked_again = captioner.asked_again
        self._report(run)

    def in_batches(self, run: CaptionRun, prompts: Sequence[SoundscapePrompt], writer: Writer, folder: Path) -> None:
        """Through the Batch API."""
        self._count_spent(run)
        batches = Batches(self.server, folder, self.budget)
        try:
            self._runner.run(run.from_batches(batches, prompts, writer))
        finally:
            self._runner.run(batches.close())
        self._report(run)

    def _count_spent(self, run: CaptionRun) -> None:
        tokens = [shard.tokens() for shard in run.shards()] if self.spending.is_limited else []
        at_least = float(sum(prompt for prompt, _ in tokens)), float(sum(completion for _, completion in tokens))
        self.ledger = Ledger(run.target / ".spent")
        self.budget.go_on(self.ledger, at_least)

    def _report(self, run: CaptionRun) -> None:
        run.report.spending = str(self.budget) if self.spending.is_limited else ""
