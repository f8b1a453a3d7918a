"""Coverage-guided fuzzing of the readers with Atheris (Linux, Python 3.11 to 3.13).

    cd tests && python -m fuzz csv -runs=1000000            # libFuzzer's options go after the reader's name
    cd tests && python -m fuzz csv fuzz/corpus/csv/broken   # one file again
    cd tests && python -m fuzz csv npz -runs=1000           # one after the other; all where none is named

Inputs that reach new code are kept in $XPNN_FUZZ_CORPUS/READER, or for the time of the run. One that
breaks a promise of guard.py is written to the working folder, and ends the run: mend the reader, make the file small
(-minimize_crash=1) and keep it in fuzz/corpus/READER, which the tests replay.
"""

from __future__ import annotations

import itertools
import os
import random
import sys
import tempfile
from pathlib import Path

import atheris

PACKAGES = ["xpnn", "xpnn_cli", "PIL", "zipfile", "gzip", "csv", "json", "tomllib", "numpy.lib"]
INSTRUMENTED = [*PACKAGES, "numpy.lib._format_impl"]
# Atheris 3.0 leaks the arrays that are compared there.
ARITHMETIC = [f"xpnn.data.{name}" for name in ("ink", "rules", "components", "cuts", "form")]
TRACED = 64  # each so many executions one's memory is counted to the byte
OPTIONS = ["-timeout=10", "-rss_limit_mb=4096", "-malloc_limit_mb=1024", "-max_len=4096"]


with atheris.instrument_imports(include=INSTRUMENTED, exclude=ARITHMETIC):
    from fuzz.guard import check, scratch_folder
    from fuzz.targets import TARGETS, mutated


def main() -> None:
    """Fuzz the readers that the first arguments name, each in a process of its own; the first that fails ends it."""
    names = list(itertools.takewhile(TARGETS.__contains__, sys.argv[1:]))
    options = sys.argv[1 + len(names) :]
    for name in names or TARGETS:
        sys.stderr.write(f"fuzzing {name}\n")
        # A fork has all modules as they were instrumented, which takes seconds and a reader's thousand runs less.
        if (child := os.fork()) == 0:
            fuzz(name, options)
            return
        if code := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
            sys.exit(code)


def fuzz(name: str, options: list[str]) -> None:
    """Fuzz one reader; libFuzzer ends the process."""
    target, path, count = TARGETS[name], scratch_folder() / "images", 0
    corpus = Path(os.environ.get("XPNN_FUZZ_CORPUS") or tempfile.mkdtemp(prefix="xpnn-corpus-"), name)
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        check(target.read, seed, path, lay=target.lay)  # and with it everything is imported
        (corpus / f"seed-{number}").write_bytes(seed)

    def test_one(content: bytes) -> None:
        nonlocal count
        count += 1
        check(target.read, content, path, lay=target.lay, trace=target.traced and count % TRACED == 0)

    def mutate(content: bytes, longest: int, seed: int) -> bytes:
        choose = random.Random(seed)  # noqa: S311  # no secret
        room = max(1, longest - len(content))
        if choose.random() < 0.4:
            return bytes(atheris.Mutate(content, longest))
        return mutated(target, content, choose, lambda part: bytes(atheris.Mutate(part, len(part) + room)))[:longest]

    folders = [] if any(Path(option).exists() for option in options) else [str(corpus)]
    atheris.Setup([sys.argv[0], *OPTIONS, *options, *folders], test_one, custom_mutator=mutate)
    atheris.Fuzz()


main()
