"""How long MNIST's CSV file takes to read, plain and gzipped, and how much memory: xpnn, NumPy, pandas, polars, a loop.

    python benchmarks/reading.py [--rounds N] [--rows N] [--json]      needs $XPNN_DATA_DIR/mnist; five minutes

The file is made of MNIST's 60,000 training rows (109.6 MB). Every reading is a process of its own, which imports what
it needs, and then reads: the seconds and the growth of its largest resident memory are of the reading alone, to
contiguous pixels (n, 784) and labels (n,). All of them must be MNIST's own. Each round has all contestants in turn;
told are the median of the rounds, the least and the most, the median of the rounds' ratios to the loop, the seconds of
all processors, which other programs disturb less, and the peak memory in units of the table's size as bytes (47.1 MB).
The files are in the system's cache of pages for all.

xpnn reads with an empty cache folder ("first"), once more ("second"), and where nothing is kept.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import importlib.util
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# This process imports no more: on Linux, the largest memory of one that starts others counts as theirs, too.
COLUMNS = 785
LOOP = "the textbook's loop"
PEERS = ("pandas", "polars")
OURS = ("xpnn, first", "xpnn, second", "xpnn, nothing kept")


def use_xpnn() -> Callable[[str], tuple[Any, Any]]:
    import xpnn.data

    def read(path: str) -> tuple[Any, Any]:
        samples = xpnn.data.read_csv(path)
        return samples.inputs, samples.targets

    return read


def use_numpy() -> Callable[[str], tuple[Any, Any]]:
    import numpy as np

    return lambda path: parted(np.loadtxt(path, np.uint8, delimiter=",", skiprows=1))


def use_pandas() -> Callable[[str], tuple[Any, Any]]:
    import numpy as np
    import pandas as pd

    return lambda path: parted(pd.read_csv(path, dtype=np.uint8).to_numpy())


def use_polars() -> Callable[[str], tuple[Any, Any]]:
    import polars as pl

    return lambda path: parted(pl.read_csv(path, schema_overrides=[pl.UInt8] * COLUMNS).to_numpy())


def use_loop() -> Callable[[str], tuple[Any, Any]]:
    import numpy as np

    def read(path: str) -> tuple[Any, Any]:
        inputs, labels = [], []
        with gzip.open(path, "rt") if path.endswith(".gz") else open(path) as file:
            next(file)
            for line in file:
                values = line.split(",")
                labels.append(int(values[0]))
                inputs.append(np.asarray([float(value) for value in values[1:]]))
        return np.asarray(inputs), np.asarray(labels)

    return read


CONTESTANTS = {
    **dict.fromkeys(OURS, use_xpnn),
    "np.loadtxt": use_numpy,
    "pandas.read_csv": use_pandas,
    "polars.read_csv": use_polars,
    LOOP: use_loop,
}


def parted(table: Any) -> tuple[Any, Any]:
    """Pixels and labels."""
    import numpy as np

    return np.ascontiguousarray(table[:, 1:]), table[:, 0].astype(np.int64)


def digest(inputs: Any, labels: Any) -> str:
    """Of numbers, whatever their type."""
    import numpy as np

    whole = inputs.astype(np.uint8)
    assert np.array_equal(whole, inputs)
    return hashlib.sha256(whole.tobytes() + labels.astype(np.int64).tobytes()).hexdigest()


def peak() -> int:
    """The process's largest resident memory so far, in bytes."""
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024


def read_once(name: str, path: str) -> dict[str, Any]:
    """What a process of its own does."""
    read = CONTESTANTS[name]()
    before, started, busy = peak(), time.perf_counter(), time.process_time()
    inputs, labels = read(path)
    taken = {
        "seconds": time.perf_counter() - started,
        "processor": time.process_time() - busy,
        "bytes": peak() - before,
    }
    return taken | {"digest": digest(inputs, labels)}


def write_files(folder: str, rows: int) -> dict[str, Any]:
    """Write rows.csv and rows.csv.gz; also in a process of its own."""
    from write_mnist_csv import csv_bytes

    import xpnn

    samples = xpnn.load("mnist").train.take(slice(rows))
    content = csv_bytes(samples, header=True)
    Path(folder, "rows.csv").write_bytes(content)
    Path(folder, "rows.csv.gz").write_bytes(gzip.compress(content, 6, mtime=0))
    return {"digest": digest(samples.inputs, samples.targets), "table": len(samples) * COLUMNS}


def ask(*arguments: str, **variables: str) -> Any:
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, env=os.environ | variables, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def measure(folder: str, rounds: int, true: str) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """{file: {contestant: what each round gave}}."""
    missing = [peer for peer in PEERS if importlib.util.find_spec(peer) is None]
    print(*(f"{peer} isn't installed: left out" for peer in missing), sep="\n", end="", file=sys.stderr)
    there = [name for name in CONTESTANTS if name.partition(".")[0] not in missing]
    found: dict[str, dict[str, list[dict[str, Any]]]] = {
        file: {name: [] for name in there} for file in ("rows.csv", "rows.csv.gz")
    }
    cache = os.path.join(folder, "cache")
    for number in range(rounds):
        for file, results in found.items():
            shutil.rmtree(cache, ignore_errors=True)
            for name, given in results.items():
                print(f"round {number + 1}/{rounds}, {file}, {name}", file=sys.stderr)
                most = "0" if name == "xpnn, nothing kept" else "2000"
                result = ask("--read", name, os.path.join(folder, file), XPNN_CACHE_DIR=cache, XPNN_CSV_CACHE_MB=most)
                assert result["digest"] == true, f"{name} has read something else"
                given.append(result)
    return found


def summary(given: list[dict[str, Any]], loop: list[dict[str, Any]], table: int) -> dict[str, float]:
    seconds = [round_["seconds"] for round_ in given]
    ratios = [slow["seconds"] / taken for slow, taken in zip(loop, seconds, strict=True)]
    return {
        "seconds": statistics.median(seconds),
        "least": min(seconds),
        "most": max(seconds),
        "times_as_quick_as_the_loop": statistics.median(ratios),
        "processor": statistics.median(round_["processor"] for round_ in given),
        "peak_tables": max(round_["bytes"] for round_ in given) / table,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the tables")
    parser.add_argument("--read", nargs=2, metavar=("CONTESTANT", "FILE"), help=argparse.SUPPRESS)
    parser.add_argument("--write", metavar="FOLDER", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        print(json.dumps(read_once(*arguments.read)))
        return
    if arguments.write:
        print(json.dumps(write_files(arguments.write, arguments.rows)))
        return
    with tempfile.TemporaryDirectory() as folder:
        written = ask("--write", folder, "--rows", str(arguments.rows))
        found = measure(folder, arguments.rounds, written["digest"])
    figures = {
        file: {name: summary(given, results[LOOP], written["table"]) for name, given in results.items()}
        for file, results in found.items()
    }
    if arguments.json:
        print(json.dumps(figures))
        return
    for file, rows in figures.items():
        print(f"\n| {file} | seconds | least to most | times as quick as the loop | processor | peak, tables |")
        print("|---|---|---|---|---|---|")
        for name, row in rows.items():
            spread = f"{row['least']:.2f} to {row['most']:.2f}"
            numbers = f"{row['times_as_quick_as_the_loop']:.1f} | {row['processor']:.2f} | {row['peak_tables']:.2f}"
            print(f"| {name} | {row['seconds']:.2f} | {spread} | {numbers} |")


if __name__ == "__main__":
    main()
