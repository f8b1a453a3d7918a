"""Coverage-guided fuzzing of one reader with Atheris (Linux, Python 3.11 to 3.13).

    cd tests && python -m fuzz csv -runs=1000000            # libFuzzer's options go after the reader's name
    cd tests && python -m fuzz csv fuzz/corpus/csv/broken   # one file again

Inputs that reach new code are kept in $XPNN_FUZZ_CORPUS/READER, or for the time of the run. One that
breaks a promise of guard.py is written to the working folder, and ends the run: mend the reader, make the file small
(-minimize_crash=1) and keep it in fuzz/corpus/READER, which the tests replay.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
from pathlib import Path

import atheris

PACKAGES = ["xpnn", "xpnn_cli", "PIL", "zipfile", "gzip", "csv", "json", "tomllib", "numpy.lib"]
INSTRUMENTED = [*PACKAGES, "numpy.lib._format_impl"]
ARITHMETIC = ["xpnn.data.ink", "xpnn.data.components", "xpnn.data.form"]  # Atheris 3.0 leaks the arrays compared there
TRACED = 64  # each so many executions one's memory is counted to the byte
OPTIONS = ["-timeout=10", "-rss_limit_mb=4096", "-malloc_limit_mb=1024", "-max_len=4096"]


def main() -> None:
    """Fuzz the reader that the first argument names."""
    with atheris.instrument_imports(include=INSTRUMENTED, exclude=ARITHMETIC):
        from fuzz.guard import check, scratch_folder
        from fuzz.targets import TARGETS, mutated
    name, *options = sys.argv[1:]
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
