"""What it takes to begin: to import xpnn and its peers, to print the help, and to learn the digits.

    python benchmarks/start_up.py [--rounds N] [--json FILE]     takes about a minute

Each is a process of its own, from its start to its end; peers that are not installed are left out. All are started in
turn, so that all see the same machine, after one round that isn't counted, which compiles the modules. What is shown is
the wall time and the processor's time: the median of the rounds, with the least and the most. The latter is what to go
by where other programs run.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PEERS = ("sklearn.neural_network", "torch", "jax", "keras")


def cases(model: Path) -> dict[str, list[str]]:
    imports = ["numpy", "xpnn", *(peer for peer in PEERS if importlib.util.find_spec(peer.partition(".")[0]))]
    return {
        "python -c pass": ["-c", "pass"],
        **{f"import {name}": ["-c", f"import {name}"] for name in imports},
        "xpnn --help": ["-m", "xpnn_cli", "--help"],
        "xpnn train": ["-m", "xpnn_cli", "train", "--device", "cpu", "--out", str(model)],
    }


def seconds(arguments: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Wall time and the processor's time of Python with these arguments."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, check=True)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--json", metavar="FILE", help="write the figures there, too")
    arguments = parser.parse_args()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    found: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(arguments.rounds + 1):
            for name, case in cases(Path(folder, "model.safetensors")).items():
                took = seconds(case, environment)
                found.setdefault(name, []).extend([took] if number else [])
    print("seconds, median (least to most)   wall time             processor's time")
    for name, rounds in found.items():
        walls, processor = zip(*rounds, strict=True)
        parts = [f"{statistics.median(took):.3f} ({min(took):.3f} to {max(took):.3f})" for took in (walls, processor)]
        print(f"{name:30}    " + "   ".join(parts))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
