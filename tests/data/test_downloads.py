"""Downloading one file from servers that cut, stall, refuse and lie."""

from __future__ import annotations

import errno
import hashlib
import io
import socket
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import numpy as np
import pytest
from mirror import Mirror, serving

from xpnn.data import downloads
from xpnn.data.downloads import download
from xpnn.errors import XpnnError

CONTENT = np.random.default_rng(0).bytes(1_000_000)
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
NAME = "images.gz"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "PAUSE", 0.001)


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with serving() as one:
        one.files[NAME] = CONTENT
        yield one


@pytest.fixture
def second() -> Iterator[Mirror]:
    with serving() as one:
        one.files[NAME] = CONTENT
        yield one


class Words(list[str]):
    """What was said, and how far it came."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[tuple[int, int | None]] = []

    def __call__(self, folder: Path, *mirrors: Mirror | str, checksum: str = SHA256) -> Path:
        addresses = [one if isinstance(one, str) else one.address for one in mirrors]

        def progress(received: int, total: int | None) -> None:
            self.steps.append((received, total))

        path = folder / NAME
        download([address + NAME for address in addresses], path, checksum, progress=progress, say=self.append)
        return path


@pytest.fixture
def get() -> Words:
    return Words()


def test_a_file_that_comes_at_once(tmp_path: Path, mirror: Mirror, get: Words) -> None:
    assert get(tmp_path, mirror).read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    assert get.steps[0] == (0, len(CONTENT))
    assert get.steps[-1] == (len(CONTENT), len(CONTENT))
    assert get.steps == sorted(get.steps)
    assert not get
    md5 = f"md5:{hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()}"
    assert get(tmp_path, mirror, checksum=md5).read_bytes() == CONTENT


def test_a_connection_cut_three_times_is_taken_up_each_time_where_it_stopped(
    tmp_path: Path, mirror: Mirror, get: Words
) -> None:
    mirror.troubles[NAME] = ["cut"] * 3
    assert get(tmp_path, mirror).read_bytes() == CONTENT
    assert mirror.requests == [(NAME, start) for start in (0, 500_000, 750_000, 875_000)]
    assert get == [
        f"{mirror.address[:-1]} cut the connection after {size:,} of 1,000,000 bytes; trying again"
        for size in (500_000, 750_000, 875_000)
    ]


def test_as_long_as_more_comes_it_goes_on(tmp_path: Path, mirror: Mirror, get: Words) -> None:
    mirror.troubles[NAME] = ["cut"] * 10
    assert get(tmp_path, mirror).read_bytes() == CONTENT


def test_a_mirror_that_brings_nothing_is_left_for_the_next(
    tmp_path: Path, mirror: Mirror, second: Mirror, get: Words
) -> None:
    mirror.troubles[NAME] = ["cut"] + ["nothing"] * 9
    assert get(tmp_path, mirror, second).read_bytes() == CONTENT
    assert len(mirror.requests) == 1 + downloads.TRIES
    assert second.requests == [(NAME, 500_000)]


def test_a_slow_server_is_asked_again(
    tmp_path: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch, get: Words
) -> None:
    monkeypatch.setattr(downloads, "TIMEOUT", 1.5)  # a busy machine answers sooner
    mirror.troubles[NAME] = ["stall"]
    assert get(tmp_path, mirror).read_bytes() == CONTENT
    assert mirror.requests == [(NAME, 0), (NAME, 500_000)]
    assert get == [f"{mirror.address[:-1]} sent nothing for 1.5 s; trying again"]


def test_a_busy_server_is_asked_again(tmp_path: Path, mirror: Mirror, get: Words) -> None:
    mirror.troubles[NAME] = ["503", "429"]
    assert get(tmp_path, mirror).read_bytes() == CONTENT
    assert get[0].endswith("answers 503 (Service Unavailable); trying again")


@pytest.mark.parametrize("status", [404, 416])
def test_a_refusal_sends_to_the_second_mirror_at_once(
    tmp_path: Path, mirror: Mirror, second: Mirror, get: Words, status: int
) -> None:
    mirror.troubles[NAME] = [str(status)]
    words = HTTPStatus(status).phrase  # Python 3.13 calls 416 otherwise than 3.12
    assert get(tmp_path, mirror, second).read_bytes() == CONTENT
    assert (len(mirror.requests), len(second.requests)) == (1, 1)
    assert get[0].lower() == f"{mirror.address[:-1]} answers {status} ({words})".lower()


def test_a_wrong_checksum_sends_to_the_second_mirror(
    tmp_path: Path, mirror: Mirror, second: Mirror, get: Words
) -> None:
    mirror.troubles[NAME] = ["garbage"]
    assert get(tmp_path, mirror, second).read_bytes() == CONTENT
    assert second.requests == [(NAME, 0)]


def test_a_wrong_checksum_everywhere_leaves_nothing(tmp_path: Path, mirror: Mirror, get: Words) -> None:
    mirror.files[NAME] = CONTENT[:-1] + b"x"
    mirror.troubles[NAME] = ["cut", "", "cut", "", "cut"]
    with pytest.raises(XpnnError) as caught:
        get(tmp_path, mirror)
    assert len(mirror.requests) == 4  # it begins anew once
    reason = "sends a file with another checksum than the published one"
    assert str(caught.value) == f"{NAME} can't be downloaded: {mirror.address[:-1]} {reason}"
    assert list(tmp_path.iterdir()) == []


def test_a_beginning_of_another_file_is_dropped(tmp_path: Path, mirror: Mirror, get: Words) -> None:
    (tmp_path / f".{NAME}.part").write_bytes(b"x" * 1000)
    assert get(tmp_path, mirror).read_bytes() == CONTENT
    assert mirror.requests == [(NAME, 1000), (NAME, 0)]
    assert get == [f"{mirror.address[:-1]} has another file than the one whose beginning was here; starting anew"]


@pytest.mark.parametrize("extra", [b"", b"more"])
def test_all_of_it_and_more_may_be_here(tmp_path: Path, mirror: Mirror, get: Words, extra: bytes) -> None:
    (tmp_path / f".{NAME}.part").write_bytes(CONTENT + extra)
    assert get(tmp_path, mirror).read_bytes() == CONTENT
    assert len(mirror.requests) == (2 if extra else 1)


def test_a_server_may_ignore_ranges(tmp_path: Path, mirror: Mirror, get: Words) -> None:
    mirror.troubles[NAME] = ["cut", "whole"]
    assert get(tmp_path, mirror).read_bytes() == CONTENT
    assert mirror.requests == [(NAME, 0), (NAME, 500_000)]


def test_a_server_may_send_another_part(tmp_path: Path, mirror: Mirror, second: Mirror, get: Words) -> None:
    mirror.troubles[NAME] = ["cut", "elsewhere"]
    assert get(tmp_path, mirror, second).read_bytes() == CONTENT
    assert get[-1].endswith("sends another part of the file than was asked for")


def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, get: Words) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(XpnnError) as caught:
        get(tmp_path, "https://a.example/", "http://b.example/")
    reason = "can't be reached (Name or service not known)"
    assert str(caught.value) == (f"{NAME} can't be downloaded: https://a.example {reason}; http://b.example {reason}")
    assert len(get) == 2  # each is tried once
    assert list(tmp_path.iterdir()) == []


def test_a_refused_connection_is_tried_again_only_after_something_came(
    tmp_path: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch, get: Words
) -> None:
    connect, attempts = socket.create_connection, []

    def flaky(*arguments: object, **options: object) -> socket.socket:
        attempts.append(1)
        if len(attempts) == 2:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        return connect(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("http.client.socket.create_connection", flaky)
    mirror.troubles[NAME] = ["cut"]
    assert get(tmp_path, mirror).read_bytes() == CONTENT
    assert get[1].endswith("can't be reached (Connection refused); trying again")


def test_what_came_before_ctrl_c_is_not_asked_for_again(
    tmp_path: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch, get: Words
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    mirror.troubles[NAME] = ["cut"]
    monkeypatch.setattr("xpnn.data.downloads.time.sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        get(tmp_path, mirror)
    assert not (tmp_path / NAME).exists()
    assert get(tmp_path, mirror).read_bytes() == CONTENT
    assert mirror.requests == [(NAME, 0), (NAME, 500_000)]


def test_a_full_disk(tmp_path: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch, get: Words) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("xpnn.data.downloads.os.fsync", fail)
    with pytest.raises(XpnnError, match=r"\.images\.gz\.part: can't be written \(No space left on device\); make room"):
        get(tmp_path, mirror)
    (tmp_path / f".{NAME}.part").unlink()
    (tmp_path / f".{NAME}.part").mkdir()
    with pytest.raises(XpnnError, match=r"part: can't be written \(Is a directory\)"):
        get(tmp_path, mirror)
    assert len(mirror.requests) == 2  # no other try, no other mirror


def test_a_disk_that_fills_up_on_the_way(
    tmp_path: Path, mirror: Mirror, second: Mirror, monkeypatch: pytest.MonkeyPatch, get: Words
) -> None:
    class Full(io.FileIO):
        def write(self, _: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(downloads, "open", Full, raising=False)
    with pytest.raises(XpnnError, match=r"\.images\.gz\.part: can't be written \(No space left on device\); make room"):
        get(tmp_path, mirror, second)
    assert len(mirror.requests) == 1
    assert not second.requests


def test_a_file_that_was_there_is_replaced_only_by_a_whole_one(tmp_path: Path, mirror: Mirror, get: Words) -> None:
    (tmp_path / NAME).write_bytes(b"old")
    mirror.troubles[NAME] = ["garbage"]
    with pytest.raises(XpnnError):
        get(tmp_path, mirror)
    assert (tmp_path / NAME).read_bytes() == b"old"
    assert get(tmp_path, mirror).read_bytes() == CONTENT
