"""The import contracts of pyproject.toml hold, and each one notices the import that it is there to forbid."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONTRACTS = {
    contract["id"]: contract
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
}

# One line that breaks a contract: (contract, module file, line). Imports inside functions count too.
VIOLATIONS = [
    ("layers", "xpnn/backend.py", "import xpnn.losses"),
    ("layers", "xpnn/losses.py", "import xpnn.activations"),
    ("layers", "xpnn/data/__init__.py", "from xpnn import train"),
    ("layers", "xpnn/in_no_layer.py", ""),
    ("cli-on-top", "xpnn/training.py", "def _late():\n    import xpnn_cli"),
    ("click", "xpnn/evaluation.py", "import click"),
    ("cupy", "xpnn/training.py", "import cupy"),
    ("cupy", "xpnn/__init__.py", "def _late():\n    from cupyx import empty_pinned"),
    ("cupy", "cli/xpnn_cli/__init__.py", "import cupy.cuda"),
    ("scikit-learn", "xpnn/evaluation.py", "def _late():\n    from sklearn.metrics import f1_score"),
    ("device-agnostic", "xpnn/steps.py", "def _late():\n    import numpy"),
]
AGNOSTIC = (
    "activations",
    "gates",
    "losses",
    "layers",
    "network",
    "normal",
    "optimizers/adaptive",
    "schedules",
    "steps",
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the two packages and of the contracts."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in ("xpnn", "cli/xpnn_cli"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def broken_contracts(tree: Path) -> tuple[set[str], str]:
    """The names of the contracts that lint-imports finds broken in `tree`, and all that it prints."""
    program = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command()"
    path = os.pathsep.join([str(tree), str(tree / "cli")])
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, "--no-cache"],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": path, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    broken = {match[1] for match in re.finditer(r"^(.*\S) +BROKEN\b", done.stdout, re.MULTILINE)}
    kept = re.findall(r"^.*\S +KEPT\b", done.stdout, re.MULTILINE)
    assert len(broken) + len(kept) == len(CONTRACTS), done.stdout + done.stderr
    assert done.returncode == bool(broken), done.stdout + done.stderr
    return broken, done.stdout


def append(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")


def test_the_tree_keeps_every_contract(tree: Path) -> None:
    broken, output = broken_contracts(tree)

    assert not broken, output


@pytest.mark.parametrize(("contract", "module", "line"), VIOLATIONS)
def test_a_violation_is_found(tree: Path, contract: str, module: str, line: str) -> None:
    append(tree / module, line)

    broken, output = broken_contracts(tree)

    assert CONTRACTS[contract]["name"] in broken, output


def test_every_contract_has_a_violation_that_is_tried() -> None:
    assert {contract for contract, _, _ in VIOLATIONS} == set(CONTRACTS)


@pytest.mark.parametrize("library", ["numpy", "cupy"])
def test_no_device_agnostic_module_may_import_an_array_library(tree: Path, library: str) -> None:
    for module in AGNOSTIC:
        append(tree / "xpnn" / f"{module}.py", f"def _late():\n    import {library}")

    broken, output = broken_contracts(tree)

    assert CONTRACTS["device-agnostic"]["name"] in broken
    for module in AGNOSTIC:
        name = module.partition("/")[0]
        assert f"xpnn.{name} is not allowed to import {library}:" in output, output
        assert f"xpnn.{module.replace('/', '.')} -> {library} (l." in output, output


def test_no_layer_may_import_the_one_above(tree: Path) -> None:
    upward = itertools.pairwise(["errors", "backend", "losses", "network", "data", "steps", "training", "recipes"])
    expected = []
    for lower, upper in upward:
        package = tree / "xpnn" / lower
        append(package / "__init__.py" if package.is_dir() else package.with_suffix(".py"), f"import xpnn.{upper}")
        expected.append(f"xpnn.{lower} is not allowed to import xpnn.{upper}:")

    _, output = broken_contracts(tree)

    assert not [line for line in expected if line not in output], output
