"""Training processes that are killed or told to stop, anywhere: resumed they end in the same bits, with no stray file.

They are of one small run, and each of its file operations and a few random moments are tried. `benchmarks/kills.py`
tries a hundred moments.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
from faults import Done, Server
from kept_run import RESUME, RUN, Outcome, gone_on_with, newest, outcome

KILL = {"kill": int(signal.SIGKILL)} if hasattr(signal, "SIGKILL") else {}
MOMENTS = int(os.environ.get("XPNN_TEST_MOMENTS", "3"))  # random ones, for each kind of signal


class Whole:
    """The run that was never stopped: what it came to, its operations, and how long it takes."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.folder = folder
        started = time.monotonic()
        self.done = server.run(folder, *RUN)
        self.seconds = time.monotonic() - started
        assert self.done.code == 0, self.done.err
        self.operations, self.outcome = self.done.operations, outcome(folder)


@pytest.fixture(scope="module")
def whole(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return Whole(server, tmp_path_factory.mktemp("whole"))


def check(server: Server, folder: Path, expected: Outcome, about: object) -> Done:
    """What is left goes on to the same end; about: what happened, for the report."""
    newest(folder)  # no kill damages a checkpoint
    done = gone_on_with(server, folder)
    assert outcome(folder) == expected, about
    shutil.rmtree(folder)
    return done


def test_two_runs_are_the_same_to_the_bit_and_the_operation(server: Server, whole: Whole, tmp_path: Path) -> None:
    again = Whole(server, tmp_path / "again")
    assert again.outcome == whole.outcome
    assert [name for name, *_ in again.operations] == [name for name, *_ in whole.operations]
    saved = [places[-1] for name, *places in whole.operations if name == "replace" and "checkpoints" in places[-1]]
    assert len([path for path in saved if not path.endswith("-0000000000.safetensors")]) >= 3  # within epochs


def test_killed_in_the_middle_of_each_file_operation(server: Server, whole: Whole, tmp_path: Path) -> None:
    places = set()
    for at, operation in enumerate(whole.operations):
        folder = tmp_path / str(at)
        assert server.run(folder, *RUN, at=at, fault=KILL).code == -signal.SIGKILL
        places.add(newest(folder))
        check(server, folder, whole.outcome, (at, operation))
    assert len(places) >= 4  # it went on from as many


def test_killed_again_as_it_goes_on(server: Server, whole: Whole, tmp_path: Path) -> None:
    """At each file operation of the beginning, and at every fifth one after that."""
    server.run(tmp_path / "begun", *RUN, at=2 * len(whole.operations) // 5, fault=KILL)
    shutil.copytree(tmp_path / "begun", tmp_path / "counted")
    operations = server.run(tmp_path / "counted", *RESUME).operations
    assert any(name == "replace" and places[-1] == "run/metrics.jsonl" for name, *places in operations)  # cut back
    for at in (*range(7), *range(7, len(operations), 5)):
        folder = tmp_path / str(at)
        shutil.copytree(tmp_path / "begun", folder)
        assert server.run(folder, *RESUME, at=at, fault=KILL).code == -signal.SIGKILL
        check(server, folder, whole.outcome, (at, operations[at]))


def test_killed_as_a_finished_run_is_made_longer(server: Server, whole: Whole, tmp_path: Path) -> None:
    """The same command once more comes to the same, wherever it was; until it has begun, the run is a finished one."""
    begun, longer = whole.folder, (*RESUME, "--epochs", "4")
    shutil.copytree(begun, tmp_path / "counted")
    operations = server.run(tmp_path / "counted", *longer).operations
    expected = outcome(tmp_path / "counted")
    assert [record["epoch"] for record in expected.history] == [1, 2, 3, 4]
    assert expected.files == whole.outcome.files
    for at in (*range(12), *range(12, len(operations), 5)):
        folder = tmp_path / str(at)
        shutil.copytree(begun, folder)
        assert server.run(folder, *longer, at=at, fault=KILL).code == -signal.SIGKILL
        done = server.run(folder, *longer)
        assert done.code == 0, done.err
        assert outcome(folder) == expected, (at, operations[at])
        shutil.rmtree(folder)


def test_each_file_is_on_the_disk_before_its_name_and_old_ones_go_last(whole: Whole) -> None:
    """So that a power cut leaves no name without its content."""
    if sys.platform != "linux":
        pytest.skip("the names of open files are found in /proc")
    named, made = [], []
    for at, (name, *places) in enumerate(whole.operations):
        if name == "replace":
            draft, path = places
            assert [name for name, place, *_ in whole.operations[:at] if place == draft] == ["open", "write", "fsync"]
            assert whole.operations[at - 1] == ["fsync", draft]
            assert whole.operations[at + 1] == ["fsync", os.path.dirname(path)]
            named.append(path)
        elif name == "mkdir":
            assert whole.operations[at + 1] == ["fsync", os.path.dirname(places[0]) or "."]
            made.append(places[0])
        elif name == "unlink" and not places[0].endswith(".draft"):
            assert named[-1] > places[0]  # a newer checkpoint has its name already
    assert made == ["run", "run/checkpoints"]
    assert named[0] == "run/config.toml"
    assert named[-2:] == ["run/model.safetensors", "run/result.json"]


def test_what_a_power_cut_may_leave_of_the_newest_checkpoint(server: Server, whole: Whole, tmp_path: Path) -> None:
    last = max(at for at, (name, *places) in enumerate(whole.operations) if name == "unlink" and "-0" in places[0])
    server.run(tmp_path / "begun", *RUN, at=last, fault=KILL)
    *_, before, path = sorted((tmp_path / "begun" / "run" / "checkpoints").iterdir())
    size = path.stat().st_size
    whole_content = path.read_bytes()
    for content in (b"", whole_content[:1], whole_content[: size // 2], whole_content[:-1], bytes(size)):
        folder = tmp_path / f"cut {len(content)} {content[:1]!r}"
        shutil.copytree(tmp_path / "begun", folder)
        (folder / "run" / "checkpoints" / path.name).write_bytes(content)
        done = gone_on_with(server, folder)
        assert f"{path.name}: " in done.err
        assert "the one before it is taken" in done.err
        assert f"going on after epoch {int(before.name[:6])}" in done.err
        found = outcome(folder)
        assert found.files == {*whole.outcome.files, f"checkpoints/{path.stem}.damaged"}
        assert (found.model, found.history) == (whole.outcome.model, whole.outcome.history)


def seconds(whole: Whole, kind: str) -> list[float]:
    """Random moments of a run; a failure's report shows them and their seed, which XPNN_TEST_SEED repeats."""
    seed = os.environ.get("XPNN_TEST_SEED") or str(random.SystemRandom().randrange(10**6))
    generator = random.Random(f"{seed} {kind}")  # noqa: S311  nobody has to be unable to guess it
    found = [generator.uniform(0, whole.seconds) for _ in range(MOMENTS)]
    print(f"XPNN_TEST_SEED={seed}: after {found} s")  # noqa: T201  pytest shows it where the test fails
    return found


@pytest.mark.parametrize("name", ["SIGKILL", "SIGINT", "SIGTERM", "SIGHUP"])
def test_at_random_moments(server: Server, whole: Whole, tmp_path: Path, name: str) -> None:
    number = int(getattr(signal, name))
    for after in seconds(whole, name):
        done = server.run(tmp_path / "a", *RUN, after=after, signals=[number])
        codes = {-number, 128 + number, 0}  # killed, stopped, or it was at its end
        assert done.code in codes or done.err == "\nAborted!\n", done  # which Click says before the command begins
        assert "Traceback" not in done.err
        check(server, tmp_path / "a", whole.outcome, after)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_told_to_stop_in_the_middle_of_a_file_operation(
    server: Server, whole: Whole, tmp_path: Path, name: str
) -> None:
    """Of each kind, within the run: it saves once more, says how to go on, and ends with its own exit code."""
    number, operations = int(getattr(signal, name)), whole.operations
    first = next(at for at, (_, *places) in enumerate(operations) if "checkpoints" in places[0])
    last = max(at for at, (_, *places) in enumerate(operations) if "metrics" in places[0])
    offset = {"SIGINT": 0, "SIGTERM": 1, "SIGHUP": 2}[name]
    for at in range(first + offset, last, 5):
        folder = tmp_path / str(at)
        done = server.run(folder, *RUN, at=at, fault={"kill": number})
        assert done.code == 128 + number, (operations[at], done.err)
        assert "saved after epoch " in done.err
        assert "go on with\n  xpnn train --resume run" in done.err
        assert newest(folder) > (0, 0)
        check(server, folder, whole.outcome, (at, operations[at]))


@pytest.mark.parametrize(
    ("name", "said"), [("SIGINT", "stopped at once"), ("SIGTERM", "saved after epoch"), ("SIGHUP", "saved after epoch")]
)
def test_told_twice(server: Server, whole: Whole, tmp_path: Path, name: str, said: str) -> None:
    """Ctrl-C once more is impatient; others may be sent by two that know nothing of each other."""
    number, operations = int(getattr(signal, name)), whole.operations
    first = next(at for at, (_, *places) in enumerate(operations) if "checkpoints" in places[0])
    for at in range(first, first + 20, 4):
        done = server.run(tmp_path / "a", *RUN, at=at, fault={"kill": number, "again": 3})
        assert done.code == 128 + number, (operations[at], done.err)
        assert said in done.err, (operations[at], done.err)
        check(server, tmp_path / "a", whole.outcome, (at, operations[at]))


def test_who_closes_the_terminal_loses_nothing_and_nohup_goes_on(server: Server, whole: Whole, tmp_path: Path) -> None:
    at = whole.operations.index(["mkdir", "run/checkpoints", "511"])
    done = server.run(tmp_path / "a", *RUN, at=at, fault={"kill": int(signal.SIGHUP)}, ignored=[int(signal.SIGHUP)])
    assert done.code == 0
    assert outcome(tmp_path / "a") == whole.outcome
