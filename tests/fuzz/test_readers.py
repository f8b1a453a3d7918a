"""No file, however it was damaged or made, gets more out of a reader than one line that says what is wrong.

Hypothesis damages valid files here, some hundred times a reader; `python -m fuzz` goes on for as long as it is let.
"""

from __future__ import annotations

import mmap
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fuzz.guard import BrokenPromiseError, check, resident_memory, scratch_folder
from fuzz.targets import TARGETS, mutated, parts_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xpnn.errors import DataError

CORPUS = Path(__file__).parent / "corpus"


@pytest.fixture(scope="module")
def path() -> Iterator[Path]:
    """Where readers find what they are to read."""
    folder = scratch_folder()
    yield folder / "images"
    shutil.rmtree(folder)


def changes(content: bytes, data: st.DataObject) -> bytes:
    """The bytes with some put in, taken out, or put in the place of others."""
    start = data.draw(st.integers(0, len(content)))
    stop = data.draw(st.integers(start, min(len(content), start + 8)))
    return content[:start] + data.draw(st.binary(max_size=8)) + content[stop:]


@pytest.mark.parametrize("name", TARGETS)
def test_valid_files_are_read_and_survive_being_taken_apart(name: str, path: Path) -> None:
    """Else the fuzzers would only ever try the first lines of a reader."""
    target = TARGETS[name]
    read = 0
    for seed in target.seeds():
        whole = check(target.read, seed, path, lay=target.lay, trace=target.traced)
        assert parts_of(target, seed)
        assert check(target.read, target.join(target.split(seed)), path, lay=target.lay) == whole
        read += whole
    assert 2 * read >= len(target.seeds())


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files(name: str, path: Path) -> None:
    target = TARGETS[name]
    seeds = target.seeds()

    @settings(deadline=None, max_examples=100, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
    @given(st.data())
    def damage(data: st.DataObject) -> None:
        seed = data.draw(st.sampled_from(seeds))
        choose = random.Random(data.draw(st.integers(0, 1 << 32)))  # noqa: S311  # no secret
        content = mutated(target, seed, choose, lambda part: changes(part, data))
        check(target.read, content, path, lay=target.lay)

    damage()


@pytest.mark.parametrize("file", sorted(CORPUS.glob("*/*")), ids=lambda file: f"{file.parent.name}-{file.name}")
def test_files_that_once_broke_a_reader(file: Path, path: Path) -> None:
    target = TARGETS[file.parent.name]
    check(target.read, file.read_bytes(), path, lay=target.lay, trace=target.traced)


def test_every_folder_of_the_corpus_has_a_reader() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} <= TARGETS.keys()


def fails(message: str) -> None:
    raise DataError(message)


@pytest.mark.parametrize(
    ("read", "problem"),
    [
        (lambda path: eval(path.read_text()), "exec"),  # noqa: S307
        (lambda _: Path(__file__).read_bytes(), "open"),
        (lambda path: path.with_name("..").joinpath("xpnn-fuzz").write_bytes(b""), "open"),
        (lambda path: path.with_name("other").unlink(missing_ok=True), "os.remove"),
        (lambda _: bytes(80 << 20), "bytes of memory for a file of 1"),
        (lambda _: fails("long" * 1000), "not one short line"),
        (lambda _: sum(range(10**5)), " s for 1 bytes"),
    ],
)
def test_the_guard_sees_each_broken_promise(
    read: Callable[[Path], object], problem: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if " s for" in problem:
        monkeypatch.setattr("fuzz.guard.SECONDS", 1e-6)
    with pytest.raises(BrokenPromiseError, match=problem):
        check(read, b"1", path, trace=True)
    (path.parent.parent / "xpnn-fuzz").unlink(missing_ok=True)


@pytest.mark.skipif(not resident_memory("VmHWM", anew=True), reason="only Linux tells a process's peak")
def test_the_guard_sees_memory_that_python_did_not_ask_for(path: Path) -> None:
    def fill(_: Path) -> None:
        with mmap.mmap(-1, 80 << 20) as memory:
            for start in range(0, len(memory), mmap.PAGESIZE):
                memory[start] = 1

    with pytest.raises(BrokenPromiseError, match="bytes of memory for a file of 1"):
        check(fill, b"1", path)


def test_the_guard_lets_other_errors_through(path: Path) -> None:
    with pytest.raises(IndexError):
        check(lambda _: [].pop(), b"1", path)
    assert not check(lambda _: fails("one line"), b"1", path)
    assert check(lambda path: path.read_bytes(), b"1", path)
