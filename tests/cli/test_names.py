"""What a file's name may hold doesn't reach the terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

NAME = b"no\nsuch\x1b[31m\r\xff \xc3\xa9.csv"  # two lines, a colour, a byte that is no UTF-8


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are text")
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
@pytest.mark.parametrize("there", [True, False])
def test_errors_name_any_file_in_one_line(tmp_path: Path, locale: str, there: bool) -> None:
    if there:
        (tmp_path / os.fsdecode(NAME)).write_text("a,b\n1,2,3\n")
    command: list[str | bytes] = [sys.executable, "-m", "xpnn_cli", "train", NAME]
    environment = os.environ | {"LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith(b"Error")]
    assert b"no\\nsuch\\x1b[31m\\r\\udcff " in line
    assert ("3 columns" if there else "no such file") in line.decode("utf-8")
    assert done.stdout == b""
