"""What a language model wrote -> the JSON that was asked for, as far as it can be read.

Servers without structured output put fences and text around it, leave a bracket or a comma wrong, or quote as Python
does. What is ambiguous or cut is none.
"""

import json
import re
from typing import Any

_TOKEN = re.compile(r""""(?:[^"\\]|\\.)*"|'((?:[^'\\]|\\.)*)'|,(?=\s*[}\]])""", re.DOTALL)
_CAPTION = re.compile(r"""["']caption["']\s*:\s*("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')(?=\s*(?:[,}\]`]|$))""")
_ITEM = re.compile(r"\{[^{}]*\}")


def json_in(raw: str) -> dict[str, Any] | None:
    """The JSON object in an answer; None if there is none, or only a part of one."""
    text = _spoken(raw)
    start, end = text.find("{"), text.rfind("}")
    if start < 0:
        return None
    found = _loads(text[start : end + 1])
    return found if isinstance(found, dict) else None


def caption_in(raw: str) -> str:
    """The caption in JSON, fenced or among other text, or in bare text; empty if that is broken."""
    text = _spoken(raw).strip()
    start = text.find("{")
    if start < 0:
        bare = text.removeprefix("```").removesuffix("```").strip()
        return bare[1:-1] if len(bare) > 1 and bare[0] == bare[-1] == '"' else bare
    found = json_in(text)
    if found is None:
        return _only_caption(text[start:])
    caption = found.get("caption")
    return caption.strip() if isinstance(caption, str) else ""


def items_in(raw: str, key: str) -> tuple[dict[str, str], set[str]]:
    """Texts by id from an answer that lists {"id": ..., key: text}, and the ids that came more than once.

    Each item is read by itself: a list that was cut still holds its first items.
    """
    found: dict[str, str] = {}
    doubled: set[str] = set()
    for item in _ITEM.findall(_spoken(raw)):
        content = _loads(item)
        if not isinstance(content, dict) or not isinstance(content.get(key), str) or "id" not in content:
            continue
        identity = str(content["id"])
        if identity in found:
            doubled.add(identity)
        found[identity] = content[key].strip()
    return {identity: text for identity, text in found.items() if identity not in doubled}, doubled


def _spoken(raw: str) -> str:
    """What follows the thoughts that some models write down first."""
    return raw.rpartition("</think>")[2]


def _loads(text: str) -> Any:
    """JSON, or what becomes JSON with other quotes and without commas before brackets; None if neither."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(_TOKEN.sub(_mended, text))
    except (ValueError, RecursionError):
        return None


def _mended(token: re.Match[str]) -> str:
    if token[0] == ",":
        return ""
    return token[0] if token[1] is None else _double_quoted(token[1])


def _double_quoted(content: str) -> str:
    return '"' + content.replace("\\'", "'").replace('"', '\\"') + '"'


def _only_caption(text: str) -> str:
    """The one whole string after the key in text that is almost JSON; empty if there is none, or another."""
    found = _CAPTION.findall(text)
    if len(found) != 1 or text.count("caption") > found[0].count("caption") + 1:
        return ""
    text = found[0]
    try:
        return str(json.loads(_double_quoted(text[1:-1]) if text[0] == "'" else text)).strip()
    except ValueError:
        return ""
