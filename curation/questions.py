"""What a language model is asked about a soundscape, and what becomes of its answers. No server in here.

A case is one soundscape in one style. It is asked once, again with what was wrong if the answer does not pass the
checks, and then a template takes its place.
"""

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from curation.answers import caption_in, items_in
from curation.checks import CHECKS, Checker, Limits, Result, failed, tidy, tidy_phrase
from curation.heard import Sound, sounds
from curation.llm import Answer, Form
from curation.prompt import SoundscapePrompt
from curation.templates import STYLES, template_caption, template_phrase
from curation.wording import background_wording, wording
from manifests.schema import Caption, Check, Soundscape

CAPTION = Form(
    "caption",
    {
        "type": "object",
        "properties": {"caption": {"type": "string"}},
        "required": ["caption"],
        "additionalProperties": False,
    },
)
_TOKENS_EACH = 300  # of an answer, for each further text in it


@dataclass(frozen=True, kw_only=True, slots=True)
class Writer:
    """What is the same for every case of a run."""

    model: str
    checker: Checker
    seed: int  # of the templates
    max_answer_tokens: int = 1000  # of an answer with one text


class Case:
    """One soundscape in one style: what to ask next, and once nothing more is to be asked, its rows."""

    def __init__(self, soundscape: Soundscape, prompt: SoundscapePrompt, writer: Writer) -> None:
        self.soundscape, self.prompt, self.writer = soundscape, prompt, writer
        self._heard = sounds(soundscape)
        self.sounds = [sound for sound in self._heard if sound.spans]
        self.rows: list[Caption] = []  # once it is closed
        self.reason = ""  # why a row is a template; empty if none is
        self.is_final = True  # False: nobody answered, so a later run should ask again
        self._answers: list[Answer] = []
        self._texts: dict[str, str] = {}
        self._results: dict[str, list[Result]] = {}
        if not self.sounds and (background_wording(soundscape.background) is None or prompt.asks == "events"):
            self._close_with_templates(via="template")  # there is nothing to tell a model

    @property
    def is_open(self) -> bool:
        """Whether there is something to ask."""
        return not self.rows and bool(self._targets())

    @property
    def timeline(self) -> dict[str, object]:
        """What can be heard and when, as the model gets it."""
        return timeline(self.soundscape, self.sounds)

    @property
    def form(self) -> Form:
        """What the answer must look like."""
        most_tokens = self.writer.max_answer_tokens
        if self.prompt.asks == "caption":
            return Form(CAPTION.name, CAPTION.schema, most_tokens)
        return list_form("phrases", "phrase", len(self.sounds), most_tokens=most_tokens)

    def messages(self) -> list[dict[str, str]]:
        """The next question."""
        messages = self.prompt.messages(self.timeline)
        if self._answers:
            messages += self.prompt.messages_again(self._answers[-1].raw, self._problems())
        return messages

    def take(self, answer: Answer) -> None:
        """Judge an answer to `messages`; closes the case if it passes, or was the second."""
        self._answers.append(answer)
        self._texts = self._read(answer.raw)
        self._results = {target: self._judged(target, text, answer) for target, text in self._texts.items()}
        if not self.reasons or len(self._answers) == 2:
            self.reason = next(iter(self.reasons), "")
            self.rows = [self._row(target) for target in self._targets()]
            self._count_tokens()

    def take_caption(self, text: str, *, prompt_tokens: int, completion_tokens: int) -> None:
        """The same for a caption out of an answer about many."""
        raw = json.dumps({"caption": text}, ensure_ascii=False)
        self.take(
            Answer(raw=raw, finish_reason="stop", prompt_tokens=prompt_tokens, completion_tokens=completion_tokens)
        )

    def give_up(self, reason: str, *, for_good: bool = False) -> None:
        """Nobody answers: templates until a later run, or for good."""
        self.is_final = for_good
        check = Check(name="accepted" if for_good else "answered", passed=False)
        self._close_with_templates(via="openai", checks=[check])
        self.reason = reason

    @property
    def reasons(self) -> list[str]:
        """Names of the checks that the last answer did not pass, in the order of CHECKS: form before content."""
        names = {name for results in self._results.values() for name in failed(results)}
        return [name for name in CHECKS if name in names]

    def _judged(self, target: str, text: str, answer: Answer) -> list[Result]:
        prompt, checker = self.prompt, self.writer.checker
        told: dict[str, Any] = {
            "heard": self._heard,
            "finish_reason": answer.finish_reason,
            "prompt": prompt.instructions,
            "limits": Limits(fewest_words=prompt.fewest_words, most_words=prompt.most_words, times=prompt.times),
        }
        if not target:
            return checker.check(text, self.soundscape, **told)
        return checker.check_event(text, self.soundscape, target, **told)

    def _targets(self) -> list[str]:
        """What there is a text for: "" for the whole, or each sound's cluster."""
        return [""] if self.prompt.asks == "caption" else [sound.cluster for sound in self.sounds]

    def _read(self, raw: str) -> dict[str, str]:
        if self.prompt.asks == "caption":
            return {"": caption_in(raw)}
        found, _ = items_in(raw, "phrase")
        return {sound.cluster: found.get(str(number), "") for number, sound in enumerate(self.sounds, 1)}

    def _problems(self) -> str:
        labels = {sound.cluster: wording(sound.label).words for sound in self.sounds}
        return "; ".join(
            f"{labels[target]}: {result.problem}" if target else result.problem
            for target, results in self._results.items()
            for result in results
            if not result.passed
        )

    def _row(self, target: str) -> Caption:
        results = self._results[target]
        checks = [_check(result.name, result.passed) for result in results]
        if failed(results):
            return self._template(target, via="openai", checks=checks)
        text = self._texts[target]
        return self._filled(target, tidy_phrase(text) if target else tidy(text), via="openai", checks=checks)

    def _close_with_templates(self, *, via: str, checks: Sequence[Check] = ()) -> None:
        self.rows = [self._template(target, via=via, checks=list(checks)) for target in self._targets()]
        self._count_tokens()

    def _template(self, target: str, *, via: str, checks: list[Check]) -> Caption:
        if target:
            text = template_phrase(self.soundscape, target, seed=self.writer.seed)
        else:
            style = self.prompt.style if self.prompt.style in STYLES else "sentence"  # for a user's own style
            text = template_caption(self.soundscape, seed=self.writer.seed, style=style)
        return replace(self._filled(target, text, via=via, checks=checks), fallback=via == "openai")

    def _filled(self, target: str, text: str, *, via: str, checks: list[Check]) -> Caption:
        return Caption(
            soundscape_id=self.soundscape.soundscape_id,
            style=self.prompt.style,
            cluster=target,
            text=text,
            via=via,
            model=self.writer.model,
            prompt_hash=self.prompt.hash,
            checks=checks,
            prompt_tokens=0,
            completion_tokens=0,
            fallback=False,
        )

    def _count_tokens(self) -> None:
        """What all answers cost, on the first row."""
        if self.rows:
            self.rows[0] = replace(
                self.rows[0],
                prompt_tokens=sum(answer.prompt_tokens for answer in self._answers),
                completion_tokens=sum(answer.completion_tokens for answer in self._answers),
            )


@functools.cache
def _check(name: str, passed: bool) -> Check:
    """One for all captions: a hundred thousand would have fifteen each."""
    return Check(name=name, passed=passed)


def timeline(soundscape: Soundscape, sounds: Sequence[Sound]) -> dict[str, object]:
    """What can be heard and when, as the model gets it: labels are data in it, never instructions."""
    background = background_wording(soundscape.background)
    described: list[dict[str, object]] = []
    for number, sound in enumerate(sounds, 1):
        entry: dict[str, object] = {
            "id": number,
            "label": wording(sound.label).words,
            "times": [[round(onset, 2), round(offset, 2)] for onset, offset in sound.bursts],
        }
        if sound.snr_db is not None:
            entry["db_over_background"] = round(sound.snr_db)
        described.append(entry)
    return {
        "duration": round(soundscape.duration, 2),
        "background": background.words if background is not None else None,
        "sounds": described,
    }


def form_about_many(cases: Sequence[Case]) -> Form:
    """The form of an answer to `messages_about_many`."""
    return list_form("captions", "caption", len(cases), most_tokens=cases[0].writer.max_answer_tokens)


def list_form(name: str, key: str, count: int, *, most_tokens: int) -> Form:
    """The form of an answer that lists one text for each id; the first may have `most_tokens`."""
    item: Mapping[str, Any] = {
        "type": "object",
        "properties": {"id": {"type": "integer"}, key: {"type": "string"}},
        "required": ["id", key],
        "additionalProperties": False,
    }
    schema = {
        "type": "object",
        "properties": {name: {"type": "array", "items": item}},
        "required": [name],
        "additionalProperties": False,
    }
    return Form(name, schema, most_tokens=most_tokens + _TOKENS_EACH * (count - 1))


def messages_about_many(cases: Sequence[Case]) -> list[dict[str, str]]:
    """One question about several soundscapes of one style, numbered from 1."""
    timelines = [{"id": number, **case.timeline} for number, case in enumerate(cases, 1)]
    return cases[0].prompt.messages_about_many(timelines)


def take_many(cases: Sequence[Case], answer: Answer) -> list[str]:
    """Give each case its caption by id; what is missing or came twice is said, and its case stays as it was."""
    found, doubled = items_in(answer.raw, "caption")
    numbers = [number for number in range(1, len(cases) + 1) if str(number) in found]
    for place, number in enumerate(numbers, 1):
        cases[number - 1].take_caption(
            found[str(number)],
            prompt_tokens=_share(answer.prompt_tokens, place, len(numbers)),
            completion_tokens=_share(answer.completion_tokens, place, len(numbers)),
        )
    missing = [number for number in range(1, len(cases) + 1) if number not in numbers]
    return ["id came twice" if str(number) in doubled else "id is missing" for number in missing]


def _share(total: int, number: int, count: int) -> int:
    """What of a sum is counted for one of `count`; all shares add up to it."""
    return total * number // count - total * (number - 1) // count
