"""How much memory can be had, by what the system says; and that what can't be held is refused, but nothing else."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
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
    most = 4 * (vectors * 5560 + 2 * 8 * (50 + 10))
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


WRITTEN = """
import json, sys
import numpy as np
import xpnn, xpnn.network, xpnn.steps, xpnn.fast.compiled
from xpnn.optimizers import *

asked = []
xpnn.network.check_room = xpnn.steps.check_room = lambda size, what, remedy: asked.append(size)
xpnn.fast.compiled.SECONDS_TO_GAIN = 0

def bytes_of(name):
    return next(1024 * int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))

hidden, batch, make, fast = json.loads(sys.argv[1])
x, t = np.zeros((64, 100), dtype=np.uint8), np.zeros(64, dtype=np.int64)
options = {"epochs": 1, "batch_size": batch, "optimizer": eval(make), "fast": fast}
list(xpnn.train(xpnn.MLP([100, 5, 10]), (x, t), **options))  # what a step loads
asked.clear()
before = bytes_of("VmRSS:")
net = xpnn.MLP([100, hidden, 10], hidden="relu")
made, before, taken = bytes_of("VmHWM:") - before, bytes_of("VmRSS:"), []
progress = lambda _: taken.append(bytes_of("VmRSS:") - before - net.parameters.nbytes)  # those of the epoch's beginning
(epoch,) = xpnn.train(net, (x, t), **options, progress=progress)
print(json.dumps([asked, [made, max(taken)], epoch.step]))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="this system doesn't say how much a process has")
@pytest.mark.parametrize(
    ("make", "batch", "fast"),
    [
        *((make, 32, False) for make in ("sgd()", "adam()", "nadam()", "rmsprop()", "lion()")),
        *((make, 32, True) for make in ("sgd()", "sgd(0.01, 0.9)", "adam()")),
        *((make, 1, True) for make in ("sgd()", "sgd(0.01, 0.9)")),
    ],
)
def test_what_is_asked_for_is_really_written(make: str, batch: int, fast: bool) -> None:
    """Within a megabyte, for the system counts pages by some hundreds: so nothing that fits is ever refused."""
    command = [sys.executable, "-c", WRITTEN, json.dumps([100_000 if batch > 1 else 20_000, batch, make, fast])]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    asked, written, step = json.loads(done.stdout)
    assert len(asked) == 2
    for size, most in zip(asked, written, strict=True):
        assert size <= most + (1 << 20), step
