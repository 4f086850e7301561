"""The build backend: a wheel names no path, and pip is led to the in-tree soxbindings."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("curation", "evaluation", "manifests", "training")
BACKEND = """
import sys
sys.path.insert(0, "build_backend")
import flam_build
print(getattr(flam_build, sys.argv[1])(sys.argv[2]))
"""


def run_hook(hook: str, out: Path, root: Path = ROOT) -> Path:
    """What the hook made, called as pip calls it: in its own process, in the source tree."""
    out.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", BACKEND, hook, str(out)],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PIP_BUILD_TRACKER": str(out)},
    )
    assert done.returncode == 0, done.stderr
    return out / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_hook("build_wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_hook("build_sdist", tmp_path_factory.mktemp("sdist"))


def requirements(metadata: str) -> list[str]:
    return Parser().parsestr(metadata).get_all("Requires-Dist") or []


def test_a_wheel_names_no_path_of_the_machine_that_built_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            content = archive.read(name)
            assert str(ROOT).encode() not in content, name
            if ".dist-info/" in name and "licenses" not in name:
                assert b"file:" not in content, name
                assert b" @ " not in content, name
            assert not name.startswith("/")
            assert ".." not in Path(name).parts


def test_a_wheel_requires_what_pyproject_declares(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read("flam_cli-0.1.0.dist-info/METADATA").decode()
    assert {"scaper==1.6.5", "soxbindings>=1.2.2"} <= set(requirements(metadata))


def package_files(root: Path) -> set[str]:
    paths = [path for name in PACKAGES for path in (root / name).rglob("*") if path.is_file()]
    files = {path.relative_to(root).as_posix() for path in paths if path.parent.name != "__pycache__"}
    return files | {"cli.py", "cli_demo.py", "cli_print.py"}


def test_a_wheel_holds_the_packages_with_every_data_file_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    files = package_files(ROOT)
    assert {f"{name}/py.typed" for name in PACKAGES} <= files
    assert {name for name in names if ".dist-info/" not in name} == files


def test_the_command_is_installed(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        entry_points = archive.read("flam_cli-0.1.0.dist-info/entry_points.txt").decode()
    assert "flam-cli = cli:run" in entry_points


@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_the_metadata_pip_resolves_with_name_the_stand_in(kind: str, tmp_path: Path) -> None:
    info = run_hook(f"prepare_metadata_for_build_{kind}", tmp_path)
    assert info.name == "flam_cli-0.1.0.dist-info"
    lines = requirements((info / "METADATA").read_text())
    stand_in = ROOT / "third_party" / "soxbindings"
    assert f"soxbindings @ {stand_in.as_uri()}" in lines
    assert "scaper==1.6.5" in lines


def test_prepared_metadata_differ_from_the_wheels_by_that_line_only(wheel: Path, tmp_path: Path) -> None:
    info = run_hook("prepare_metadata_for_build_wheel", tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        built = archive.read("flam_cli-0.1.0.dist-info/METADATA").decode()
    prepared = (info / "METADATA").read_text()
    added = set(prepared.splitlines()) - set(built.splitlines())
    assert len(added) == 1
    assert not set(built.splitlines()) - set(prepared.splitlines())


def test_an_sdist_holds_the_backend_and_the_stand_in_and_builds_a_wheel(sdist: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    root = tmp_path / "flam_cli-0.1.0"
    wheel = run_hook("build_wheel", tmp_path / "wheel", root)
    with zipfile.ZipFile(wheel) as archive:
        assert package_files(root) <= set(archive.namelist())
    info = run_hook("prepare_metadata_for_build_wheel", tmp_path / "info", root)
    assert (root / "third_party" / "soxbindings").as_uri() in (info / "METADATA").read_text()


def test_the_stand_in_satisfies_scapers_requirement() -> None:
    with (ROOT / "third_party" / "soxbindings" / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    assert project["name"] == "soxbindings"
    assert tuple(map(int, project["version"].split("+")[0].split("."))) >= (1, 2, 2)


def test_every_dependency_from_pypi_is_pinned_in_the_constraints() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    named = [*project["dependencies"], *extras]
    names = {re.split(r"[<>=;\[ ]", line)[0].lower().replace("_", "-") for line in named}
    assert names - {"soxbindings"} <= pinned
