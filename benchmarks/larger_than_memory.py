"""Training from a file that need not fit into memory: its peak memory, its speed, and what reading costs beside it.

    OPENBLAS_NUM_THREADS=1 python benchmarks/larger_than_memory.py [--gigabytes 6] [--folder FOLDER] [--format idx|npy]

Writes rows of 784 pixels, ten patterns in noise, a chunk at a time, into a temporary folder below FOLDER, and deletes
them at the end. Then 784-100-10 learns them for an epoch in batches of 128, in a process of its own, whose peak
resident memory must stay below the bound that docs/large-data.md states: correctness first, and the net must have
learnt. Beside it, in rounds of a process each, the first rows are learnt from memory and from a file by themselves:
the ratio of the times of an epoch is what the file costs where it is in the system's cache. What the disk costs is the
difference to the whole file's time a row, if the file is larger than the cache.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

SIDE, CLASSES, CHUNK, ROUNDS = 28, 10, 20_000, 5
ROW = SIDE * SIDE
COMPARED = 400_000  # rows, of which the ratio is taken

LEARN = """
import json, sys
import numpy as np
import xpnn
import xpnn.memory
from xpnn.fast import compiled

path, share, limit = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])

def peak():
    try:
        lines = open("/proc/self/status").read().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except OSError:
        import resource
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

xpnn.memory.SHARE = share
if compiled.is_installed("scipy"):
    import xpnn.fast.loops
before = peak()
data = xpnn.load(path, limit=limit)
net = xpnn.MLP([784, 100, 10], seed=0)
(epoch,) = xpnn.train(net, data.train, epochs=1, batch_size=128)
print(json.dumps({"before": before, "peak": peak(), "seconds": epoch.seconds, "accuracy": epoch.accuracy,
                  "step": epoch.step, "rows": len(data.train), "parameters": net.parameters.nbytes}))
"""


def write(folder: Path, rows: int, form: str) -> Path:
    """The file of so many rows, and that of their labels."""
    generator = np.random.default_rng(0)
    patterns = generator.integers(0, 128, (CLASSES, ROW), dtype=np.uint8)
    labels = generator.integers(0, CLASSES, rows, dtype=np.uint8)
    path = folder / f"images.{form}"
    with path.open("wb") as file:
        if form == "idx":
            file.write(struct.pack(">IIII", 0x803, rows, SIDE, SIDE))
        else:
            header = {"descr": "|u1", "fortran_order": False, "shape": (rows, SIDE, SIDE)}
            np.lib.format.write_array_header_1_0(file, header)
        noise = np.empty((CHUNK, ROW), dtype=np.uint8)
        for start in range(0, rows, CHUNK):
            of_chunk = labels[start : start + CHUNK]
            noise[...] = np.frombuffer(generator.bytes(noise.size), np.uint8).reshape(noise.shape) & 127
            file.write((patterns[of_chunk] + noise[: len(of_chunk)]).tobytes())
    if form == "idx":
        (folder / "labels.idx").write_bytes(struct.pack(">II", 0x801, rows) + labels.tobytes())
    else:
        np.save(folder / "labels.npy", labels)
    return path


def learnt(path: Path, share: float, limit: int) -> dict[str, Any]:
    """What a process of its own says that learnt the first rows; share 0: from the file, 1: from memory."""
    command = [sys.executable, "-c", LEARN, str(path), str(share), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["step"].endswith("from file") == (share == 0), found["step"]
    assert found["accuracy"] > 0.9, found["accuracy"]
    return found


def bound(rows: int, parameters: int) -> int:
    """Bytes above those of a process that has imported what it needs: see docs/large-data.md."""
    return 2 * 2**26 + 32 * rows + 8 * parameters + 2**25


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=6.3)
    parser.add_argument("--folder", help="where the file is written to, on the disk that is to be measured")
    parser.add_argument("--format", choices=["idx", "npy"], default="idx")
    arguments = parser.parse_args()
    rows = max(CHUNK, int(arguments.gigabytes * 1e9) // ROW)
    free = shutil.disk_usage(arguments.folder or tempfile.gettempdir()).free
    if free < 1.2 * rows * ROW:
        sys.exit(f"{rows * ROW / 1e9:.1f} GB are needed, and {free / 1e9:.1f} GB are free: give another --folder")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path = write(Path(folder), rows, arguments.format)
        os.sync()
        found = learnt(path, 0, rows)
        most, taken = bound(rows, found["parameters"]), found["peak"] - found["before"]
        assert taken < most, f"{taken / 1e6:.0f} MB were taken, more than {most / 1e6:.0f} MB"
        print(f"{rows:,} rows, {rows * ROW / 1e9:.2f} GB ({arguments.format}): {found['seconds']:.1f} s an epoch,")
        print(f"  {rows * ROW / found['seconds'] / 1e6:.0f} MB/s, {found['seconds'] / rows * 1e6:.2f} us a row;")
        print(f"  peak {found['peak'] / 1e6:.0f} MB, {taken / 1e6:.0f} MB of it taken; bound {most / 1e6:.0f} MB;")
        print(f"  step {found['step']}, accuracy {found['accuracy']:.2%}", flush=True)
        part = min(COMPARED, rows)
        times = [[learnt(path, share, part)["seconds"] for share in (0, 1)] for _ in range(ROUNDS)]
    ratios = sorted(stays / read for stays, read in times)
    stays, read = (statistics.median(column) / part * 1e6 for column in zip(*times, strict=True))
    print(f"the first {part:,} rows: {stays:.2f} us a row from the file, {read:.2f} from memory;")
    print(f"  ratio {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f} in {ROUNDS} rounds)")


if __name__ == "__main__":
    main()
