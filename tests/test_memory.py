"""How much memory can be had, by what the system says; and that what can't be held is refused, but nothing else."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpnn import MLP, DeviceError, XpnnError, memory, optimizers, train

MEMINFO = "MemTotal:       24000000 kB\nMemFree:         1000000 kB\nMemAvailable:   20000000 kB\n"


def group(most: str, taken: int, cached: int, folder: str = "") -> dict[str, str]:
    """A control group's files."""
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if folder else ("memory.max", "memory.current")
    stat = f"anon 5\n{'total_' if folder else ''}inactive_file {cached}\n"
    texts = {names[0]: f"{most}\n", names[1]: f"{taken}\n", "memory.stat": stat}
    return {f"/sys/fs/cgroup/{folder}{name}": text for name, text in texts.items()}


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({"/proc/meminfo": MEMINFO}, 20_000_000 * 1024),
        ({"/proc/meminfo": MEMINFO} | group("max", 5, 0), 20_000_000 * 1024),
        ({"/proc/meminfo": MEMINFO} | group("1000", 300, 0), 700),
        ({"/proc/meminfo": MEMINFO} | group("1000", 900, 600), 700),
        ({"/proc/meminfo": MEMINFO} | group("1000", 1200, 0), 0),
        ({"/proc/meminfo": MEMINFO} | group("9000", 2000, 1000, "memory/"), 8000),
    ],
)
def test_the_least_of_what_is_said_counts(
    monkeypatch: pytest.MonkeyPatch, texts: dict[str, str], expected: float
) -> None:
    monkeypatch.setattr(memory, "_text", lambda path: texts.get(path, ""))
    assert memory.available() == expected


def test_a_half_of_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: 1000.0)
    assert memory.fits(500)
    assert not memory.fits(501)


def test_it_is_known_on_this_machine() -> None:
    assert 1 << 20 < memory.available() < math.inf


# -- what can't be held ------------------------------------------------------------------------------------------------

MORE = "SwapFree: 500 kB\nActive(file): 70 kB\nInactive(file): 8 kB\nSReclaimable: 2 kB\nActive(anon): 9999 kB\n"


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({"/proc/meminfo": "MemFree: 1000 kB\n" + MORE}, 1580 * 1024),
        ({"/proc/meminfo": "MemFree: 1000 kB\n" + MORE} | group("max", 5, 0), 1580 * 1024),
        ({"/proc/meminfo": "MemFree: 1000 kB\n" + MORE} | group("5000", 4000, 300), 1300 + 500 * 1024),
        ({"/proc/meminfo": "MemFree: 1000 kB\n" + MORE} | group("5000", 4000, 300, "memory/"), 1300 + 500 * 1024),
        ({"/proc/meminfo": MEMINFO}, math.inf),
        ({}, math.inf),
    ],
)
def test_all_that_can_be_had_with_swap_and_without_cached_files(
    monkeypatch: pytest.MonkeyPatch, texts: dict[str, str], expected: float
) -> None:
    monkeypatch.setattr(memory, "_text", lambda path: texts.get(path, ""))
    assert memory.obtainable() == expected


def test_in_a_group_no_cached_files_count(monkeypatch: pytest.MonkeyPatch) -> None:
    stat = "anon 5\nactive_file 30\ninactive_file 400\nslab_reclaimable 2\nactive_anon 7000\n"
    texts = group("5000", 4000, 0) | {"/sys/fs/cgroup/memory.stat": stat}
    monkeypatch.setattr(memory, "_text", lambda path: texts.get(path, ""))
    texts["/proc/meminfo"] = "MemFree: 1000 kB\nSwapFree: 0 kB\n"
    assert memory.obtainable() == 1432
    texts["/proc/meminfo"] = MEMINFO
    assert memory.available() == 1400


def there_are(monkeypatch: pytest.MonkeyPatch, *numbers: float) -> None:
    """Let so many bytes be found, the last ones for good; all nets are compared with them."""
    found: Iterator[float] = iter(numbers)
    last = numbers[-1]
    monkeypatch.setattr(memory, "CHECKED", 0)
    monkeypatch.setattr(memory, "obtainable", lambda: next(found, last))


@pytest.mark.parametrize(
    ("sizes", "dtype", "most"),
    [
        ([100, 50, 10], "float32", (8 + 4) * 5000),  # drawn in float64, and cast
        ([100, 50, 10], "float64", (8 + 8) * 5000),
        ([10, 20, 30], "float32", 4 * 200 + (8 + 4) * 600),
    ],
)
def test_a_net_is_refused_if_and_only_if_it_has_no_room(
    monkeypatch: pytest.MonkeyPatch, sizes: list[int], dtype: str, most: int
) -> None:
    there_are(monkeypatch, most)
    MLP(sizes, dtype=dtype)
    there_are(monkeypatch, most - 1)
    with pytest.raises(DeviceError, match=re.escape(f"sizes {sizes} make ")):
        MLP(sizes, dtype=dtype)
    there_are(monkeypatch, most - 1, most)  # which Python found that was left behind
    MLP(sizes, dtype=dtype)
    there_are(monkeypatch, 0)
    for megabytes, works in (("1", True), ("0", False)):
        monkeypatch.setenv(memory.VARIABLE, megabytes)
        if works:
            MLP(sizes, dtype=dtype)
        else:
            with pytest.raises(DeviceError, match="take 0.0 GB of memory, and 0.0 GB can be had: choose smaller"):
                MLP(sizes, dtype=dtype)
    monkeypatch.setenv(memory.VARIABLE, "much")
    with pytest.raises(XpnnError, match="XPNN_MEMORY_MB is 'much', expected a whole number"):
        MLP(sizes, dtype=dtype)


@pytest.mark.parametrize(("make", "vectors"), [(optimizers.sgd, 1), (optimizers.adam, 3), (optimizers.nadam, 4)])
def test_training_is_refused_if_and_only_if_it_has_no_room(
    monkeypatch: pytest.MonkeyPatch, make: Any, vectors: int
) -> None:
    net, rows = MLP([100, 50, 10]), (np.ones((8, 100)), np.zeros(8, dtype=np.int64))
    most = 4 * ((vectors + 1) * 5560 + 8 * (100 + 2 * (50 + 10) + 4 * 10)) + 5560
    there_are(monkeypatch, most)
    list(train(net, rows, epochs=1, optimizer=make(), fast=False))
    there_are(monkeypatch, most - 1)
    with pytest.raises(DeviceError, match=r"training 5,560 parameters takes at least 0.0 GB of memory, and 0.0 GB can"):
        train(net, rows, epochs=1, optimizer=make(), fast=False)


def test_small_nets_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "obtainable", lambda: 0.0)
    monkeypatch.setattr(memory, "_text", None)
    net = MLP([100, 50, 10])
    list(train(net, (np.ones((8, 100)), np.zeros(8, dtype=np.int64)), epochs=1))


HELD = """
import json, sys
import numpy as np
import xpnn, xpnn.fast.compiled, xpnn.lbfgs, xpnn.network, xpnn.steps
from xpnn import Regularization
from xpnn.optimizers import *

def bytes_of(name):
    return next(1024 * int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))

asked = []
def check_room(size, what, remedy):
    asked.append([size, bytes_of("VmRSS:")])

for module in (sys.modules["xpnn.early_stopping"], xpnn.lbfgs, xpnn.network, xpnn.steps):
    module.check_room = check_room
xpnn.fast.compiled.SECONDS_TO_GAIN = 0
hidden, batch, make, options, fast = json.loads(sys.argv[1])
options = {"epochs": 2, "batch_size": batch, "optimizer": eval(make), "fast": fast, **eval(options)}
patience, shape, resumes = options.pop("patience", None), options.pop("net", {}), options.pop("resumes", False)
x, t = np.random.default_rng(0).integers(0, 256, (64, 100), dtype=np.uint8), np.arange(64) % 10

def learn(hidden, resume=None):
    global made
    net = xpnn.MLP([100, hidden, 10], **{"hidden": "relu", **shape})
    made = bytes_of("VmHWM:")
    if options["optimizer"] == "lbfgs":
        return xpnn.train_lbfgs(net, (x, t), epochs=options["epochs"])[-1]
    epochs = xpnn.train(net, (x, t), **options, resume=resume)
    if patience:
        epochs = xpnn.early_stopping(epochs, net, metric="loss", patience=patience, resume=resume)
    resume = None
    for epoch in epochs:
        xpnn.save_state(net, epochs.state(copied=False), "checkpoint")
    return epoch

learn(3)  # what it loads
state = None
if resumes:
    learn(hidden)
    options["epochs"] = 3
    state = xpnn.load_state("checkpoint").state
asked.clear()
open("/proc/self/clear_refs", "w").write("5")  # the peak is what there is now
epoch = learn(hidden, globals().pop("state"))
print(json.dumps([asked, made, bytes_of("VmHWM:"), epoch.step]))
"""
NEEDED = 0.93  # at least, of what a run comes to: NumPy's temporary arrays are not counted
PAGES = 2 << 20  # bytes by which the system miscounts


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="this system doesn't say what a process holds")
@pytest.mark.parametrize(
    ("make", "options", "batch", "is_fast"),
    [
        *((make, "{}", 32, False) for make in ("sgd()", "sgd(0.01, 0.9)", "adam()", "nadam()", "rmsprop()", "lion()")),
        *((make, "{}", 32, True) for make in ("sgd()", "sgd(0.01, 0.9)", "adam()")),
        *((make, "{}", 1, True) for make in ("sgd()", "sgd(0.01, 0.9)")),
        ("adam()", "{'average_decay': 0.9}", 32, False),
        ("adam()", "{'patience': 2}", 32, False),
        ("adam()", "{'regularization': Regularization(l2=0.1, dropout=0.3)}", 32, False),
        ("adam()", "{'net': {'hidden': 'gelu', 'dtype': 'float64'}}", 32, False),
        ("adam()", "{'resumes': True}", 32, False),
        ("'lbfgs'", "{'epochs': 2}", 64, False),
        ("'lbfgs'", "{'epochs': 30}", 64, False),
    ],
)
def test_what_is_asked_for_is_what_a_kept_run_comes_to(
    tmp_path: Path, make: str, options: str, batch: int, is_fast: bool
) -> None:
    """So nothing that fits is refused, and little that doesn't fit begins. The run saves a checkpoint an epoch."""
    if "lbfgs" in make:
        pytest.importorskip("scipy")
    # Vectors are larger than the 32 MB that glibc keeps when they are freed: what it keeps would count as held.
    hidden = 20_000 if batch == 1 or "lbfgs" in make else 100_000
    arguments = json.dumps([hidden, batch, make, options, is_fast])
    command = [sys.executable, "-c", HELD, arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert not done.returncode, done.stderr
    asked, made, peak, step = json.loads(done.stdout)
    assert len(asked) == 2 + ("patience" in options) + ("lbfgs" in make)
    for (size, held), most in zip(asked, [made, *[peak] * (len(asked) - 1)], strict=True):
        spare = size // 5 if "resumes" in options else 0  # the checkpoint is let go of before the buffers are written
        assert size <= most - held + PAGES + spare, step
    best = max(size / (peak - held) for size, held in asked[1:])
    has_own = "lbfgs" in make or "patience" in options  # buffers of SciPy; early stopping doesn't know the step's
    least = 0.55 if is_fast else 0.8 if has_own else NEEDED  # loops have buffers that are not counted
    assert best >= least, (step, asked, peak)
