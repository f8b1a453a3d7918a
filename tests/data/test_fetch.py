"""Getting a whole data set: what is missing, one process at a time, out of an archive, by hand."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from mirror import Mirror, serving

from xpnn.data import downloads
from xpnn.data.catalogue import CATALOGUE, File
from xpnn.data.fetch import fetch, verify
from xpnn.data.places import DATA_VARIABLE
from xpnn.errors import DataError, XpnnError

CONTENTS = {file.name: file.name.encode() * 1000 for file in CATALOGUE["mnist"].files}
FIRST, *OTHERS = CONTENTS

# Another process, which gets mnist from the address that it is given.
PROGRAM = """
import dataclasses, hashlib, sys
from xpnn.data.catalogue import CATALOGUE, File
from xpnn.data.fetch import fetch
entry = CATALOGUE["mnist"]
files = tuple(File(f.name, "sha256:" + hashlib.sha256(f.name.encode() * 1000).hexdigest()) for f in entry.files)
CATALOGUE["mnist"] = dataclasses.replace(entry, files=files, mirrors=(sys.argv[1],))
print(fetch("mnist", progress=lambda *_: None, say=lambda text: print(text, file=sys.stderr, flush=True)))
"""


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """A server of files in place of MNIST's, the only mirror that there is; data go to `tmp_path`."""
    monkeypatch.setattr(downloads, "PAUSE", 0.001)
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    monkeypatch.setattr("xpnn.data.places.cache_folder", lambda: tmp_path / "cache")
    with serving() as one:
        one.files |= CONTENTS
        files = tuple(File(name, f"sha256:{hashlib.sha256(content).hexdigest()}") for name, content in CONTENTS.items())
        changed = dataclasses.replace(CATALOGUE["mnist"], files=files, mirrors=(one.address,))
        monkeypatch.setitem(CATALOGUE, "mnist", changed)
        yield one


def get(name: str = "mnist") -> tuple[Path, list[str]]:
    said: list[str] = []
    return fetch(name, progress=lambda *_: None, say=said.append), said


def in_folder(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def test_a_data_set_goes_where_the_variable_says_else_to_the_cache(
    tmp_path: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert get()[0] == tmp_path / "mnist"
    assert in_folder(tmp_path / "mnist") == CONTENTS
    monkeypatch.delenv(DATA_VARIABLE)
    assert get()[0] == tmp_path / "cache" / "mnist"
    assert in_folder(tmp_path / "cache" / "mnist") == CONTENTS


def test_what_is_whole_is_left_alone(tmp_path: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    get()
    mirror.requests.clear()
    assert get() == (tmp_path / "mnist", [])
    (tmp_path / "mnist" / FIRST).write_bytes(b"damaged")
    (tmp_path / "mnist" / OTHERS[0]).unlink()
    _, said = get()
    assert mirror.requests == [(FIRST, 0), (OTHERS[0], 0)]
    assert said == [f"downloading {FIRST}", f"downloading {OTHERS[0]}"]
    assert in_folder(tmp_path / "mnist") == CONTENTS


def test_data_in_the_cache_are_not_downloaded_again(
    tmp_path: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(DATA_VARIABLE)
    get()
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    mirror.requests.clear()
    assert get() == (tmp_path / "cache" / "mnist", [])
    (tmp_path / "mnist").mkdir()
    for name in CONTENTS:  # these would be read, so these are mended
        (tmp_path / "mnist" / name).write_bytes(b"damaged")
    assert get()[0] == tmp_path / "mnist"
    assert in_folder(tmp_path / "mnist") == CONTENTS


def test_states(tmp_path: Path, mirror: Mirror) -> None:
    get()
    folder = tmp_path / "mnist"
    assert set(verify("mnist", folder).values()) == {"whole"}
    (folder / FIRST).write_bytes(CONTENTS[FIRST][:-1])
    (folder / OTHERS[0]).rename(folder / OTHERS[0].removesuffix(".gz"))
    (folder / OTHERS[1]).unlink()
    assert verify("mnist", folder) == dict(zip(CONTENTS, ["damaged", "unpacked", "missing", "whole"], strict=True))


def test_the_digits_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    folder, said = get("digits")
    assert (folder / "digits.npz").is_file()
    assert not said
    wrong = dataclasses.replace(CATALOGUE["digits"], files=(File("digits.npz", "sha256:0"),))
    monkeypatch.setitem(CATALOGUE, "digits", wrong)
    with pytest.raises(DataError, match=r"digits\.npz: is damaged; install xpnn again"):
        get("digits")


def test_without_a_network_it_says_what_to_put_where(tmp_path: Path, mirror: Mirror) -> None:
    mirror.troubles[OTHERS[0]] = ["404"]
    with pytest.raises(XpnnError) as caught:
        get()
    files = f"{', '.join(OTHERS[:-1])} and {OTHERS[-1]}"  # the first one has come
    assert str(caught.value) == (
        f"{OTHERS[0]} can't be downloaded: {mirror.address[:-1]} answers 404 (Not Found). `xpnn data get mnist` goes on"
        f" from here; or, by hand, put {files} from {mirror.address} into {tmp_path / 'mnist'}"
    )


def test_a_folder_that_cannot_be_made(tmp_path: Path, mirror: Mirror) -> None:
    (tmp_path / "mnist").write_text("a file")
    with pytest.raises(XpnnError, match=r"mnist: can't be written \(File exists\); set XPNN_DATA_DIR to a folder that"):
        get()
    assert not mirror.requests


def test_two_threads(tmp_path: Path, mirror: Mirror) -> None:
    mirror.troubles[FIRST] = ["stall"]
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        if "waiting for it" in text:
            mirror.released.set()  # so that the other one's connection is cut, and goes on

    def one_gets() -> None:
        fetch("mnist", progress=lambda *_: None, say=say)

    threads = [threading.Thread(target=one_gets) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said.count(f"another process downloads to {tmp_path / 'mnist'}: waiting for it") == 1
    assert in_folder(tmp_path / "mnist") == CONTENTS
    assert len(mirror.requests) == len(CONTENTS) + 1  # nothing was asked for twice but for the rest of the first


def started(mirror: Mirror) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-c", PROGRAM, mirror.address]
    return subprocess.Popen(command, env=dict(os.environ), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes(tmp_path: Path, mirror: Mirror) -> None:
    mirror.troubles[FIRST] = ["stall"]
    with started(mirror) as one:
        while not mirror.requests and one.poll() is None:
            time.sleep(0.01)
        with started(mirror) as other:
            assert other.stderr is not None
            line = other.stderr.readline()
            mirror.released.set()  # the first process has all its time until the second one waits
            outputs = [process.communicate()[0] for process in (one, other)]
    assert line == f"another process downloads to {tmp_path / 'mnist'}: waiting for it\n"
    assert (one.returncode, other.returncode) == (0, 0)
    assert outputs == [f"{tmp_path / 'mnist'}\n"] * 2
    assert in_folder(tmp_path / "mnist") == CONTENTS
    assert len(mirror.requests) == len(CONTENTS) + 1


def test_a_process_that_was_killed_leaves_no_lock_and_what_it_had(tmp_path: Path, mirror: Mirror) -> None:
    mirror.troubles[FIRST] = ["stall"]
    part = tmp_path / "mnist" / f".{FIRST}.part"
    with started(mirror) as process:
        while process.poll() is None and not (part.exists() and part.stat().st_size):
            time.sleep(0.01)
        process.kill()
    begun = part.stat().st_size
    assert get()[0] == tmp_path / "mnist"
    assert mirror.requests[1] == (FIRST, begun)
    assert in_folder(tmp_path / "mnist") == CONTENTS


@pytest.fixture
def emnist(tmp_path: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, bytes]]:
    """An archive as EMNIST's is, on the mirror; the contents of the sets' files by set and name."""
    names = ("emnist-letters", "emnist-digits")
    contents = {name: {file.name: file.name.encode() for file in CATALOGUE[name].files} for name in names}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file, content in (contents["emnist-letters"] | contents["emnist-digits"]).items():
            archive.writestr(f"gzip/{file}", content)
        archive.writestr("gzip/emnist-byclass-train-images-idx3-ubyte.gz", bytes(100_000))
    mirror.files["gzip.zip"] = packed.getvalue()
    whole = File("gzip.zip", f"sha256:{hashlib.sha256(packed.getvalue()).hexdigest()}")
    for name, files in contents.items():
        sums = tuple(
            File(file, f"md5:{hashlib.md5(content, usedforsecurity=False).hexdigest()}")
            for file, content in files.items()
        )
        changed = dataclasses.replace(CATALOGUE[name], files=sums, mirrors=(mirror.address,), archive=whole)
        monkeypatch.setitem(CATALOGUE, name, changed)
    return contents


def test_emnist_comes_out_of_its_archive(tmp_path: Path, mirror: Mirror, emnist: dict[str, dict[str, bytes]]) -> None:
    mirror.troubles["gzip.zip"] = ["cut"]
    folder, said = get("emnist-letters")
    assert in_folder(folder) == emnist["emnist-letters"]
    assert (
        said[-1]
        == f"{tmp_path / 'emnist' / 'gzip.zip'} holds the other sets of EMNIST too; delete it if you don't need them"
    )
    assert get("emnist-digits")[0] == tmp_path / "emnist-digits"
    assert in_folder(tmp_path / "emnist-digits") == emnist["emnist-digits"]
    assert len(mirror.requests) == 2  # the archive, once cut; the second set needs no more
    assert sorted(path.name for path in tmp_path.iterdir()) == ["emnist", "emnist-digits", "emnist-letters"]
    assert in_folder(tmp_path / "emnist").keys() == {"gzip.zip"}


def test_a_whole_set_needs_no_archive(tmp_path: Path, mirror: Mirror, emnist: dict[str, dict[str, bytes]]) -> None:
    (tmp_path / "emnist-letters").mkdir()
    for file, content in emnist["emnist-letters"].items():
        (tmp_path / "emnist-letters" / file).write_bytes(content)
    assert get("emnist-letters") == (tmp_path / "emnist-letters", [])
    assert not mirror.requests


def test_an_archive_whose_files_are_others(
    tmp_path: Path, mirror: Mirror, emnist: dict[str, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = CATALOGUE["emnist-letters"]
    files = (File(entry.files[0].name, "md5:0"), *entry.files[1:])
    monkeypatch.setitem(CATALOGUE, "emnist-letters", dataclasses.replace(entry, files=files))
    with pytest.raises(XpnnError, match=f"gzip.zip: {files[0].name} in it has another checksum than the published one"):
        get("emnist-letters")
    assert in_folder(tmp_path / "emnist-letters") == {}
