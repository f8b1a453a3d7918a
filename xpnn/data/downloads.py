"""Downloading one file over HTTP: from mirror after mirror, taken up where it was cut off, and checked.

The standard library is enough. Pooch, which others use for this, begins a file anew after each cut and retries only
its own errors; what it would leave to do here (a checksum, a renaming) is a line each.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from xpnn.errors import XpnnError

TIMEOUT = 30.0  # seconds without a byte
PAUSE = 1.0  # seconds before the second try, twice as long before each further one
TRIES = 4  # in a row that bring nothing new
CHUNK = 1 << 16
BUSY = (408, 425, 429)  # answers that, like those from 500 on, may be different in a while

Progress = Callable[[int, int | None], None]  # bytes so far, and of the whole file where the server says it
Say = Callable[[str], None]


class _CutOffError(Exception):
    """This try is over; the next one may get further."""


class _NoConnectionError(_CutOffError):
    """The server can't be reached."""


class _UselessError(Exception):
    """This mirror will not give the file."""


def download(urls: Sequence[str], path: Path, checksum: str, *, progress: Progress, say: Say) -> None:
    """Download the file that each of `urls` gives to `path`, which comes to be only when it is whole and checked.

    checksum: ``sha256:...`` or ``md5:...``, in hexadecimal.
    progress: told how far it has come.
    say:      told in words what goes wrong on the way.

    What has come before an error or Ctrl-C stays beside `path`, and the next call goes on from there; only one call
    at a time may write there. Raises XpnnError if no mirror gives the file, with each one's reason, or if it can't
    be written.
    """
    part = path.with_name(f".{path.name}.part")
    reasons = []
    for url in urls:
        try:
            _download_from(url, part, checksum, progress, say)
        except _UselessError as error:
            reasons.append(f"{_server(url)} {error}")
            say(reasons[-1])
            continue
        with _writing(part):
            with open(part, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(part, path)
        return
    raise XpnnError(f"{path.name} can't be downloaded: {'; '.join(reasons)}")


def checksum_of(path: Path, algorithm: str) -> str:
    """The file's checksum, as the catalogue writes it. Raises XpnnError if it can't be read."""
    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False))
    except OSError as error:
        raise XpnnError(f"{path}: can't be read: {error.strerror}") from error
    return f"{algorithm}:{digest.hexdigest()}"


def _download_from(url: str, part: Path, checksum: str, progress: Progress, say: Say) -> None:
    """Receive the file until its checksum is right, however often the connection is cut, as long as more comes."""
    first, fruitless, began_anew = _size(part), 0, False
    while True:
        before = _size(part)
        try:
            _receive(url, part, progress)
        except _CutOffError as error:
            fruitless = 0 if _size(part) > before else fruitless + 1
            never_came = isinstance(error, _NoConnectionError) and _size(part) == first
            if fruitless == TRIES or never_came:
                raise _UselessError(str(error)) from error
            say(f"{_server(url)} {error}; trying again")
            time.sleep(PAUSE * 2**fruitless)
            continue
        if checksum_of(part, checksum.partition(":")[0]) == checksum:
            return
        part.unlink()
        if began_anew or not before:
            raise _UselessError("sends a file with another checksum than the published one")
        say(f"{_server(url)} has another file than the one whose beginning was here; starting anew")
        began_anew = True


def _receive(url: str, part: Path, progress: Progress) -> None:
    """One request: add what the server sends to the part that is here."""
    start = _size(part)
    headers = {"User-Agent": "xpnn"} | ({"Range": f"bytes={start}-"} if start else {})
    request = urllib.request.Request(url, headers=headers)  # noqa: S310  # the catalogue's own addresses, all of HTTP
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:  # noqa: S310  # as above
            _copy(response, part, start if _goes_on(response, start) else 0, progress)
    except urllib.error.HTTPError as error:
        with error:
            if start and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return  # nothing comes after what is here: the checksum tells if it is the file
            kind = _CutOffError if error.code in BUSY or error.code >= 500 else _UselessError
            raise kind(f"answers {error.code} ({error.reason})") from error
    except TimeoutError as error:
        raise _CutOffError(f"sent nothing for {TIMEOUT:g} s") from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise _CutOffError(f"sent nothing for {TIMEOUT:g} s") from error
        reason = getattr(error.reason, "strerror", None) or error.reason
        raise _NoConnectionError(f"can't be reached ({reason})") from error
    except (http.client.HTTPException, OSError) as error:
        raise _CutOffError("cut the connection") from error


def _goes_on(response: http.client.HTTPResponse, start: int) -> bool:
    """Whether what comes follows on the bytes that are here; a server may also send all of it again."""
    return response.status == http.HTTPStatus.PARTIAL_CONTENT and (
        response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
    )


def _copy(response: http.client.HTTPResponse, part: Path, start: int, progress: Progress) -> None:
    if response.status == http.HTTPStatus.PARTIAL_CONTENT and not start:
        raise _UselessError("sends another part of the file than was asked for")
    length = response.headers.get("Content-Length", "")
    total = start + int(length) if length.isdecimal() else None
    received = start
    with _writing(part):
        file = open(part, "ab")  # noqa: SIM115  # closed below: reading and writing fail in different words
        file.truncate(start)
    with file:
        progress(received, total)
        while chunk := response.read1(CHUNK):
            with _writing(part):
                file.write(chunk)
                file.flush()
            received += len(chunk)
            progress(received, total)
    if total is not None and received < total:
        raise _CutOffError(f"cut the connection after {received:,} of {total:,} bytes")


@contextmanager
def _writing(part: Path) -> Iterator[None]:
    """Tell the disk's errors from the network's."""
    try:
        yield
    except OSError as error:
        raise XpnnError(
            f"{part}: can't be written ({error.strerror}); make room, or set XPNN_DATA_DIR to a folder elsewhere"
        ) from error


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _server(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
