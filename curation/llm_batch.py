"""The same questions through OpenAI's Batch API: answers within a day, at a lower price, over any number of runs.

SET/.batch/R-P.jsonl           requests: part P of round R
SET/.batch/R-P.json            what became of it: its key, file and batch
SET/.batch/R-P.answers.jsonl   what was answered, whole or not at all

A round asks what the answers of all earlier rounds leave open, found out by going through them anew: nothing else has
to be remembered, and a run may end anywhere. A batch is made under a key that was written down before: a run that was
killed before it could note the batch finds it by that key, and nothing is paid for twice.
"""

import asyncio
import hashlib
import json
import shutil
import uuid
from collections.abc import AsyncIterator, Callable, Set
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from curation.budget import Budget, Reservation, question_bytes
from curation.llm import Answer, MalformedError, Server, answer_in, make_client, refusal, request
from curation.questions import Case
from manifests.errors import FlamError
from manifests.store import read_json, replacing, write_json

MOST_REQUESTS, MOST_BYTES = 50_000, 150_000_000  # of one batch; OpenAI takes 50,000 and 200 MB
POLL_SECONDS = (2.0, 60.0)  # the first wait, and the longest; each is half as long again as the one before
_MOST_ROUNDS = 3  # a question, another after a bad answer, and one for what was lost on the way
_NO_BATCHES = {404, 405, 501}  # of a server that does not know the paths
_ENDED = {"completed", "failed", "expired", "cancelled"}
_ENDPOINT: Literal["/v1/chat/completions"] = "/v1/chat/completions"


class Batches:
    """What of one caption set is asked in batches. Use it inside one event loop.

    Args:
        server: where, and which model.
        folder: for what is under way.
        budget: what may be spent.
    """

    def __init__(self, server: Server, folder: Path, budget: Budget) -> None:
        self.server, self.folder, self.budget = server, folder, budget
        self.client = make_client(server).with_options(max_retries=server.max_retries)
        self._answers: dict[str, list[Answer | None]] = {}  # by case, round by round
        self._loaded: set[str] = set()
        self._reserved: list[Reservation] = []

    async def wait(self, note: Callable[[str], None]) -> None:
        """Send what was not sent, and wait until everything is answered; `note` is told how far it is."""
        parts = sorted(self.folder.glob("*-*.json"), key=_place)
        async with _errors(self.server):
            for part in parts:  # all at once: each may take a day
                await self._send(part)
            for part in parts:
                await self._finish(part, note)
                self._load(part)
        for reservation in self._reserved:
            self.budget.release(reservation)
        self._reserved.clear()

    def replay(self, case: Case) -> None:
        """Give a case the answers that it has got; closes it if there will be no others."""
        answers = self._answers.get(_id_of(case), [])
        for answer in answers:
            if answer is not None and case.is_open:
                case.take(answer)
        if case.is_open and len(answers) >= _MOST_ROUNDS:
            case.give_up("no answer in the batch")

    def next_round(self) -> "Round":
        """What is to be asked next."""
        number = 1 + max((_place(part)[0] for part in self.folder.glob("*-*.json")), default=-1)
        return Round(self, number)

    def reserve(self, size: int, most_tokens: int) -> bool:
        """Whether the budget has room for one more question of so many bytes."""
        reservation = self.budget.try_reserve(size, most_tokens)
        if reservation is not None:
            self._reserved.append(reservation)
        return reservation is not None

    def forget(self, stored: Set[str]) -> None:
        """Drop what is under way, once all that was asked is stored: a run of fewer captions leaves answers for others.

        Args:
            stored: custom ids of all captions of the set.
        """
        if self._answers.keys() <= stored:
            shutil.rmtree(self.folder, ignore_errors=True)

    async def close(self) -> None:
        """Give the connections back."""
        await self.client.close()

    async def _send(self, part: Path) -> None:
        import openai

        state = read_json(part)
        if "batch" in state:
            return
        try:
            state["batch"] = await self._found(state["key"]) or await self._sent(part, state)
        except openai.APIStatusError as error:
            if error.status_code not in _NO_BATCHES:
                raise
            if not any("batch" in read_json(other) for other in self.folder.glob("*-*.json")):
                shutil.rmtree(self.folder, ignore_errors=True)
            raise FlamError(
                f"{self.server.name} has no Batch API (HTTP {error.status_code}); leave out --batch"
            ) from None
        write_json(part, state)

    async def _finish(self, part: Path, note: Callable[[str], None]) -> None:
        if _answers_of(part).exists():
            return
        state = read_json(part)
        wait, longest = POLL_SECONDS
        while (batch := await self.client.batches.retrieve(state["batch"])).status not in _ENDED:
            if batch.request_counts is not None:
                note(f"{batch.request_counts.completed} of {batch.request_counts.total} answered in {batch.id}")
            await asyncio.sleep(wait)
            wait = min(longest, 1.5 * wait)
        files = [file for file in (batch.output_file_id, batch.error_file_id) if file]
        if batch.status == "failed" and not files:
            part.unlink()
            codes = ", ".join(sorted({str(error.code) for error in (batch.errors and batch.errors.data) or []}))
            raise FlamError(f"{self.server.name} would not have batch {batch.id} ({codes or 'no reason given'})")
        lines = [line for file in files for line in (await self.client.files.content(file)).text.splitlines()]
        answers = dict(_answer(line) for line in lines if line.strip())
        asked = [json.loads(line)["custom_id"] for line in _requests_of(part).read_text("utf-8").splitlines()]
        for found in answers.values():  # before they are there: a kill between may count them twice, and never not
            if found is not None:
                self.budget.count(found["prompt_tokens"], found["completion_tokens"])
        with replacing(_answers_of(part)) as temporary, temporary.open("w", encoding="utf-8") as out:
            for key in asked:
                out.write(json.dumps({"id": key, "answer": answers.get(key)}) + "\n")

    async def _found(self, key: str) -> str | None:
        """The batch that a killed run made under a key."""
        async for batch in self.client.batches.list():
            if (batch.metadata or {}).get("flam_cli") == key:
                return batch.id
        return None

    async def _sent(self, part: Path, state: dict[str, Any]) -> str:
        if "file" not in state:
            state["file"] = (await self.client.files.create(file=_requests_of(part), purpose="batch")).id
            write_json(part, state)
        batch = await self.client.batches.create(
            input_file_id=state["file"],
            endpoint=_ENDPOINT,
            completion_window="24h",
            metadata={"flam_cli": state["key"]},
        )
        return batch.id

    def _load(self, part: Path) -> None:
        if part.stem in self._loaded:
            return
        self._loaded.add(part.stem)
        for line in _answers_of(part).read_text("utf-8").splitlines():
            content = json.loads(line)
            answer = Answer(**content["answer"]) if content["answer"] is not None else None
            self._answers.setdefault(content["id"], []).append(answer)


class Round:
    """Requests on their way to the disk; a part appears whole, and with it the order to send it."""

    def __init__(self, batches: Batches, number: int) -> None:
        self.batches, self.number = batches, number
        self.num_requests = 0
        self._part = 0
        self._lines: list[str] = []
        self._bytes = 0

    def add(self, case: Case) -> bool:
        """Ask the next question of a case, if the budget has room for it."""
        messages, form = case.messages(), case.form
        if not self.batches.reserve(question_bytes(messages), form.most_tokens):
            return False
        body = request(self.batches.server.model, messages, form)
        line = json.dumps({"custom_id": _id_of(case), "method": "POST", "url": _ENDPOINT, "body": body}) + "\n"
        if len(self._lines) == MOST_REQUESTS or self._bytes + len(line) > MOST_BYTES:
            self.end()
        self._lines.append(line)
        self._bytes += len(line)
        self.num_requests += 1
        return True

    def end(self) -> None:
        """Write what has been added since the last part."""
        if not self._lines:
            return
        part = self.batches.folder / f"{self.number:02d}-{self._part:03d}.json"
        with replacing(_requests_of(part)) as temporary:
            temporary.write_text("".join(self._lines), "utf-8")
        write_json(part, {"key": uuid.uuid4().hex})
        self._part, self._lines, self._bytes = self._part + 1, [], 0


def custom_id(soundscape_id: str, style: str, prompt_hash: str) -> str:
    """A name for a case that any server takes: 32 hexadecimal digits."""
    content = json.dumps([soundscape_id, style, prompt_hash])
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _id_of(case: Case) -> str:
    return custom_id(case.soundscape.soundscape_id, case.prompt.style, case.prompt.hash)


def _answer(line: str) -> tuple[str, dict[str, Any] | None]:
    """(custom id, answer as JSON or None) from a line of an output or error file."""
    try:
        content = json.loads(line)
        response = content.get("response") or {}
        if response.get("status_code") != 200:
            return str(content.get("custom_id")), None
        answer = answer_in(response.get("body"))
    except (ValueError, AttributeError, MalformedError):
        return "", None
    return str(content["custom_id"]), {name: getattr(answer, name) for name in Answer.__slots__}


def _place(part: Path) -> tuple[int, int]:
    number, _, place = part.stem.partition("-")
    return int(number), int(place)


def _requests_of(part: Path) -> Path:
    return part.with_suffix(".jsonl")


def _answers_of(part: Path) -> Path:
    return part.with_suffix(".answers.jsonl")


@asynccontextmanager
async def _errors(server: Server) -> AsyncIterator[None]:
    """What the client raises, in one line."""
    import openai

    try:
        yield
    except openai.APIStatusError as error:
        if error.status_code == 429 or error.status_code >= 500:
            raise FlamError(f"{server.name} answered HTTP {error.status_code}; run the same command again") from None
        raise refusal(server, error.status_code) from None
    except (openai.APIError, ValueError):
        raise FlamError(f"{server.name} could not be reached; what is under way is kept: run it again") from None
