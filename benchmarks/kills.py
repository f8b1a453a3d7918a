"""Kill a training run with SIGKILL at random moments, resume it each time, and compare with the run that wasn't killed.

python benchmarks/kills.py [--kills N] [--seed N]      of the embedded digits; 100 kills take about five minutes

Each kill is of a new process that trains in a new folder; nine of ten are at a moment after the run has begun, each
tenth may be before that, while programs and data are loaded. A checkpoint is saved every fiftieth of a second, most of
them within an epoch. Then another process resumes the run to its end.
What must be the same: the SHA-256 of the final model, each number of the history but the seconds, and the names of the
files. Where something isn't, the exit code is 1, and the moment is printed, with the seed that repeats it.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import xpnn

SETTINGS = (
    *("--epochs", "40", "--dropout", "0.2", "--average", "0.99", "--rotate", "5", "--input-noise", "0.1"),
    *("--patience", "20", "--plateau", "2", "--schedule", "cosine", "--optimizer", "adam", "--device", "cpu"),
)
OFTEN = ("--checkpoint-every", "1s")
SECOND = 0.02
START = ("beginning", "process's start")
PROGRAM = """
import os
from xpnn_cli import main, runs
runs.UNITS["s"] = float(os.environ["SECOND"])
main(prog_name="xpnn")
"""


class Outcome(NamedTuple):
    """What kills must not change."""

    model: str
    history: list[dict[str, Any]]
    files: set[str]


def outcome(run: Path) -> Outcome:
    """What a run came to; of its checkpoints, of which there are others each time, only that there are two or three."""
    files = {path.name for path in run.rglob("*") if path.parent == run}
    checkpoints = [path.name for path in (run / "checkpoints").iterdir()]
    assert 2 <= len(checkpoints) <= 3, checkpoints
    assert all(name.endswith(".safetensors") for name in checkpoints), checkpoints
    history = [{**record, "seconds": 0} for record in xpnn.read_history(run)]
    return Outcome(digest(run / "model.safetensors"), history, files)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def train(*arguments: str | Path, second: float) -> subprocess.Popen[str]:
    """A process that trains, and takes so many seconds for one of --checkpoint-every."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "train", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={"OPENBLAS_NUM_THREADS": "1", **os.environ, "SECOND": str(second)},  # nets as small as these need one
    )


def finish(process: subprocess.Popen[str]) -> str:
    """What it has said at its end, which has to be a good one."""
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert "damaged" not in said, said
    return said


def begin(process: subprocess.Popen[str], run: Path) -> None:
    """Wait until it has loaded programs and data."""
    while process.poll() is None and not (run / "config.toml").exists():
        time.sleep(0.001)


def killed(process: subprocess.Popen[str], after: float) -> bool:
    """Kill it after so many seconds; whether that was before its end."""
    try:
        process.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
    return process.returncode == -signal.SIGKILL


def where(run: Path) -> str:
    """What a process that was killed left behind."""
    if not (run / "config.toml").exists():
        return "before the run began"
    if (run / "model.safetensors").exists():
        return "after the model was written"
    if [*run.rglob(".*.draft")]:
        return "in the middle of writing a file"
    names = sorted(path.stem for path in run.glob("checkpoints/*"))
    if not names:
        return "before the first checkpoint"
    return "after a whole epoch's checkpoint" if names[-1].endswith("-0000000000") else "after a checkpoint in an epoch"


def timed(run: Path) -> tuple[float, float]:
    """The seconds until a run begins, and until it ends, when nothing kills it."""
    started = time.perf_counter()
    process = train("--run", run, *OFTEN, *SETTINGS, second=SECOND)
    begin(process, run)
    loading = time.perf_counter() - started
    finish(process)
    return loading, time.perf_counter() - started


def check(run: Path, whole: Outcome) -> None:
    """Resume what was killed, and compare."""
    goes_on = ("--resume", run) if (run / "config.toml").exists() else ("--run", run, *SETTINGS)
    finish(train(*goes_on, *OFTEN, second=SECOND))
    assert outcome(run) == whole, f"{outcome(run)} is not {whole}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    arguments = parser.parse_args()
    generator = random.Random(arguments.seed)  # noqa: S311  of moments
    seen: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as place:
        timed(Path(place, "first"))  # it loads what the next ones find in memory
        loading, seconds = timed(Path(place, "whole"))
        whole = outcome(Path(place, "whole"))
        assert outcome(Path(place, "first")) == whole
        print(f"seed {arguments.seed}; a run takes {seconds:.2f} s; its model is {whole.model}", flush=True)
        while seen.total() < arguments.kills:
            run, from_start = Path(place, str(generator.random())), seen.total() % 10 == 0
            process = train("--run", run, *OFTEN, *SETTINGS, second=SECOND)
            if not from_start:
                begin(process, run)
            after = generator.uniform(0, seconds if from_start else seconds - loading)
            if not killed(process, after):
                continue  # it was at its end
            seen[where(run)] += 1
            about = f"kill {seen.total()}, {after:.3f} s after its {START[from_start]}"
            try:
                check(run, whole)
            except AssertionError as error:
                sys.exit(f"seed {arguments.seed}, {about}: {error}")
            print(f"{about}: the same in the end", file=sys.stderr, flush=True)
    for name, count in sorted(seen.items()):
        print(f"{count:4} {name}")
    print(f"{seen.total()} kills, {seen.total()} times the same model, history and files")


if __name__ == "__main__":
    main()
