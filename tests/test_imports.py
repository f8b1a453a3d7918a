"""What `import xpnn` loads, and that its public names are the documented ones."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import xpnn

# Run in a fresh interpreter: where xpnn was found, then the third-party packages that its import loads.
# (What has no file is no package: Cython keeps its types in such modules.)
LOADED = """
import sys
before = set(sys.modules)
import xpnn
files = {name for name in set(sys.modules) - before if getattr(sys.modules[name], "__file__", None)}
print(xpnn.__file__, *sorted({name.partition(".")[0] for name in files} - sys.stdlib_module_names), sep="\\n")
"""

# Modules that take many milliseconds: standard ones, and NumPy's generators, which a net's first weights load.
# What NumPy and Click themselves load of them can't be helped.
HEAVY = """
import sys, numpy, click
before = set(sys.modules)
{program}
heavy = {{
    "asyncio", "concurrent.futures", "email", "http", "importlib.metadata", "multiprocessing", "numpy.random",
    "sqlite3", "statistics", "tempfile", "unittest", "urllib.request", "xml", "zipfile",
}}
loaded = set(sys.modules) - before
packages = {{name.partition(".")[0] for name in loaded}} - sys.stdlib_module_names
print(*sorted(heavy & loaded), *sorted(packages - {{"click", "numpy", "xpnn", "xpnn_cli"}}))
"""


def fresh_python(program: str, folder: Path) -> list[str]:
    """The lines that `program` prints, run in `folder`, with warnings as errors."""
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_import_loads_numpy_and_no_other_package(tmp_path: Path) -> None:
    _, *packages = fresh_python(LOADED, tmp_path)

    assert packages == ["numpy", "xpnn"]


def test_tests_and_programs_use_the_same_xpnn(tmp_path: Path) -> None:
    found, *_ = fresh_python(LOADED, tmp_path)

    assert xpnn.__file__ is not None
    assert Path(found).samefile(xpnn.__file__)


@pytest.mark.parametrize(
    "program",
    [
        "import xpnn",
        "import xpnn_cli; xpnn_cli.main(['--help'], standalone_mode=False)",
        "import xpnn_cli; xpnn_cli.main(['train', '--help'], standalone_mode=False)",
    ],
    ids=["import xpnn", "xpnn --help", "xpnn train --help"],
)
def test_no_heavy_module_is_loaded(tmp_path: Path, program: str) -> None:
    assert fresh_python(HEAVY.format(program=program), tmp_path)[-1] == ""


def test_all_is_what_can_be_imported() -> None:
    public = {
        name
        for name, value in vars(xpnn).items()
        if not name.startswith("_") and not (inspect.ismodule(value) and name not in xpnn.__all__)
    }

    assert public == {name for name in xpnn.__all__ if not name.startswith("_")}
    assert len(xpnn.__all__) == len(set(xpnn.__all__))


@pytest.mark.parametrize("name", xpnn.__all__)
def test_public_name_exists_and_is_documented(name: str) -> None:
    assert (inspect.getdoc(getattr(xpnn, name)) or "").strip()
