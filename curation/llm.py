"""One call to an OpenAI-compatible server: a structured answer, its usage, errors by what to do.

The key is read from OPENAI_API_KEY when the client is made and is never part of a message: ours
don't name it, and the server's, which may, are never quoted.
"""

import asyncio
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from manifests.errors import FlamError

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_PLACEHOLDER_KEY = "none"  # many local servers want no key, but the client insists on one
_LONGEST_WAIT = 120.0  # seconds; the client waits no longer for a server that says when to come back
_UNANSWERED = {408, 409, 429}  # with 5xx: the server may answer later
_SCHEMA = {
    "type": "object",
    "properties": {"caption": {"type": "string"}},
    "required": ["caption"],
    "additionalProperties": False,
}
_CAPTION = re.compile(r"""["']caption["']\s*:\s*("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')(?=\s*(?:[,}\]`]|$))""")
_RESPONSE_FORMAT: Any = {
    "type": "json_schema",
    "json_schema": {"name": "caption", "strict": True, "schema": _SCHEMA},
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """Where captions come from."""

    model: str
    base_url: str | None = None  # None: OPENAI_BASE_URL, else OpenAI
    timeout: float = 60.0  # seconds for one attempt
    max_retries: int = 4  # after 429, 5xx and lost connections, with the waits that the server asks for

    @property
    def name(self) -> str:
        """The model and where it runs, as a user may see it: without a password in the URL."""
        url = urlsplit(self.base_url or os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1")
        return f"model {self.model!r} at {url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What the model said, as far as it could be read."""

    text: str  # the caption; empty if there is none
    raw: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


class NoAnswerError(Exception):
    """One call came to nothing, though the next may not. Its text is the reason in a few words."""


class Llm:
    """A client for one server. Use it inside one event loop."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._client = _client(server)
        self._structured = True  # until the server refuses it

    async def ask(self, messages: Sequence[dict[str, str]]) -> Answer:
        """One answer; raises NoAnswerError if there is none, FlamError if no other will come."""
        import openai

        deadline = (self.server.max_retries + 1) * self.server.timeout + _LONGEST_WAIT  # against a server that drips
        try:
            async with asyncio.timeout(deadline):
                return _answer(await self._complete(messages))
        except (openai.APITimeoutError, TimeoutError):
            raise NoAnswerError("timeout") from None
        except openai.APIConnectionError:
            raise NoAnswerError("connection lost or refused") from None
        except openai.APIStatusError as error:
            raise _status_error(self.server, error) from None
        except (
            openai.APIError,
            ValueError,
        ):  # ValueError: a body that is no JSON reaches us as JSONDecodeError
            raise NoAnswerError("malformed response") from None

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.close()

    async def _complete(self, messages: Sequence[dict[str, str]]) -> Any:
        import openai

        request: Any = {"model": self.server.model, "messages": list(messages)}
        if not self._structured:
            return await self._client.chat.completions.create(**request)
        try:
            return await self._client.chat.completions.create(**request, response_format=_RESPONSE_FORMAT)
        except (openai.BadRequestError, openai.UnprocessableEntityError):
            answer = await self._client.chat.completions.create(**request)
            self._structured = False  # the request was good, so it was the schema that the server does not know
            return answer


def _client(server: Server) -> "AsyncOpenAI":
    from openai import AsyncOpenAI

    key = os.environ.get("OPENAI_API_KEY", "").strip()
    base_url = server.base_url or os.environ.get("OPENAI_BASE_URL") or None
    if not key and base_url is None:
        raise FlamError("no API key: set OPENAI_API_KEY, or give --base-url for a server that needs none")
    if not (key.isascii() and key.isprintable()):
        raise FlamError("OPENAI_API_KEY holds characters that no key has; set it again")
    if base_url is not None and not re.match(r"https?://[^/\s]+", base_url):
        raise FlamError(f"base URL of {server.name} is no http:// or https:// address; check --base-url")
    return AsyncOpenAI(
        api_key=key or _PLACEHOLDER_KEY,
        base_url=base_url,
        timeout=server.timeout,
        max_retries=server.max_retries,
    )


def _status_error(server: Server, error: Any) -> FlamError | NoAnswerError:
    status = int(error.status_code)
    if status in _UNANSWERED or status >= 500:
        return NoAnswerError(f"HTTP {status}")
    advice = {
        400: "it refused the request; check --model and --base-url",
        401: "check OPENAI_API_KEY",
        403: "the key in OPENAI_API_KEY may not use it",
        404: "it is not there; check --model and --base-url",
    }
    return FlamError(f"{server.name} answered HTTP {status}: " + advice.get(status, "check --model and --base-url"))


def _answer(completion: Any) -> Answer:
    """Read a completion; servers leave fields out, and the client does not look."""
    choices = getattr(completion, "choices", None)
    if not isinstance(choices, list) or not choices or getattr(choices[0], "message", None) is None:
        raise NoAnswerError("malformed response")
    content = getattr(choices[0].message, "content", None)
    raw = content if isinstance(content, str) else ""
    usage = getattr(completion, "usage", None)
    return Answer(
        text=caption_in(raw),
        raw=raw,
        finish_reason=str(getattr(choices[0], "finish_reason", None) or ""),
        prompt_tokens=_count(getattr(usage, "prompt_tokens", 0)),
        completion_tokens=_count(getattr(usage, "completion_tokens", 0)),
    )


def _count(value: Any) -> int:
    return value if isinstance(value, int) and 0 <= value < 2**62 else 0


def caption_in(raw: str) -> str:
    """The caption in JSON, fenced or among other text, or in bare text; empty if that is broken.

    Servers without structured output leave a bracket or a comma wrong, or quote as Python does: one whole string after
    the key is taken then, never a part of one, nor one of several.
    """
    text = re.sub(r"<think>.*?</think>", "", raw, flags=re.DOTALL).strip()
    start, end = text.find("{"), text.rfind("}")
    if start < 0:
        bare = text.removeprefix("```").removesuffix("```").strip()
        return bare[1:-1] if len(bare) > 1 and bare[0] == bare[-1] == '"' else bare
    try:
        found = json.loads(text[start : end + 1])
    except (ValueError, RecursionError):
        return _only_caption(text[start:])
    caption = found.get("caption") if isinstance(found, dict) else None
    return caption.strip() if isinstance(caption, str) else ""


def _only_caption(text: str) -> str:
    """The one whole string after the key in text that is almost JSON; empty if there is none, or another."""
    found = _CAPTION.findall(text)
    if len(found) != 1 or text.count("caption") > found[0].count("caption") + 1:
        return ""
    text = found[0]
    if text[0] == "'":
        text = '"' + text[1:-1].replace("\\'", "'").replace('"', '\\"') + '"'
    try:
        return str(json.loads(text)).strip()
    except ValueError:
        return ""
