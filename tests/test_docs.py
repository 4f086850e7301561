"""The documentation against the code."""

import dataclasses
import re
import typing
from pathlib import Path

import pytest

import cli
from curation.source_clip import SourceClip
from manifests.schema import Caption, Phrase, Soundscape

ROOT = Path(__file__).parents[1]


def fields(record: type) -> set[str]:
    """Names of a dataclass's fields, those of nested ones included."""
    found = set()
    for name, hint in typing.get_type_hints(record).items():
        found.add(name)
        for inner in (hint, *typing.get_args(hint)):
            if dataclasses.is_dataclass(inner) and isinstance(inner, type):
                found |= fields(inner)
    return found


@pytest.mark.parametrize("record", [Soundscape, Caption, Phrase, SourceClip])
def test_every_column_is_documented(record: type) -> None:
    text = (ROOT / "docs" / "data.md").read_text("utf-8")
    documented = set(re.findall(r"`(\w+)`", text))
    assert fields(record) <= documented, fields(record) - documented


def test_every_command_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    for command in cli.app.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__
        assert f"flam-cli {name}" in text or f"make {name}" in text


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/captions.md",
        "docs/data.md",
        "docs/effects.md",
        "docs/evaluation.md",
        "docs/model.md",
        "docs/performance.md",
        "docs/results.md",
    ],
)
def test_links_and_named_files_exist(page: str) -> None:
    path = ROOT / page
    text = path.read_text("utf-8")
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (path.parent / target).exists(), target


def test_every_function_that_the_model_page_names_exists() -> None:
    import importlib

    for name in re.findall(r"`((?:training|manifests)\.[\w.]+)`", (ROOT / "docs" / "model.md").read_text("utf-8")):
        parts = name.split(".")
        found = importlib.import_module(".".join(parts[:2]))
        for part in parts[2:]:
            found = getattr(found, part)


def test_the_readmes_file_tree_names_every_module() -> None:
    tree = (ROOT / "README.md").read_text("utf-8").split("## Files")[1]
    for package in ("manifests", "curation", "training", "evaluation"):
        for path in (ROOT / package).glob("*.py"):
            if path.name == "__init__.py":
                continue
            family = re.match(r"([a-z]+)_", path.name)
            assert path.name in tree or (family and f"{family[1]}_*.py" in tree), f"{package}/{path.name}"
