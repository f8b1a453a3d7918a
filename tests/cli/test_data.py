"""xpnn data: list, get, verify, path, cache; and the names of classes in what other commands print."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from mirror import Mirror, serving
from numpy.typing import NDArray
from xpnn_cli import main

from xpnn.data import downloads, read_csv
from xpnn.data.catalogue import CATALOGUE, NAMES, File
from xpnn.data.places import DATA_VARIABLE

Run = Callable[..., Result]

PUBLISHED = {  # SHA-256, as TensorFlow Datasets has them
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}


def idx(array: NDArray[Any]) -> bytes:
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return gzip.compress(head + array.astype(np.uint8).tobytes(), mtime=0)


def small_set(rows: int = 40) -> dict[str, bytes]:
    """Files named as MNIST's, of pictures whose one bright pixel tells their class."""
    labels = np.arange(rows) % 10
    images = np.zeros((rows, 4, 4))
    images.reshape(rows, 16)[np.arange(rows), labels] = 255
    contents = {"images-idx3": idx(images), "labels-idx1": idx(labels)}
    return {f"{part}-{kind}-ubyte.gz": content for kind, content in contents.items() for part in ("train", "t10k")}


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """The only mirror of kmnist, which it has a small one of, and of mnist; data go to tmp_path/data."""
    monkeypatch.setattr(downloads, "PAUSE", 0.001)
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "data"))
    monkeypatch.setattr("xpnn.data.places.cache_folder", lambda: tmp_path / "cache")
    with serving() as one:
        one.files |= small_set()
        sums = {name: f"sha256:{hashlib.sha256(content).hexdigest()}" for name, content in one.files.items()}
        entry = CATALOGUE["kmnist"]
        files = tuple(File(file.name, sums[file.name]) for file in entry.files)
        monkeypatch.setitem(CATALOGUE, "kmnist", dataclasses.replace(entry, files=files, mirrors=(one.address,)))
        monkeypatch.setitem(CATALOGUE, "mnist", dataclasses.replace(CATALOGUE["mnist"], mirrors=(one.address,)))
        yield one


def test_list(run: Run, mirror: Mirror, tmp_path: Path) -> None:
    run("data", "get", "kmnist")
    lines = {line.split()[0]: line for line in run("data", "list").stdout.splitlines()}
    assert tuple(lines) == NAMES
    assert lines["kmnist"].split()[1:12] == [
        "60,000",
        "+",
        "10,000",
        "28",
        "x",
        "28",
        "10",
        "classes",
        "21",
        "MB",
        "here",
    ]
    assert {name for name, line in lines.items() if " here " in line} == {"digits", "kmnist"}
    listed = json.loads(run("data", "list", "--json").stdout)
    assert [one["name"] for one in listed] == list(NAMES)
    by_name = {one["name"]: one for one in listed}
    assert (by_name["kmnist"]["folder"], by_name["usps"]["folder"]) == (str(tmp_path / "data" / "kmnist"), None)
    assert by_name["fashion-mnist"]["labels"][0] == "T-shirt/top"
    assert all(one["licence"] and one["citation"] and one["homepage"] for one in listed)


def test_get_verify_and_path(run: Run, mirror: Mirror, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "kmnist"
    result = run("data", "get", "kmnist")
    first, licence, cite, origin = result.stdout.splitlines()
    assert first.startswith(f"{folder} holds kmnist, whole: train-images-idx3-ubyte.gz, ")
    assert (licence, origin) == ("licence: CC BY-SA 4.0", "from:    https://codh.rois.ac.jp/kmnist/")
    assert "arXiv:1812.01718" in cite
    assert result.stderr.splitlines() == [f"downloading {file.name}" for file in CATALOGUE["kmnist"].files]
    again = run("data", "get", "kmnist", "--json")
    assert json.loads(again.stdout)["folder"] == str(folder)
    assert again.stderr == ""
    assert run("data", "path", "kmnist").stdout == f"{folder}\n"
    assert [line.split()[0] for line in run("data", "verify", "kmnist").stdout.splitlines()] == ["whole"] * 4
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(b"x")
    result = run("data", "verify", "kmnist", "--json", exit_code=1)
    assert json.loads(result.stdout)["files"]["t10k-labels-idx1-ubyte.gz"]["state"] == "damaged"
    assert result.stderr == (
        f"Error: {folder}: 1 of 4 files are not as published: `xpnn data get kmnist` downloads them\n"
    )
    assert run("data", "verify", "digits").stdout.startswith("whole     digits.npz  sha256:")


def test_what_is_not_here(run: Run, mirror: Mirror, tmp_path: Path) -> None:
    for command in (["data", "path", "usps"], ["train", "usps"], ["draw", "usps"]):
        result = run(*command, exit_code=1)
        assert result.stdout == ""
        assert "usps: it is not here (looked in" in result.stderr
        assert (
            "`xpnn data get usps` downloads it, or put usps.bz2 and usps.t.bz2 from https://www.csie" in result.stderr
        )
    assert not mirror.requests
    assert "'digits', 'mnist'" in run("data", "get", "mnits", exit_code=2).stderr
    mirror.files.clear()
    result = run("data", "get", "kmnist", exit_code=1)
    assert result.stdout == ""
    assert result.stderr.splitlines()[-1].endswith(f" from {mirror.address} into {tmp_path / 'data' / 'kmnist'}")


def test_ctrl_c_ends_with_130(run: Run, mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    mirror.troubles["train-images-idx3-ubyte.gz"] = ["cut"]
    monkeypatch.setattr("xpnn.data.downloads.time.sleep", interrupt)
    assert "Interrupted." in run("data", "get", "kmnist", exit_code=130).stderr


def test_a_bar_on_a_terminal(run: Run, mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror.troubles["train-images-idx3-ubyte.gz"] = ["cut"]
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True, raising=False)
    result = run("data", "get", "kmnist")
    assert result.stderr.count("100%") == 4
    assert "0.0 of 0.0 MB" in result.stderr
    assert "cut the connection after" in result.stderr
    assert "%" not in result.stdout


def test_a_net_knows_the_names_of_its_classes(run: Run, mirror: Mirror) -> None:
    run("data", "get", "kmnist")
    result = run("train", "kmnist", "--hidden", "20", "--epochs", "60", "--device", "cpu")
    tries = ["xpnn test model.safetensors kmnist", "xpnn draw kmnist --out picture.png"]
    assert "now try\n  " + "\n  ".join([*tries, "xpnn query model.safetensors picture.png"]) in result.stdout
    report = run("test", "model.safetensors", "kmnist", "--device", "cpu").stdout.splitlines()
    rows = [line for line in report if line.lstrip().startswith("き")]
    assert len(rows) == 2
    # A hiragana takes two columns of a terminal: the numbers stand below their heads all the same.
    assert rows[0].index("100.00%") + len("100.00%") + 1 == report[2].index("precision") + len("precision")
    assert run("draw", "kmnist", "--index", "3").stdout.startswith("kmnist, row 3: つ\n")


def test_a_name_that_the_output_cannot_show(run: Run, mirror: Mirror) -> None:
    run("data", "get", "kmnist")
    result = CliRunner(charset="latin-1").invoke(main, ["draw", "kmnist"])
    assert result.exit_code == 0, result.exception
    assert result.stdout.startswith("kmnist, row 0: \\u304a\n")


def test_cache_shows_and_deletes_what_is_kept_of_csv_files(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XPNN_CACHE_DIR", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "csv"
    assert run("data", "cache").stdout == f"{folder}: 0 files with 0.0 MB\n"
    assert run("data", "cache", "--clear").stdout == f"{folder}: 0 files with 0.0 MB deleted\n"
    rows = tmp_path / "rows.csv"
    rows.write_bytes(b"1,200,100\n0,100,200\n" * 120_000)  # more than 2 MB
    read_csv(rows)
    size = 128 + 240_000 * 3 + 32  # NPY's header, bytes, a hash
    about = {"folder": str(folder), "files": 1, "bytes": size, "cleared": False}
    assert json.loads(run("data", "cache", "--json").stdout) == about
    assert run("data", "cache").stdout == f"{folder}: 1 file with 0.7 MB\n"
    assert json.loads(run("data", "cache", "--clear", "--json").stdout) == about | {"cleared": True}
    assert list(folder.iterdir()) == []
    assert run("data", "cache").stdout == f"{folder}: 0 files with 0.0 MB\n"


def test_a_bound_that_is_no_number_is_refused_in_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XPNN_CSV_CACHE_MB", "lots")
    Path("rows.csv").write_bytes(b"1,200,100\n" * 240_000)
    assert run("train", "rows.csv", "--device", "cpu", exit_code=1).stderr == (
        "Error: XPNN_CSV_CACHE_MB is 'lots', expected a whole number of megabytes, or 0 for none\n"
    )


@pytest.mark.mnist
@pytest.mark.parametrize("cuts", [0, 3])
def test_the_real_mnist(run: Run, request: pytest.FixtureRequest, tmp_path: Path, cuts: int) -> None:
    real = Path(os.environ[DATA_VARIABLE]).absolute() / "mnist"
    mirror: Mirror = request.getfixturevalue("mirror")
    for name in PUBLISHED:
        mirror.files[name] = (real / name).read_bytes()
        mirror.troubles[name] = ["cut"] * cuts
    run("data", "get", "mnist")
    folder = tmp_path / "data" / "mnist"
    assert {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in PUBLISHED} == PUBLISHED
    assert len(mirror.requests) == len(PUBLISHED) * (1 + cuts)
    for name in PUBLISHED:
        starts = [start for asked, start in mirror.requests if asked == name]
        assert starts == sorted(set(starts))  # each goes on where the one before was cut
    run("data", "verify", "mnist")
