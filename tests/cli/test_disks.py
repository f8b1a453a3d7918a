"""Disks that fail a run: full, read-only, gone. One line says so, the last checkpoint stays, and the run can go on.

Faults are injected at a run's file operations, and where the system lets us they are real: a small disk in memory,
a limit on the size of files.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import Done, Server
from kept_run import RESUME, RUN, Outcome, gone_on_with, newest, outcome

ERRORS = ("ENOSPC", "EDQUOT", "EROFS", "EACCES", "EIO")
LOST = "run: the run's folder, or its .lock, was moved or deleted; put it back; `xpnn train --resume run` goes on"
REMEDIES = {"ENOSPC": "make room", "EDQUOT": "make room"}
EVERYTHING = "XPNN_TEST_ALL_FAULTS" in os.environ  # each error at each operation: minutes; else one at every third one


@pytest.fixture(scope="module")
def whole(server: Server, tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, list[list[str]]]:
    """What the run comes to where nothing fails, and its file operations."""
    folder = tmp_path_factory.mktemp("whole")
    done = server.run(folder, *RUN)
    assert done.code == 0, done.err
    return outcome(folder), done.operations


def error_of(done: Done) -> str:
    """The one line that says what happened, which Click may have wrapped."""
    assert done.code == 1, done.err
    assert "Traceback" not in done.err
    _, found, error = done.err.partition("Error: ")
    assert found
    assert "Error: " not in error
    return " ".join(error.split())


@pytest.mark.parametrize("shift", range(len(ERRORS) if EVERYTHING else 1))
def test_an_error_at_each_file_operation(
    server: Server, whole: tuple[Outcome, list[list[str]]], tmp_path: Path, shift: int
) -> None:
    """And at all that follow it, as a disk stays full. Each kind of error has its turn."""
    expected, operations = whole
    begun = next(at for at, (_, *places) in enumerate(operations) if places[0] == "run/checkpoints") - 1
    for at, operation in enumerate(operations[:-1]):  # the last one removes a draft that has been renamed
        if not EVERYTHING and at % 3:
            continue
        code = ERRORS[(at + shift) % len(ERRORS)]
        folder = tmp_path / str(at)
        error = error_of(server.run(folder, *RUN, at=at, fault={"errno": code}))
        about = (at, operation, code, error)
        assert f"can't be written ({os.strerror(getattr(errno, code))})" in error, about
        if at > 2:  # before that it is about the folder
            assert REMEDIES.get(code, "choose another place") in error, about
        assert ("`xpnn train --resume run` goes on from the last checkpoint" in error) == (at >= begun), about
        saved = [places[-1] for name, *places in operations[:at] if name == "replace" and "checkpoints" in places[-1]]
        assert newest(folder) == (place_of(saved[-1]) if saved else (0, 0)), about
        gone_on_with(server, folder)
        assert outcome(folder) == expected, about
        shutil.rmtree(folder)


def place_of(checkpoint: str) -> tuple[int, int]:
    """(epoch, rows), by its name."""
    epoch, rows = Path(checkpoint).stem.split("-")
    return int(epoch), int(rows)


@pytest.mark.parametrize("kind", ["lost", "replaced"])
def test_a_folder_that_vanishes(
    server: Server, whole: tuple[Outcome, list[list[str]]], tmp_path: Path, kind: str
) -> None:
    """Nothing is made in its place, and once it is back the run goes on."""
    expected, operations = whole
    for at in range(3, len(operations) - 2, 1 if EVERYTHING else 5):
        folder = tmp_path / str(at)
        done = server.run(folder, *RUN, at=at, fault={kind: "run"})
        error = error_of(done)
        about = (at, operations[at], error)
        assert LOST in error or "can't be written" in error, about
        assert (folder / "run").is_file() == (kind == "replaced")
        assert not (folder / "run").is_dir()
        (folder / "run").unlink(missing_ok=True)
        (folder / "moved").rename(folder / "run")
        gone_on_with(server, folder)
        assert outcome(folder) == expected, about
        shutil.rmtree(folder)


def test_another_folder_in_its_place_is_left_alone(
    server: Server, whole: tuple[Outcome, list[list[str]]], tmp_path: Path
) -> None:
    """Another run may be in it."""
    _, operations = whole
    for at in [at for at, (name, *_) in enumerate(operations) if name == "write"][1:]:
        folder = tmp_path / str(at)
        error = error_of(server.run(folder, *RUN, at=at, fault={"exchanged": "run"}))
        assert LOST in error or "can't be written (No such file or directory)" in error, (at, error)
        assert not any((folder / "run").iterdir()), (at, operations[at])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB, in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if sys.platform != "linux" or os.geteuid():
        pytest.skip("only root can mount a disk, on Linux")
    problem = mount("-t", "tmpfs", "-o", "size=1m", "none", str(folder))
    if problem:
        pytest.skip(f"no disk can be mounted here: {problem}")
    yield folder
    subprocess.run(["umount", folder], check=True)  # noqa: S607  wherever the system has it


def mount(*arguments: str) -> str:
    """Mount a disk; gives what went wrong."""
    return subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False).stderr.strip()  # noqa: S607


def test_a_disk_that_is_really_full_and_one_that_is_read_only(
    server: Server, whole: tuple[Outcome, list[list[str]]], small_disk: Path, tmp_path: Path
) -> None:
    expected, folder = whole[0], small_disk / "folder"
    folder.mkdir()
    ballast = folder.parent / "ballast"
    for room, fits in ((16_000, 0), (48_000, 1), (72_000, 2)):  # checkpoints, of 26,000 bytes
        about = os.statvfs(small_disk)
        ballast.write_bytes(bytes(about.f_bavail * about.f_frsize - room))
        error = error_of(server.run(folder, *RUN, logs=str(tmp_path / "log")))
        assert "can't be written (No space left on device); make room; `xpnn train --resume run` goes on" in error
        assert len([*(folder / "run" / "checkpoints").iterdir()]) == fits
        assert (newest(folder) > (0, 0)) == bool(fits)
        again = error_of(server.run(folder, *RESUME, logs=str(tmp_path / "log")))
        assert "(No space left on device); make room" in again
        ballast.unlink()
        assert not mount("-o", "remount,ro", str(small_disk))
        error = error_of(server.run(folder, *RESUME, logs=str(tmp_path / "log")))
        assert "run: can't be written (Read-only file system); choose another folder" in error
        assert not mount("-o", "remount,rw", str(small_disk))
        assert server.run(folder, *RESUME, logs=str(tmp_path / "log")).code == 0
        assert outcome(folder) == expected
        shutil.rmtree(folder / "run")


def test_files_that_may_not_grow_so_large(
    server: Server, whole: tuple[Outcome, list[list[str]]], tmp_path: Path
) -> None:
    """The limit is the system's, and the error is real; the files that are smaller are written."""
    error = error_of(server.run(tmp_path / "a", *RUN, largest=10_000))
    assert "can't be written (File too large); choose another place; `xpnn train --resume run` goes on" in error
    assert newest(tmp_path / "a") == (0, 0)
    gone_on_with(server, tmp_path / "a")
    assert outcome(tmp_path / "a") == whole[0]


@pytest.mark.skipif(not hasattr(os, "geteuid") or not os.geteuid(), reason="root may write everywhere")
def test_a_folder_without_permission(server: Server, whole: tuple[Outcome, list[list[str]]], tmp_path: Path) -> None:
    folder = tmp_path / "a"
    server.run(folder, *RUN, at=len(whole[1]) // 2, fault={"kill": 9})
    (folder / "run").chmod(0o500)
    error = error_of(server.run(folder, *RESUME))
    assert "can't be written (Permission denied)" in error
    (folder / "run").chmod(0o700)
    gone_on_with(server, folder)
    assert outcome(folder) == whole[0]
