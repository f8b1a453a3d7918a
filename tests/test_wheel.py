"""The wheel: what a `pip install` puts on a user's machine."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

import xpnn

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.Path:
    """The wheel of this tree, built with the hatchling of the test environment, so that no network is needed."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.whl")
    return zipfile.Path(path)


def dist_info(wheel: zipfile.Path) -> str:
    (name,) = (entry.name for entry in wheel.iterdir() if entry.name.endswith(".dist-info"))
    return name


def test_top_level_names_are_the_two_packages(wheel: zipfile.Path) -> None:
    assert {entry.name for entry in wheel.iterdir()} == {"xpnn", "xpnn_cli", dist_info(wheel)}


def test_every_module_of_the_tree_is_in_it_and_nothing_else(wheel: zipfile.Path) -> None:
    packages = [(ROOT, "xpnn"), (ROOT / "cli", "xpnn_cli")]
    modules = {path.relative_to(root).as_posix() for root, name in packages for path in (root / name).rglob("*.py")}
    in_wheel = {name for name in wheel.root.namelist() if not name.startswith(dist_info(wheel))}

    assert in_wheel >= modules
    assert not [name for name in in_wheel - modules if name.endswith((".py", ".pyc"))]
    assert not [name for name in in_wheel if "tests/" in name or "test_" in name or "conftest" in name]


@pytest.mark.parametrize("name", ["xpnn/data/digits.npz", "xpnn/fast/kernels.cu", "xpnn/py.typed"])
def test_data_file_is_in_it_as_it_is_in_the_tree(wheel: zipfile.Path, name: str) -> None:
    assert (wheel / name).read_bytes() == (ROOT / name).read_bytes()


def test_the_version_is_the_packages_own(wheel: zipfile.Path) -> None:
    metadata = (wheel / dist_info(wheel) / "METADATA").read_text(encoding="utf-8")
    assert re.findall(r"^Version: (.+)$", metadata, re.MULTILINE) == [xpnn.__version__]


def test_the_command_is_xpnn_clis_main(wheel: zipfile.Path) -> None:
    entry_points = ConfigParser()
    entry_points.read_string((wheel / dist_info(wheel) / "entry_points.txt").read_text())

    assert {section: dict(entry_points[section]) for section in entry_points.sections()} == {
        "console_scripts": {"xpnn": "xpnn_cli:main"}
    }


def test_the_licence_is_in_it(wheel: zipfile.Path) -> None:
    assert (wheel / dist_info(wheel) / "licenses" / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
