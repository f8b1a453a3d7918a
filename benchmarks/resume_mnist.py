"""Kill a run on MNIST ten times, resume it ten times, and compare its model with that of the run that wasn't killed.

python benchmarks/resume_mnist.py [--kills N] [--epochs N] [--recipe NAME] [--seed N]      needs $XPNN_DATA_DIR/mnist

The kills are SIGKILL, at random moments: each process is given a random part of a tenth of half the time that the run
takes, from its first checkpoint on. Prints both models' SHA-256; the exit code is 1 where they differ.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from kills import OFTEN, digest, finish, killed, train

import xpnn

SECOND = 0.2  # from checkpoint to checkpoint
CHECKPOINTS = "checkpoints/[0-9]*.safetensors"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--epochs", default="5")
    parser.add_argument("--recipe", default="default")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    arguments = parser.parse_args()
    generator = random.Random(arguments.seed)  # noqa: S311  of moments
    settings = ("mnist", "--recipe", arguments.recipe, "--epochs", arguments.epochs, *OFTEN)
    with tempfile.TemporaryDirectory() as place:
        whole, run = Path(place, "whole"), Path(place, "run")
        started = time.perf_counter()
        finish(train(*settings, "--run", whole, second=SECOND))
        seconds = time.perf_counter() - started
        print(f"seed {arguments.seed}; the run that isn't killed takes {seconds:.0f} s", flush=True)
        goes_on: tuple[str | Path, ...] = (*settings, "--run", run)
        for number in range(arguments.kills):
            process = train(*goes_on, second=SECOND)
            before = sorted(run.glob(CHECKPOINTS))
            while process.poll() is None and sorted(run.glob(CHECKPOINTS)) == before:
                time.sleep(0.01)  # it has loaded the data, and saved what it has learnt
            after = generator.uniform(0, seconds / arguments.kills / 2)
            if not killed(process, after):
                sys.exit(f"the run was at its end before kill {number + 1}: give more --epochs")
            found = xpnn.load_state(max(run.glob(CHECKPOINTS))).state
            print(
                f"kill {number + 1}: its last checkpoint is after epoch {found.epoch} and {found.rows:,} rows",
                flush=True,
            )
            goes_on = ("--resume", run, *OFTEN)
        said = finish(train(*goes_on, second=SECOND))
        print(next(line for line in said.splitlines() if line.startswith("going on")))
        models = [digest(folder / "model.safetensors") for folder in (whole, run)]
        histories = [[{**record, "seconds": 0} for record in xpnn.read_history(folder)] for folder in (whole, run)]
    print(f"{models[0]}  never killed\n{models[1]}  killed {arguments.kills} times")
    if models[0] != models[1] or histories[0] != histories[1]:
        sys.exit("they are not the same")


if __name__ == "__main__":
    main()
