"""Captions from a language model: a question, another if the answer is bad, else a template."""

import asyncio
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from curation.checks import PROBLEMS, check_caption, failed, tidy
from curation.llm import Answer, Llm, NoAnswerError
from curation.templates import template_caption
from curation.wording import background_wording, wording
from manifests.errors import FlamError
from manifests.frames import merged
from manifests.schema import Caption, Check, Soundscape

_PROMPTS = Path(__file__).with_name("prompts")
_GIVE_UP_AFTER = 10  # calls in a row without an answer: nobody wants a dataset of fallbacks
_SAME_SOUND_GAP = 0.25  # seconds between stretches that the model need not know of
_LONGEST_QUOTE = 500  # characters of a bad answer that are shown to the model again


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model is told, and the hash by which captions made with it are known."""

    system: str
    user: str
    again: str

    @classmethod
    def load(cls, style: str) -> "Prompt":
        """The prompt of a style, from the files beside this module."""
        system, _, user = (_PROMPTS / f"{style}.txt").read_text("utf-8").partition("\n---\n")
        return cls(system, user.strip(), (_PROMPTS / "again.txt").read_text("utf-8").strip())

    @property
    def hash(self) -> str:
        """Changes with every character of the prompt."""
        return hashlib.sha256("\0".join((self.system, self.user, self.again)).encode()).hexdigest()[:16]

    def messages(self, soundscape: Soundscape) -> list[dict[str, str]]:
        """The first question about a soundscape. Its labels only occur inside a JSON object."""
        data = json.dumps(timeline(soundscape), ensure_ascii=False)
        return [
            {"role": "system", "content": self.system},
            {"role": "user", "content": self.user.replace("{timeline}", data)},
        ]

    def messages_again(self, answer: Answer, problems: Sequence[str]) -> list[dict[str, str]]:
        """What follows the first question after a bad answer."""
        said = answer.raw[:_LONGEST_QUOTE].encode("utf-8", "replace").decode()  # a lone surrogate cannot be sent
        wrong = "; ".join(PROBLEMS[name] for name in problems)
        return [
            {"role": "assistant", "content": said or "(nothing)"},
            {"role": "user", "content": self.again.replace("{problems}", wrong)},
        ]


@dataclass(frozen=True, slots=True)
class Made:
    """A caption with what became of its question."""

    caption: Caption
    reason: str  # why it is a fallback; empty if it is none
    final: bool  # False: nobody answered, so a later run should ask again


def timeline(soundscape: Soundscape) -> dict[str, object]:
    """What can be heard and when, as the model gets it."""
    times: dict[str, list[tuple[float, float]]] = {}
    for event in soundscape.events:
        if event.activity:
            spans = [(stretch.onset, stretch.offset) for stretch in event.activity]
            times.setdefault(wording(event.label).words, []).extend(spans)
    sounds = [
        {
            "label": label,
            "times": [[round(on, 2), round(off, 2)] for on, off in merged(spans, gap=_SAME_SOUND_GAP)],
        }
        for label, spans in sorted(times.items(), key=lambda item: (min(item[1]), item[0]))
    ]
    background = background_wording(soundscape.background)
    words = background.words if background is not None else None
    return {"duration": round(soundscape.duration, 2), "background": words, "sounds": sounds}


class LlmCaptioner:
    """Asks one server for captions, several at a time."""

    def __init__(self, llm: Llm, *, prompt: Prompt, style: str, seed: int, concurrency: int) -> None:
        self.llm, self.prompt, self.style, self.seed, self.concurrency = (
            llm,
            prompt,
            style,
            seed,
            concurrency,
        )
        self.unanswered = 0  # in a row

    async def caption_all(self, soundscapes: Iterable[Soundscape], accept: Callable[[Made], None]) -> None:
        """Hand each caption to `accept` as it comes; raises FlamError if going on is of no use."""
        waiting = iter(soundscapes)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self.concurrency):
                    group.create_task(self._work(waiting, accept))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None  # the others only say the same

    async def _work(self, waiting: Iterator[Soundscape], accept: Callable[[Made], None]) -> None:
        for soundscape in waiting:
            accept(await self._caption(soundscape))

    async def _caption(self, soundscape: Soundscape) -> Made:
        background = background_wording(soundscape.background)
        if background is None and not any(event.activity for event in soundscape.events):
            return Made(self._template(soundscape, via="template"), "", final=True)  # nothing to tell a model
        labels = [wording(event.label).words for event in soundscape.events]
        labels += [background.words] if background is not None else []
        messages = self.prompt.messages(soundscape)
        checks: list[Check] = []
        answers: list[Answer] = []
        for _ in range(2):
            try:
                answers.append(answer := await self.llm.ask(messages))
            except NoAnswerError as error:
                self._count_unanswered(str(error))
                checks = [*checks, Check(name="answered", passed=False)]
                made = self._template(soundscape, via="openai", checks=checks, answers=answers)
                return Made(made, str(error), final=False)
            self.unanswered = 0
            checks = check_caption(
                answer.text,
                finish_reason=answer.finish_reason,
                prompt=self.prompt.system,
                labels=labels,
            )
            if not failed(checks):
                return Made(self._row(soundscape, tidy(answer.text), checks, answers), "", final=True)
            messages = [*messages, *self.prompt.messages_again(answer, failed(checks))]
        made = self._template(soundscape, via="openai", checks=checks, answers=answers)
        return Made(made, failed(checks)[0], final=True)

    def _count_unanswered(self, reason: str) -> None:
        self.unanswered += 1
        if self.unanswered >= _GIVE_UP_AFTER:
            raise FlamError(
                f"{self.llm.server.name} left {self.unanswered} calls in a row unanswered "
                f"(the last: {reason}); "
                "what was answered is kept: see to the server and run the same command again"
            )

    def _row(self, soundscape: Soundscape, text: str, checks: list[Check], answers: list[Answer]) -> Caption:
        return Caption(
            soundscape_id=soundscape.soundscape_id,
            style=self.style,
            text=text,
            via="openai",
            model=self.llm.server.model,
            prompt_hash=self.prompt.hash,
            checks=checks,
            prompt_tokens=sum(answer.prompt_tokens for answer in answers),
            completion_tokens=sum(answer.completion_tokens for answer in answers),
            fallback=False,
        )

    def _template(
        self,
        soundscape: Soundscape,
        *,
        via: str,
        checks: Sequence[Check] = (),
        answers: Sequence[Answer] = (),
    ) -> Caption:
        row = self._row(soundscape, template_caption(soundscape, seed=self.seed), list(checks), list(answers))
        return dataclasses.replace(row, via=via, fallback=via == "openai")
