"""Which frameworks there are, and the processes that they run in."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suite.cases import OPTIMIZERS, QUERIES, Case

ROOT = Path(__file__).parents[1]
DEFAULT_THREADS, ONE_THREAD = 0, 1


@dataclass(frozen=True)
class Framework:
    """kinds: the optimizers and questions that it takes part in; needs: the modules that it imports.

    process: whose process it shares, which has one name for all that do; "": it has its own.
    """

    name: str
    peer: str
    kinds: tuple[str, ...]
    needs: tuple[str, ...] = ()
    variant: str = ""
    checked: bool = True
    uncorrected_epsilon: bool = False  # see `suite.reference.expected`
    process: str = ""

    def takes(self, case: Case) -> bool:
        if self.peer == "gemms" and case.batch == 1 and (case.optimizer == "adam" or len(case.sizes) > 3):
            return False  # its updates can't be put off, or not all of them
        return case.optimizer in self.kinds


FRAMEWORKS = (
    Framework("xpnn", "xpnn", (*OPTIMIZERS, "seed", *QUERIES)),
    Framework("xpnn-numpy", "xpnn", (*OPTIMIZERS, "seed"), variant="numpy"),
    Framework("xpnn-reference", "xpnn", (*OPTIMIZERS, "seed"), variant="reference"),
    Framework("textbook", "textbook", ("seed",), variant="ready"),
    Framework("textbook-parsing", "textbook", ("seed",), variant="parsing"),
    Framework("pytorch", "pytorch", (*OPTIMIZERS, *QUERIES), ("torch",)),
    Framework("jax", "jax", OPTIMIZERS, ("jax",)),
    Framework("scikit-learn", "scikit_learn", (*OPTIMIZERS, *QUERIES), ("sklearn",), uncorrected_epsilon=True),
    Framework("onnxruntime", "onnx_runtime", tuple(QUERIES), ("onnx", "onnxruntime")),
    Framework("gemms", "gemms", (*OPTIMIZERS, "seed"), checked=False),
)


def why_missing(framework: Framework) -> str:
    """Why it can't take part; nothing if it can."""
    missing = [name for name in framework.needs if importlib.util.find_spec(name) is None]
    if missing:
        return f"{framework.name} is left out: {', '.join(missing)} not installed"
    if framework.name == "xpnn-reference":
        from suite.peers.xpnn import has_fast_option

        return "" if has_fast_option() else "xpnn-reference is left out: this xpnn.train has no option fast"
    return ""


class PeerError(Exception):
    """A framework's process answered with an error, or not at all."""


class Process:
    """One framework's process, kept alive. An answer that isn't there in `patience` seconds is its end."""

    def __init__(
        self,
        framework: Framework,
        threads: int,
        folder: Path,
        device: str = "cpu",
        patience: float | None = None,
        **variables: str,
    ) -> None:
        shared = framework.process or framework.name
        self.name = f"{shared} at {'its default' if threads == DEFAULT_THREADS else threads} threads"
        self.log = folder / f"{shared}-{threads}.log"
        self.patience = patience
        command = [sys.executable, "-m", "suite.worker", framework.peer, str(folder), str(threads)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment(threads, device) | variables,
                stdin=-1,
                stdout=-1,
                stderr=log,
                text=True,
            )
        try:
            self.version = self._read()["version"]
        except PeerError:
            self.close()
            raise

    def ask(self, what: str, **details: Any) -> dict[str, Any]:
        """One order and its answer. Raises PeerError."""
        assert self.process.stdin is not None
        if self.process.stdin.closed:
            raise PeerError(f"{self.name} has ended")
        try:
            self.process.stdin.write(json.dumps({"do": what, **details}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # the reading below says why
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        started, guard = time.monotonic(), threading.Timer(self.patience or 0, self.process.kill)
        if self.patience is not None:
            guard.start()
        line = self.process.stdout.readline()
        guard.cancel()
        if not line and self.patience is not None and time.monotonic() > started + self.patience:
            raise PeerError(f"{self.name} was ended: no answer in {self.patience:.0f} s")
        if not line:
            said = self.log.read_text(errors="replace").strip().splitlines()
            raise PeerError(f"{self.name} ended: {said[-1] if said else 'without a word'}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PeerError(f"{self.name}: {answer['error']}")
        return answer

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


@dataclass
class Seat:
    """A framework's place in a process, which it may share."""

    framework: Framework
    process: Process
    device: str = "cpu"

    @property
    def name(self) -> str:
        return f"{self.framework.name} at {self.process.name.partition(' at ')[2]}"

    @property
    def log(self) -> Path:
        return self.process.log

    def ask(self, what: str, **details: Any) -> dict[str, Any]:
        """See `Process.ask`."""
        if what == "prepare":
            details["device"] = self.device
        return self.process.ask(what, variant=self.framework.variant, **details)


def environment(threads: int, device: str = "cpu") -> dict[str, str]:
    """What tells every library how many threads to take; the default leaves that to them.

    JAX must neither take another device in silence nor all of a GPU's memory; whether a product is of TF32 is for each
    case to say; and xpnn must read a CSV file each time as if it were the first.
    """
    libraries = ("OPENBLAS", "OMP", "MKL", "NUMBA", "VECLIB")
    names = [*(f"{name}{'_MAXIMUM' if name == 'VECLIB' else '_NUM'}_THREADS" for name in libraries), "NPROC"]
    dropped = {"CUPY_TF32", "NVIDIA_TF32_OVERRIDE", *names}
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    kept |= {"JAX_PLATFORMS": device, "XLA_PYTHON_CLIENT_PREALLOCATE": "false", "XPNN_CSV_CACHE_MB": "0"}
    if threads == DEFAULT_THREADS:
        return kept
    xla = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false".strip()
    return kept | dict.fromkeys(names, str(threads)) | {"XLA_FLAGS": xla}


class Processes:
    """Each framework's process for each number of threads, started when it is first wanted."""

    def __init__(self, folder: Path, device: str = "cpu", patience: float | None = None) -> None:
        self.folder, self.device, self.patience = folder, device, patience
        self.started: dict[tuple[str, int], Process] = {}

    def get(self, framework: Framework, threads: int) -> Seat:
        """Raises PeerError if it can't be started."""
        key = framework.process or framework.name, threads
        if key in self.started and self.started[key].has_ended:
            self.started.pop(key).close()
        if key not in self.started:
            self.started[key] = Process(framework, threads, self.folder, self.device, self.patience)
        self.started[key].patience = self.patience
        return Seat(framework, self.started[key], self.device)

    def drop(self, name: str) -> None:
        """Close the processes of that name."""
        for key in [key for key in self.started if key[0] == name]:
            self.started.pop(key).close()

    def versions(self) -> dict[str, str]:
        return {name: process.version for (name, _), process in self.started.items()}

    def close(self) -> None:
        for process in self.started.values():
            process.close()
        self.started.clear()
