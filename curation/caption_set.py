"""A caption set: a folder of one model's answers to one prompt a style, and captions.json, which says which."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from manifests.errors import FlamError
from manifests.schema import Caption
from manifests.store import claim, read_json, read_table

_SHARDS, _JOURNALS = "[0-9]*.parquet", ".[0-9]*.jsonl"
_DIFFERS = "give the captions another --name, or delete that folder to make them anew"
_TEMPLATES = "template"


def set_name(name: str | None, model: str | None) -> str:
    """The set's folder: the name given, else the model's as far as a folder can have it; raises FlamError."""
    if name is None and model is None:
        return _TEMPLATES
    if name is None:
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", str(model)).strip("-.")[:80] or "openai"
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,79}", name):
        raise FlamError(f"caption set name {name!r} cannot be used: take letters, digits, dots, dashes")
    if name == _TEMPLATES and model is not None:
        raise FlamError(f"caption set {name!r} is the templates' own; give the model's captions another --name")
    return name


def claim_set(target: Path, content: Mapping[str, Any], prompts: Mapping[str, str], *, under_way: str) -> None:
    """One set has one model, one prompt a style and one seed; while it holds nothing, they may change.

    Args:
        target: the set.
        content: `model`, and all else that is the same for the whole set.
        prompts: by style, the hash of what is asked now; other styles keep theirs.
        under_way: name of a folder in it that counts as captions, too.
    """
    path = target / "captions.json"
    if not any(any(target.glob(name)) for name in (_SHARDS, _JOURNALS, under_way)):
        path.unlink(missing_ok=True)
    known = _noted(path) if path.exists() else _prompts_of(target, content["model"])
    for style, value in prompts.items():
        if known.get(style, value) != value:
            raise FlamError(f"{target}: style {style} was made with another prompt; {_DIFFERS}")
    claim(path, dict(content), differs=_DIFFERS, noted={"prompts": {**known, **prompts}})


def _noted(path: Path) -> dict[str, Any]:
    there = read_json(path)
    known = there.get("prompts", {}) if isinstance(there, dict) else {}
    if not isinstance(known, dict):
        raise FlamError(
            f"{path} is damaged: prompts is no object; restore it, or delete it to go by the captions there"
        )
    return known


def _prompts_of(target: Path, model: str) -> dict[str, str]:
    """By style, the prompts of the captions in a set without its file; raises FlamError if another model made them."""
    known = {}
    for maker, style, prompt_hash in _makers(target):
        if maker != model:
            whose = [f"model {name!r}" if name else "templates" for name in (maker, model)]
            raise FlamError(f"{target} holds captions of {whose[0]}, not of {whose[1]}; {_DIFFERS}")
        known[style] = prompt_hash
    return {style: prompt_hash for style, prompt_hash in known.items() if prompt_hash}


def _makers(target: Path) -> Iterator[tuple[str, str, str]]:
    """Model, style and prompt hash of each caption there."""
    for path in sorted(target.glob(_SHARDS)):
        table = read_table(path, Caption)
        yield from zip(*(table[name].to_pylist() for name in ("model", "style", "prompt_hash")), strict=True)
    for path in sorted(target.glob(_JOURNALS)):
        for line in path.read_bytes().split(b"\n"):
            try:
                yield from [(row["model"], row["style"], row["prompt_hash"]) for row in json.loads(line)]
            except (ValueError, LookupError, TypeError):  # cut, or damaged: it is made anew
                continue
