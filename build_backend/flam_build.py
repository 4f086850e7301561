"""Hatchling, with one line added to the metadata that pip resolves from a checkout or an sdist.

Scaper 1.6.5 requires soxbindings, whose last release can't be installed on the Pythons we support.
A stand-in of the same name lies in `third_party/soxbindings`, and pip must be told: it looks for
`soxbindings` on PyPI, and nothing in pyproject.toml could send it elsewhere (uv has
`tool.uv.sources`, which is there for it). So the metadata prepared for resolving (PEP 517's
`prepare_metadata_for_build_*`) also require `soxbindings @ file:///.../third_party/soxbindings`,
and `pip install .`, `pip install -e .` and `pip install flam_cli-0.1.0.tar.gz` need no further
argument.

A wheel must not name a path of the machine that built it. `build_wheel` and `build_editable` are
therefore hatchling's own, and a wheel's metadata hold pyproject.toml's dependencies. That departs
from PEP 517 on purpose: it asks for a wheel whose metadata equal the prepared ones, while pip
resolves with the prepared ones and installs the wheel. The price: whoever installs a wheel by
itself must have the stand-in's wheel at hand (`make dist` builds both, then `pip install
--find-links dist flam-cli`); so must who installs an sdist by name (`pip install "flam-cli @
file:///..."`) a second time, as pip then takes the wheel that it cached.

The metadata come from hatchling's builder, since hatchling hides its `prepare_metadata_*` from pip.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.build import (
    build_editable,
    build_sdist,
    build_wheel,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
)
from hatchling.builders.wheel import WheelBuilder

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

ROOT = Path(__file__).resolve().parent.parent
STAND_IN = ROOT / "third_party" / "soxbindings"


def prepare_metadata_for_build_wheel(
    metadata_directory: str,
    config_settings: dict[str, Any] | None = None,  # noqa: ARG001 - the hook's signature
) -> str:
    """Write a .dist-info that names the in-tree soxbindings; the folder's name."""
    builder = WheelBuilder(str(ROOT))
    folder = Path(metadata_directory, f"{builder.artifact_project_id}.dist-info")
    folder.mkdir()
    metadata = builder.config.core_metadata_constructor(
        builder.metadata, extra_dependencies=(f"soxbindings @ {STAND_IN.as_uri()}",)
    )
    (folder / "METADATA").write_text(metadata, encoding="utf-8")
    return folder.name


prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel
