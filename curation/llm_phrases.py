"""Synonyms, near misses and parents of labels from a language model: a question, another if the answer is bad.

Answers are kept one by one, by model and prompt: what was answered is never asked again, not even after a kill.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from curation.answers import json_in
from curation.llm import Answer, Form, Llm, NoAnswerError, NotTakenError, for_each
from curation.ontology import Ontology
from curation.phrases_review import sense
from curation.phrases_sources import ModelAnswer, SourcesFolder
from curation.phrases_table import Label, label_words
from curation.prompt import LabelPrompt
from curation.wording import plain_words
from manifests.progress import progress

_LISTS = ("synonyms", "near_misses", "parents")
_FORM = Form(
    "wordings",
    {
        "type": "object",
        "properties": {name: {"type": "array", "items": {"type": "string"}} for name in _LISTS},
        "required": list(_LISTS),
        "additionalProperties": False,
    },
)
_MOST_TEXTS = 20  # in a list; more is a model that does not end
_MOST_OTHERS = 1000  # labels in one question
_LONGEST_TEXT = 200  # characters; the review says that it is too long


@dataclass(kw_only=True, slots=True)
class AskReport:
    """What one run asked."""

    num_answered: int = 0
    num_there: int = 0  # labels that had an answer before
    rejected: Counter[str] = field(default_factory=Counter)  # answers that can't be used, by reason
    unanswered: Counter[str] = field(default_factory=Counter)  # labels that the next run asks again, by reason
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Question:
    label: str
    words: str
    same: list[str]
    others: list[str]

    @property
    def data(self) -> dict[str, object]:
        """What the model gets. Labels occur in no other place."""
        return {"label": self.words, "same": self.same, "others": self.others[:_MOST_OTHERS]}


def ask_model(labels: Iterable[Label], folder: SourcesFolder, llm: Llm, prompt: LabelPrompt) -> AskReport:
    """Ask for every label that this model was not asked for with this prompt, keep the answers, and close the client.

    Raises FlamError if going on is of no use; what was answered is kept.
    """
    sources = folder.load()
    asked = {one.label for one in sources.answers if (one.model, one.prompt_hash) == (llm.server.model, prompt.hash)}
    questions = _questions(sorted(set(labels)), sources.ontology)
    missing = [question for question in questions if question.label not in asked]
    report = AskReport(num_there=len(questions) - len(missing))
    if not missing:
        return report
    with asyncio.Runner() as runner, folder.appending() as append, progress("labels", len(missing)) as advance:
        try:
            runner.run(_Asker(llm, prompt, report, append, advance).ask_all(missing))
        finally:
            runner.run(llm.close())
    return report


class _Asker:
    """Asks one server, several labels at a time."""

    def __init__(
        self,
        llm: Llm,
        prompt: LabelPrompt,
        report: AskReport,
        append: Callable[[ModelAnswer], None],
        advance: Callable[..., None],
    ) -> None:
        self.llm, self.prompt, self.report, self.append, self.advance = llm, prompt, report, append, advance

    async def ask_all(self, questions: Sequence[_Question]) -> None:
        await for_each(questions, self._work, at_a_time=self.llm.server.concurrency)

    async def _work(self, question: _Question) -> None:
        try:
            answer = await self._ask(question)
        except NoAnswerError as error:
            self.report.unanswered[str(error)] += 1
        else:
            self.append(answer)
            self._count(answer)
        self.advance(1)

    async def _ask(self, question: _Question) -> ModelAnswer:
        """The last answer that can be used, of two at most: the second after a word on what is wrong with the first."""
        messages = self.prompt.messages(question.data)
        form = replace(_FORM, most_tokens=self.llm.server.max_answer_tokens)
        said: list[Answer] = []
        lists: dict[str, list[str]] = {}
        problem = ""
        for _ in range(2):
            try:
                said.append(answer := await self.llm.ask(messages, form))
            except NotTakenError as error:
                problem = str(error)
                break
            found, problem = _lists_in(answer)
            lists = found or lists
            problem = problem or _named_others(found["synonyms"], question)
            if not problem:
                break
            messages += self.prompt.messages_again(answer.raw, problem)
        return ModelAnswer(
            label=question.label,
            model=self.llm.server.model,
            prompt_hash=self.prompt.hash,
            synonyms=lists.get("synonyms", []),
            near_misses=lists.get("near_misses", []),
            parents=lists.get("parents", []),
            rejected="" if lists else problem,  # a synonym that names another label is left out by the review
            prompt_tokens=sum(answer.prompt_tokens for answer in said),
            completion_tokens=sum(answer.completion_tokens for answer in said),
        )

    def _count(self, answer: ModelAnswer) -> None:
        self.report.num_answered += not answer.rejected
        self.report.prompt_tokens += answer.prompt_tokens
        self.report.completion_tokens += answer.completion_tokens
        if answer.rejected:
            self.report.rejected[answer.rejected] += 1


def _questions(labels: Sequence[Label], ontology: Ontology | None) -> list[_Question]:
    """One for each label. Those of the same cluster are its like, all others are what it is not."""
    words = {label: plain_words(label_words(label, ontology)) or label for label, _ in labels}
    clusters: dict[str, set[str]] = {}
    for label, cluster in labels:
        clusters.setdefault(label, set()).add(cluster)
    questions = []
    for label, own in clusters.items():
        alike = {words[other] for other, cluster in labels if cluster in own}
        others = sorted({words[other] for other in clusters} - alike)
        same = sorted(alike - {words[label]})
        questions.append(_Question(label=label, words=words[label], same=same, others=others))
    return questions


def _lists_in(answer: Answer) -> tuple[dict[str, list[str]], str]:
    """The three lists, or what is wrong."""
    if answer.finish_reason != "stop":
        return {}, "it was cut off or withheld"
    content = json_in(answer.raw)
    if content is None:
        return {}, "it is not the JSON object asked for"
    lists: dict[str, list[str]] = {}
    for name in _LISTS:
        texts = content.get(name)
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            return {}, f'"{name}" is no list of texts'
        if len(texts) > _MOST_TEXTS:
            return {}, f'"{name}" holds more than {_MOST_TEXTS} texts'
        lists[name] = [_encodable(text[:_LONGEST_TEXT]) for text in texts]
    return (lists, "") if any(lists.values()) else ({}, "all lists are empty")


def _named_others(synonyms: Iterable[str], question: _Question) -> str:
    others = set(map(sense, question.others))
    wrong = [text for text in synonyms if sense(text) in others]
    return f"these synonyms name others: {json.dumps(wrong, ensure_ascii=False)}" if wrong else ""


def _encodable(text: str) -> str:
    """A lone surrogate can be neither sent nor kept."""
    return text.encode("utf-8", "replace").decode()
