"""One run over one caption set, shard by shard: by templates, by asking, or in batches."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from curation.budget import BudgetSpentError
from curation.caption_shards import CaptionShard, Key
from curation.heard import sure_sounds
from curation.llm_batch import Batches, custom_id
from curation.llm_captions import LlmCaptioner
from curation.prompt import SoundscapePrompt
from curation.questions import Case, Writer
from curation.templates import template_caption, template_phrase
from manifests.schema import Caption, Soundscape
from manifests.store import DatasetFolder, read_json, read_table

_SYNC_SECONDS = 0.2  # how often answers are counted as done, once the disk has them


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


class CaptionRun:
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
            for soundscape, style in shard.texts_to_make():
                rows = _template_rows(soundscape, style, self.seed)
                self._take((soundscape.soundscape_id, style), rows, journal=False)

    async def from_model(self, captioner: LlmCaptioner, prompts: Sequence[SoundscapePrompt], writer: Writer) -> None:
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

    async def from_batches(self, batches: Batches, prompts: Sequence[SoundscapePrompt], writer: Writer) -> None:
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
            batches.forget(self._stored_ids())

    def _stored_ids(self) -> set[str]:
        """Names in batches of all captions of the set, of other styles too."""
        prompts = read_json(self.target / "captions.json")["prompts"]
        found = set()
        for path in self.folder.caption_shards(self.target.name):
            rows = read_table(path, Caption)
            for key, style in zip(rows["soundscape_id"].to_pylist(), rows["style"].to_pylist(), strict=True):
                if style in prompts:
                    found.add(custom_id(key, style, prompts[style]))
        return found

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

    def _cases(self, prompts: Sequence[SoundscapePrompt], writer: Writer) -> Iterator[Case]:
        for shard in self._begun():
            yield from self._cases_of(shard, prompts, writer)

    def _cases_of(self, shard: CaptionShard, prompts: Sequence[SoundscapePrompt], writer: Writer) -> Iterator[Case]:
        by_style = {prompt.style: prompt for prompt in prompts}
        for soundscape, style in shard.texts_to_make():
            yield Case(soundscape, by_style[style], writer)

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
