"""What a run says goes to a full disk, or nobody reads it: the run goes on, and is as good as any."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from faults import Server
from kept_run import RUN, Outcome, gone_on_with, outcome


@pytest.fixture(scope="module")
def whole(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """What the run comes to."""
    folder = tmp_path_factory.mktemp("whole")
    assert server.run(folder, *RUN).code == 0
    return outcome(folder)


@pytest.mark.parametrize("stderr", ["/dev/full", "closed pipe"])
def test_a_run_goes_on_where_nobody_hears_of_it(server: Server, whole: Outcome, tmp_path: Path, stderr: str) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    assert server.run(tmp_path / "a", *RUN, stderr=stderr).code == 0
    assert outcome(tmp_path / "a") == whole


def test_no_file_gets_what_a_closed_stream_would_have_got(server: Server, whole: Outcome, tmp_path: Path) -> None:
    """The next file that is opened would have its number."""
    done = server.run(tmp_path / "a", *RUN, stderr="closed", at=20, fault={"kill": int(signal.SIGTERM)})
    assert done.code == 143  # it was told to stop, and would have said so
    assert not (tmp_path / "a" / "run" / ".lock").read_bytes()
    gone_on_with(server, tmp_path / "a")
    assert outcome(tmp_path / "a") == whole


PYTHON = f"exec {sys.executable} -m xpnn_cli {' '.join(RUN)}"


@pytest.mark.skipif(os.name == "nt", reason="the shell is another one")
@pytest.mark.parametrize(
    ("streams", "code"),
    [("2>&-", 0), (">&- 2>&-", 0), ("2>&1 | head -1", 0), (">/dev/full", 1), (">/dev/full 2>&1", 1)],
)
def test_streams_that_are_closed_or_full(whole: Outcome, tmp_path: Path, streams: str, code: int) -> None:
    """The run is whole, whatever became of what it says; a result that couldn't be printed is an error."""
    if "full" in streams and not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    command = f"{{ {PYTHON} ; }} {streams}" if "|" in streams else f"{PYTHON} {streams}"
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, env=environment, capture_output=True, check=False)  # noqa: S607
    assert done.returncode == code, done.stderr
    found = outcome(tmp_path)
    assert found.files == whole.files
    assert len(found.history) == 3
