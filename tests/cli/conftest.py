"""The command line as the tests of its commands call it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from faults import Server
from xpnn_cli import main

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in an empty folder; a traceback is a failure of the test."""
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str, exit_code: int = 0) -> Result:
        result = CliRunner().invoke(main, arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == exit_code, result.output
        return result

    return invoke


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """Runs commands in processes of their own, to which things happen."""
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    one = Server()
    yield one
    one.close()
