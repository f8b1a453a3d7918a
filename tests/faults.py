"""Training processes that something happens to, at any of their file operations: a kill, a full disk, a lost folder.

As a program this is a server. It loads xpnn once, and forks a process for each command that it is sent, so that
hundreds can run, and be killed, in seconds. Each is sent as a line of JSON, and answered by one.

    folder:    in which it works.
    logs:      where its output goes, with .out and .err behind it; without it, beside the folder.
    stderr:    another place for that: "closed", "closed pipe", or a path.
    arguments: of xpnn.
    at, fault: at which of its file operations, from 0, what happens; see `Faults`.
    after, signals: sent after so many seconds.
    ignored:   signals that the process ignores from its beginning, as with `nohup`.
    largest:   bytes that a file may have.

Time, for checkpoints, is a count of the looks at the clock, so that each run has the same operations.
"""

from __future__ import annotations

import builtins
import errno
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

GROWING = ("open", "write", "fsync", "mkdir", "replace")  # what a full disk may refuse
CRASHED = 99  # the exit code after a traceback


class Faults:
    """Counts a process's file operations in its folder; one of them, and what follows, goes wrong.

    fault: {"kill": 9}, the signal is sent in the middle of it, and where there is "again" too, so many later;
           {"errno": "ENOSPC"}, it is refused, and those after it;
           {"lost": "run"}, that folder is moved away before it; {"replaced": "run"}, and a file is put in its place;
           {"exchanged": "run"}, and a folder is. {} is nothing.
    """

    def __init__(self, at: int, fault: dict[str, Any]) -> None:
        self.at, self.fault = at, fault
        self.seen: list[list[str]] = []

    def install(self) -> None:
        """From now on, for this process. Its kernel lives on, so that nothing has to wait for the disk."""
        os.fsync = lambda fd: None
        for name in ("fsync", "mkdir", "rename", "replace", "unlink"):
            setattr(os, name, self._wrapped(name, getattr(os, name)))
        opened = builtins.open

        def watched(path: Any, mode: str = "r", *arguments: Any, **keywords: Any) -> Any:
            if not {*mode} & {*"wax+"}:
                return opened(path, mode, *arguments, **keywords)
            self._before("open", path)
            return _Writing(opened(path, mode, *arguments, **keywords), self)

        builtins.open = watched  # type: ignore[assignment]  # it is all that is called here

    def _wrapped(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **keywords: Any) -> Any:
            self._before(name, *arguments)
            return call(*arguments, **keywords)

        return watched

    def write(self, file: Any, data: Any) -> None:
        """Half of it is on its way when it goes wrong."""
        if len(self.seen) == self.at:
            file.write(data[: len(data) // 2])
            file.flush()
            data = data[len(data) // 2 :]
        self._before("write", file.fileno())
        file.write(data)

    def _before(self, name: str, *places: Any) -> None:
        number = len(self.seen)
        self.seen.append([name, *(_name_of(place) for place in places)])
        if number < self.at:
            return
        match self.fault:
            case {"kill": int(signal_number)} if number - self.at in {0, self.fault.get("again")}:
                os.kill(os.getpid(), signal_number)
            case {"errno": str(code)} if code not in ("ENOSPC", "EDQUOT") or name in GROWING:
                known = getattr(errno, code)
                raise OSError(known, os.strerror(known), *places[:1])
            case {"lost": folder} | {"replaced": folder} | {"exchanged": folder} if number == self.at:
                (kind,) = self.fault
                self.fault = {}
                shutil.move(folder, "moved")
                if kind == "replaced":
                    Path(folder).touch()
                if kind == "exchanged":
                    os.mkdir(folder)


class _Writing:
    """A file that is being written; its writes are operations too."""

    def __init__(self, file: Any, faults: Faults) -> None:
        self.file, self.faults = file, faults

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __enter__(self) -> _Writing:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def write(self, data: Any) -> None:
        self.faults.write(self.file, data)

    def writelines(self, parts: Any) -> None:
        self.write(b"".join(parts))


def _name_of(place: Any) -> str:
    """The path of a file, by its descriptor too (on Linux)."""
    if isinstance(place, int):
        link = f"/proc/self/fd/{place}"
        place = os.readlink(link) if os.path.exists(link) else place
    return os.path.relpath(place) if isinstance(place, str | os.PathLike) else str(place)


class Done(NamedTuple):
    """How a process ended: its exit code, or minus the signal that killed it."""

    code: int
    out: str
    err: str
    operations: list[list[str]]


class Server:
    """The server as a test sees it."""

    def __init__(self) -> None:
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # a fork has one thread
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", __file__],  # some Pythons warn of forks
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )

    def run(self, folder: Path, *arguments: str, **what: Any) -> Done:
        """Have a process run xpnn with these arguments in the folder; what: see above."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        folder.mkdir(exist_ok=True)
        wish = {"logs": str(folder), **what, "folder": str(folder), "arguments": arguments}
        logs = [Path(f"{wish['logs']}.{name}") for name in ("out", "err", "operations")]
        for path in logs:
            path.write_text("")
        print(json.dumps(wish), file=self.process.stdin, flush=True)
        code = json.loads(self.process.stdout.readline())
        out, err, operations = (path.read_text() for path in logs)
        found = Done(code, out, err, json.loads(operations or "[]"))
        assert code != CRASHED, found.err
        return found

    def close(self) -> None:
        """End it."""
        self.process.communicate()


def serve() -> None:
    """Answer until stdin ends."""
    import xpnn_cli

    for name in ("numpy.ma", "threadpoolctl", "tomli_w"):  # which else each process would load for itself
        importlib.import_module(name)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until a process is ready for it; a shell's background jobs ignore it
    for line in sys.stdin:
        wish = json.loads(line)
        process = os.fork()
        if not process:
            _work(xpnn_cli.main, wish)
        if "after" in wish:
            time.sleep(wish["after"])
            for number in wish["signals"]:
                os.kill(process, number)  # it is no other's yet, even if it has ended: nobody has waited for it
        _, status = os.waitpid(process, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _work(main: Callable[..., Any], wish: dict[str, Any]) -> None:
    """Be the process."""
    import resource  # which Windows hasn't got

    from xpnn_cli import keeper

    code, logs = CRASHED, wish["logs"]
    os.dup2(os.open(f"{logs}.out", os.O_WRONLY), 1)
    os.close(2)
    if wish.get("stderr") != "closed":
        os.dup2(_stderr(wish.get("stderr", f"{logs}.err")), 2)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN if number in wish.get("ignored", ()) else signal.SIG_DFL)
    if "largest" in wish:
        resource.setrlimit(resource.RLIMIT_FSIZE, (wish["largest"], wish["largest"]))
    os.chdir(wish["folder"])
    if signal.SIGINT in wish.get("signals", ()):
        warnings.simplefilter("ignore", ResourceWarning)  # Ctrl-C may come between a file's opening and its with block
    looks = iter(range(10**9))
    keeper.time = SimpleNamespace(monotonic=lambda: float(next(looks)))  # type: ignore[assignment, attr-defined]
    faults = Faults(wish.get("at", 0), wish.get("fault", {}))
    faults.install()
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        main(wish["arguments"], prog_name="xpnn")
    except SystemExit as end:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        code = end.code if isinstance(end.code, int) else 0
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and error.__traceback__ and not error.__traceback__.tb_next:
            os._exit(130)  # it isn't xpnn's: it came here
        os.write(2, traceback.format_exc().encode())
    if "fault" not in wish:
        Path(f"{logs}.operations").write_text(json.dumps(faults.seen))
    sys.stdout.flush()
    os._exit(code)


def _stderr(place: str) -> int:
    """A descriptor of it."""
    if place != "closed pipe":
        return os.open(place, os.O_WRONLY)
    reading, writing = os.pipe()
    os.close(reading)
    return writing


if __name__ == "__main__":
    serve()
